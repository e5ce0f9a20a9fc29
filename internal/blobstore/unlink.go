package blobstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// linkRemoval removes links of some owners from a repository.
type linkRemoval struct {
	store  *Store
	repo   string
	owners []string
}

// remove removes the files of the owners, and the file that all owners share when no owner
// is left. A link that is made anew meanwhile stays, because the owner's file decides.
//
// The shared file goes first: alone it would pass for an unowned link.
func (r linkRemoval) remove(ctx context.Context, kind linkKind, d digest.Digest) error {
	defer func() {
		for _, owner := range r.owners {
			r.store.links.drop(linkKey{kind, r.repo, owner, d})
		}
	}()
	folder := linkFolder(r.repo, kind, d)
	names, err := r.store.linkFiles(ctx, folder)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(r.left(names), isLiveOwner) {
		if err := r.store.remove(ctx, folder+"/"+linkFile); err != nil {
			return err
		}
	}
	for _, owner := range r.owners {
		if slices.Contains(names, owner) {
			if err := r.store.remove(ctx, folder+"/"+owner); err != nil {
				return err
			}
		}
	}
	if len(r.left(names)) < 2 {
		return nil
	}
	// The owners that were left may be removed at the same time, each as if not the last.
	if names, err = r.store.linkFiles(ctx, folder); err != nil || !isUnowned(names) {
		return err
	}
	return r.store.remove(ctx, folder+"/"+linkFile)
}

// left are the files of a link without those of the owners.
func (r linkRemoval) left(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(r.owners, name) })
}

// isLiveOwner reports whether a file of a link is that of an owner which has the link, in
// contrast to one that released it.
func isLiveOwner(name string) bool {
	_, released := IsReleased(name)
	return name != linkFile && !released
}

// ownerRemoval is one call of RemoveOwner.
type ownerRemoval struct {
	linkRemoval // of one owner
	before      time.Time
	adopter     string // has the unowned links, "" while none has
	spared      bool   // links that are too young are left
}

// removeLinks goes through all links of a kind. It goes on after an error.
func (r *ownerRemoval) removeLinks(ctx context.Context, kind linkKind) error {
	root := repositoryFolder(r.repo) + strings.TrimSuffix(string(kind), "/")
	algorithms, err := r.store.list(ctx, root)
	errs := []error{err}
	for _, algorithm := range algorithms {
		hexes, err := r.store.list(ctx, root+"/"+algorithm)
		errs = append(errs, err)
		for _, hex := range hexes {
			if d := digest.Digest(algorithm + ":" + hex); checkDigest(d) == nil {
				errs = append(errs, r.removeOne(ctx, kind, d))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *ownerRemoval) removeOne(ctx context.Context, kind linkKind, d digest.Digest) error {
	folder, owner := linkFolder(r.repo, kind, d), r.owners[0]
	names, err := r.store.linkFiles(ctx, folder)
	if err != nil || len(names) == 0 {
		return err
	}
	if r.adopter == "" {
		// Full storage must not stand in the way of a removal: the unowned links go with
		// the owner's all the same.
		if err := r.store.adopt(ctx, r.repo, owner); err != nil && !errors.Is(err, ErrFull) {
			return err
		}
		r.adopter = owner
	}
	file := owner
	switch {
	case slices.Contains(names, owner):
	case r.adopter == owner && isUnowned(names):
		file = linkFile
	default:
		return nil
	}
	if !r.before.IsZero() {
		_, written, err := r.store.stat(ctx, folder+"/"+file)
		if errors.Is(err, ErrUnknown) {
			return nil
		}
		if err != nil {
			return err
		}
		if !written.Before(r.before) {
			r.spared = true
			return nil
		}
	}
	return r.remove(ctx, kind, d)
}
