package blobstore

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// linkKey is a link in the cache.
type linkKey struct {
	kind   linkKind
	repo   string
	digest digest.Digest
}

// LinkBlob says that a repository has a blob, which is in storage already. Blob and link
// survive a power cut once the next LinkManifest of any repository has returned.
func (s *Store) LinkBlob(ctx context.Context, repo string, d digest.Digest) error {
	return s.link(ctx, linkKey{blobLinks, repo, d})
}

// UnlinkBlob takes a blob out of a repository; its data stays. ErrUnknown without link.
func (s *Store) UnlinkBlob(ctx context.Context, repo string, d digest.Digest) error {
	return s.unlink(ctx, linkKey{blobLinks, repo, d})
}

// HasBlob reports whether a repository has a link to a blob, perhaps from memory. It
// does not ask for the blob's data.
func (s *Store) HasBlob(ctx context.Context, repo string, d digest.Digest) (bool, error) {
	return s.hasLink(ctx, linkKey{blobLinks, repo, d})
}

// LinkManifest says that a repository has a manifest, which is in storage already. When
// it returns, the manifest, its link, all blobs and links that this process made before,
// and those it was asked to Confirm survive a power cut.
func (s *Store) LinkManifest(ctx context.Context, repo string, d digest.Digest) error {
	if err := s.link(ctx, linkKey{manifestLinks, repo, d}); err != nil {
		return err
	}
	return s.lasting(ctx)
}

// UnlinkManifest takes a manifest out of a repository; its data stays. ErrUnknown without
// link.
func (s *Store) UnlinkManifest(ctx context.Context, repo string, d digest.Digest) error {
	return s.unlink(ctx, linkKey{manifestLinks, repo, d})
}

// HasManifest reports whether a repository has a link to a manifest, perhaps from memory.
func (s *Store) HasManifest(ctx context.Context, repo string, d digest.Digest) (bool, error) {
	return s.hasLink(ctx, linkKey{manifestLinks, repo, d})
}

func (s *Store) link(ctx context.Context, key linkKey) error {
	if err := key.check(); err != nil {
		return err
	}
	// What is remembered does not count: another replica may have removed the link.
	mark := s.links.mark()
	if err := s.writeLink(ctx, key); err != nil {
		return err
	}
	s.links.add(mark, key.clone(), struct{}{})
	return s.changed(ctx, key.folder())
}

func (s *Store) writeLink(ctx context.Context, key linkKey) error {
	path := key.path()
	if s.disk != nil { // elsewhere asking costs as much as writing
		if _, _, err := s.stat(ctx, path); !errors.Is(err, ErrUnknown) {
			return err
		}
	}
	return s.putSmall(ctx, path, []byte(key.digest))
}

func (s *Store) unlink(ctx context.Context, key linkKey) error {
	if err := key.check(); err != nil {
		return err
	}
	defer s.links.drop(key)
	folder := key.folder()
	return failure(s.driver.Delete(ctx, folder), "deleting", folder)
}

func (s *Store) hasLink(ctx context.Context, key linkKey) (bool, error) {
	if err := key.check(); err != nil {
		return false, err
	}
	_, mark, ok := s.links.get(key)
	if ok {
		return true, nil
	}
	_, _, err := s.stat(ctx, key.path())
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.links.add(mark, key.clone(), struct{}{})
	return true, nil
}

func (k linkKey) check() error {
	return errors.Join(checkRepository(k.repo), checkDigest(k.digest))
}

// clone keeps no reference to the texts that names and digests may be parts of.
func (k linkKey) clone() linkKey {
	return linkKey{k.kind, strings.Clone(k.repo), digest.Digest(strings.Clone(string(k.digest)))}
}

func (k linkKey) path() string { return linkPath(k.repo, k.kind, k.digest) }

func (k linkKey) folder() string { return linkFolder(k.repo, k.kind, k.digest) }

// RemoveRepository removes a repository's links, referrers and uploads; blobs stay. It is
// no error when there are none. Whoever pushes to it at the same time may succeed and
// leave links.
func (s *Store) RemoveRepository(ctx context.Context, repo string) error {
	if err := checkRepository(repo); err != nil {
		return err
	}
	defer s.links.dropAll(func(k linkKey) bool { return k.repo == repo })
	return errors.Join(s.abortUploads(ctx, repo), s.remove(ctx, repositoryFolder(repo)))
}

// RemoveNamespace is RemoveRepository for all repositories of a namespace.
func (s *Store) RemoveNamespace(ctx context.Context, namespace string) error {
	if err := checkComponent(namespace); err != nil {
		return err
	}
	folder := namespaceFolder(namespace)
	defer s.scopes.drop(namespace)
	defer s.links.dropAll(func(k linkKey) bool { return path.Dir(k.repo) == namespace })
	streams, err := s.list(ctx, folder)
	if err != nil {
		return fmt.Errorf("removing namespace %s: %w", namespace, err)
	}
	var errs []error
	for _, stream := range streams {
		if repo := namespace + "/" + stream; checkRepository(repo) == nil {
			errs = append(errs, s.abortUploads(ctx, repo))
		}
	}
	return errors.Join(append(errs, s.remove(ctx, folder))...)
}

// abortUploads ends the unfinished uploads of a repository that deleting its folder
// would leave behind: object stores keep what was sent of them out of sight.
func (s *Store) abortUploads(ctx context.Context, repo string) error {
	if !s.object {
		return nil
	}
	ids, err := s.list(ctx, uploadsFolder(repo))
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if isUploadID(id) {
			errs = append(errs, s.abort(ctx, uploadFolder(repo, id)+"/"+dataFile))
		}
	}
	return errors.Join(errs...)
}
