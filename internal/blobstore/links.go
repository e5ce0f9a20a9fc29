package blobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// Repository is a repository as one image stream has it. The next stream of that name is
// another owner: it has none of the links.
type Repository struct {
	// Name is namespace/stream.
	Name string
	// Stream is the UID of the stream, "" while there is none. Namespace is that of its
	// namespace, which owns what is uploaded until a manifest of the stream names it.
	Stream, Namespace string
}

// Owner is the UID that new links belong to.
func (r Repository) Owner() string {
	if r.Stream != "" {
		return r.Stream
	}
	return r.Namespace
}

// releasedSuffix marks the owner of links that a stream had and no longer has.
const releasedSuffix = "-released"

// Released is the repository for links that were removed from the stream and may still be
// needed by copies of its images, until RemoveOwner.
func (r Repository) Released() Repository {
	return Repository{Name: r.Name, Stream: r.Stream + releasedSuffix}
}

// IsReleased reports whether an owner is that of Released, and of which stream.
func IsReleased(owner string) (stream string, released bool) {
	return strings.CutSuffix(owner, releasedSuffix)
}

// Uploads is the repository for links to what no manifest names yet.
func (r Repository) Uploads() Repository { return Repository{Name: r.Name, Namespace: r.Namespace} }

// owners are the UIDs whose links count.
func (r Repository) owners() []string {
	return slices.DeleteFunc([]string{r.Stream, r.Namespace}, func(uid string) bool { return uid == "" })
}

// linkKey is a link in the cache.
type linkKey struct {
	kind   linkKind
	repo   string
	owner  string
	digest digest.Digest
}

// LinkBlob records that a repository has a blob, which is in storage already. Blob and link
// survive a power cut once the next LinkManifest of any repository has returned.
func (s *Store) LinkBlob(ctx context.Context, r Repository, d digest.Digest) error {
	return s.link(ctx, blobLinks, r, d)
}

// UnlinkBlob removes a blob from a repository; its data stays, and a stream's link is
// Released. ErrUnknown without link.
func (s *Store) UnlinkBlob(ctx context.Context, r Repository, d digest.Digest) error {
	return s.unlink(ctx, blobLinks, r, d)
}

// HasBlob reports whether a repository has a link to a blob, perhaps from memory. It
// does not look for the blob's data.
func (s *Store) HasBlob(ctx context.Context, r Repository, d digest.Digest) (bool, error) {
	return s.hasLink(ctx, blobLinks, r, d)
}

// LinkManifest records that a repository has a manifest, which is in storage already. When
// it returns, the manifest, its link, all blobs and links that this process made before,
// and those that were confirmed with Confirm survive a power cut.
func (s *Store) LinkManifest(ctx context.Context, r Repository, d digest.Digest) error {
	if err := s.link(ctx, manifestLinks, r, d); err != nil {
		return err
	}
	return s.lasting(ctx)
}

// UnlinkManifest removes a manifest from a repository; its data stays, and a stream's link
// is Released. ErrUnknown without link.
func (s *Store) UnlinkManifest(ctx context.Context, r Repository, d digest.Digest) error {
	return s.unlink(ctx, manifestLinks, r, d)
}

// HasManifest reports whether a repository has a link to a manifest, perhaps from memory.
func (s *Store) HasManifest(ctx context.Context, r Repository, d digest.Digest) (bool, error) {
	return s.hasLink(ctx, manifestLinks, r, d)
}

// link makes the link the owner's. One that the namespace has for an upload becomes the
// stream's.
func (s *Store) link(ctx context.Context, kind linkKind, r Repository, d digest.Digest) error {
	if err := checkLink(r, d); err != nil {
		return err
	}
	if err := s.noteOwner(ctx, r.Name, r.Owner()); err != nil {
		return err
	}
	folder := linkFolder(r.Name, kind, d)
	names, err := s.linkNames(ctx, kind, r, d)
	if err != nil {
		return err
	}
	if r.Stream != "" && slices.Contains(names, r.Namespace) {
		// Last, and also when nothing is remembered: another request may be reading it.
		defer s.links.drop(linkKey{kind, r.Name, r.Namespace, d})
	}
	mark := s.links.mark()
	if err := s.writeOwner(ctx, folder, r, names); err != nil {
		return err
	}
	if !slices.Contains(names, linkFile) {
		if err := s.putSmall(ctx, folder+"/"+linkFile, []byte(d)); err != nil {
			return err
		}
	}
	s.links.add(mark, linkKey{kind, r.Name, r.Owner(), d}.clone(), struct{}{})
	if kind == blobLinks {
		s.recent.add(r.Name, d)
	}
	return s.changed(ctx, folder)
}

// linkNames are the files of a link. An object store writes an upload's link without
// looking: that costs as much as writing.
func (s *Store) linkNames(ctx context.Context, kind linkKind, r Repository, d digest.Digest) ([]string, error) {
	if s.object && r.Stream == "" {
		return nil, nil
	}
	return s.linkFiles(ctx, linkFolder(r.Name, kind, d))
}

// linkFiles lists the files in the folder of a link. What a process that was killed left
// half written there is none.
func (s *Store) linkFiles(ctx context.Context, folder string) ([]string, error) {
	names, err := s.list(ctx, folder)
	return slices.DeleteFunc(names, func(name string) bool { return name != linkFile && checkOwner(name) != nil }), err
}

// writeOwner writes the owner's file of a link, before the file that all owners share.
// The namespace's becomes the stream's: the next stream of that name must not find it.
func (s *Store) writeOwner(ctx context.Context, folder string, r Repository, names []string) error {
	owned := slices.Contains(names, r.Owner())
	uploaded := r.Stream != "" && slices.Contains(names, r.Namespace)
	switch {
	case owned && uploaded:
		return s.remove(ctx, folder+"/"+r.Namespace)
	case owned && r.Stream != "":
		return nil // but an upload's is as young as the last upload, see RemoveOwner
	case uploaded:
		err := s.moveUnsynced(ctx, folder+"/"+r.Namespace, folder+"/"+r.Stream)
		if err == nil {
			return nil
		}
		// Another push may have moved it at the same time. Drivers have errors of their own
		// for that.
		if _, _, gone := s.stat(ctx, folder+"/"+r.Namespace); !errors.Is(gone, ErrUnknown) {
			return err
		}
	}
	return s.putSmall(ctx, folder+"/"+r.Owner(), nil)
}

// moveUnsynced renames a small file.
func (s *Store) moveUnsynced(ctx context.Context, from, to string) error {
	if s.disk != nil {
		return failure(s.disk.MoveUnsynced(ctx, from, to), "moving "+from+" to", to)
	}
	return failure(s.driver.Move(ctx, from, to), "moving "+from+" to", to)
}

func (s *Store) unlink(ctx context.Context, kind linkKind, r Repository, d digest.Digest) error {
	if err := checkLink(r, d); err != nil {
		return err
	}
	found, err := s.hasLink(ctx, kind, r, d)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("removing the link of %s from %s: %w", d, r.Name, ErrUnknown)
	}
	if _, err := s.adopter(ctx, r); err != nil && !errors.Is(err, ErrFull) {
		return err
	}
	if r.Stream != "" {
		if err := s.link(ctx, kind, r.Released(), d); err != nil {
			return err
		}
	}
	return linkRemoval{store: s, repo: r.Name, owners: r.owners()}.remove(ctx, kind, d)
}

func (s *Store) hasLink(ctx context.Context, kind linkKind, r Repository, d digest.Digest) (bool, error) {
	for _, owner := range [...]string{r.Stream, r.Namespace} {
		if _, _, ok := s.links.get(linkKey{kind, r.Name, owner, d}); ok {
			return true, nil
		}
	}
	if r.Owner() == "" {
		return false, errors.Join(checkRepository(r.Name), checkDigest(d))
	}
	if err := checkLink(r, d); err != nil {
		return false, err
	}
	mark := s.links.mark()
	names, err := s.linkFiles(ctx, linkFolder(r.Name, kind, d))
	if err != nil {
		return false, err
	}
	owner := ""
	for _, uid := range r.owners() {
		if owner == "" && slices.Contains(names, uid) {
			owner = uid
		}
	}
	if owner == "" && isUnowned(names) {
		if owner, err = s.adopter(ctx, r); err != nil {
			return false, err
		}
	}
	if owner == "" {
		return false, nil
	}
	s.links.add(mark, linkKey{kind, r.Name, owner, d}.clone(), struct{}{})
	if kind == blobLinks {
		s.recent.add(r.Name, d)
	}
	return true, nil
}

// checkLink lets pass what can be a link.
func checkLink(r Repository, d digest.Digest) error {
	errs := []error{checkRepository(r.Name), checkDigest(d), checkOwner(r.Owner())}
	if r.Namespace != "" {
		errs = append(errs, checkOwner(r.Namespace))
	}
	return errors.Join(errs...)
}

// clone keeps no reference to the texts that names and digests may be parts of.
func (k linkKey) clone() linkKey {
	return linkKey{k.kind, strings.Clone(k.repo), strings.Clone(k.owner), digest.Digest(strings.Clone(string(k.digest)))}
}
