package blobstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// RemoveUploads removes the unfinished uploads of a repository that were last touched before a time.
func (s *Store) RemoveUploads(ctx context.Context, repo string, before time.Time) error {
	if err := checkRepository(repo); err != nil {
		return err
	}
	ids, err := s.list(ctx, uploadsFolder(repo))
	errs := []error{err}
	for _, id := range ids {
		if isUploadID(id) {
			_, err := s.removeAbandonedUpload(ctx, repo, id, abandonment{before: before}, s.now())
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing the uploads of %s: %w", repo, err)
	}
	return nil
}

// RemoveLeftovers removes what is left of a repository in which nothing has links any more: the
// record of unowned links, if it was written before a time, and folders. A repository with an owner
// or a link stays as it is. The time has to be before any link that is being written: such a link
// may have lost its owner in between, and only the record keeps it from being the next stream's.
func (s *Store) RemoveLeftovers(ctx context.Context, repo string, before time.Time) error {
	if err := checkRepository(repo); err != nil {
		return err
	}
	if err := s.removeLeftovers(ctx, repo, before); err != nil {
		return fmt.Errorf("removing the remains of %s: %w", repo, err)
	}
	return nil
}

func (s *Store) removeLeftovers(ctx context.Context, repo string, before time.Time) error {
	owners, err := s.Owners(ctx, repo)
	if err != nil || len(owners) > 0 {
		return err
	}
	for _, kind := range []linkKind{blobLinks, manifestLinks} {
		if linked, err := s.hasAnyLink(ctx, repo, kind); err != nil || linked {
			return err
		}
	}
	return errors.Join(s.removeUnowned(ctx, repo, before), s.removeEmptyFolders(ctx, repo))
}

// hasAnyLink reports whether a repository has a link of a kind, of any owner.
func (s *Store) hasAnyLink(ctx context.Context, repo string, kind linkKind) (bool, error) {
	root := repositoryFolder(repo) + strings.TrimSuffix(string(kind), "/")
	algorithms, err := s.list(ctx, root)
	if err != nil {
		return false, err
	}
	for _, algorithm := range algorithms {
		hexes, err := s.list(ctx, root+"/"+algorithm)
		if err != nil {
			return false, err
		}
		for _, hex := range hexes {
			if names, err := s.linkFiles(ctx, root+"/"+algorithm+"/"+hex); err != nil || len(names) > 0 {
				return true, err
			}
		}
	}
	return false, nil
}

// removeUnowned removes the record of a repository's unowned links if it is older than a time.
func (s *Store) removeUnowned(ctx context.Context, repo string, before time.Time) error {
	path := ownersFolder(repo) + "/" + unownedFile
	_, written, err := s.stat(ctx, path)
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	if err != nil || !written.Before(before) {
		return err
	}
	defer s.owners.drop(ownerKey{repo, unownedFile})
	return s.remove(ctx, path)
}

// removeEmptyFolders removes the folders of a repository, and that of its namespace, as far as they
// are empty. Object stores have no folders.
func (s *Store) removeEmptyFolders(ctx context.Context, repo string) error {
	if s.disk == nil {
		return nil
	}
	folder := repositoryFolder(repo)
	err := failure(s.disk.RemoveEmpty(ctx, folder), "removing folders of", folder)
	if err == nil {
		folder = namespaceFolder(namespaceOf(repo))
		err = failure(s.disk.RemoveFolder(ctx, folder), "removing folder", folder)
	}
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	return err
}
