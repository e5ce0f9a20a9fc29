package blobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A link belongs to an owner, the UID of a stream or namespace, whose file lies beside it.
// Because the files of two owners have different names, removing the links of a stream
// that is gone never removes those of the next stream of that name, however late it is
// done and by how many processes.
//
// Links of distribution's registry, of OpenShift's and of earlier versions have no owner.
// They belong to the first stream that Adopt gives them to, that reads one in the
// repository, or of which a link is removed: _owners/unowned then holds its UID. So a link
// that lost its owner's file while link was being written is never the next stream's.

// isUnowned reports whether the files of a link are those of one without an owner.
func isUnowned(names []string) bool { return len(names) == 1 && names[0] == linkFile }

// adopter is the owner that the unowned links of a repository belong to, if it is r's
// stream; else "".
func (s *Store) adopter(ctx context.Context, r Repository) (string, error) {
	if r.Stream == "" {
		return "", nil
	}
	uid, err := s.unownedOf(ctx, r.Name)
	if err != nil {
		return "", err
	}
	if uid == "" {
		uid = r.Stream
		err = s.adopt(ctx, r.Name, uid)
	}
	if err != nil || uid != r.Stream {
		return "", err
	}
	return uid, nil
}

// Adopt makes the unowned links of a repository those of r's stream, unless they are
// another's. It survives a power cut. Streams that are there when Weir takes storage over are
// to have them: the next stream of the name is not.
func (s *Store) Adopt(ctx context.Context, r Repository) error {
	if err := errors.Join(checkRepository(r.Name), checkOwner(r.Stream)); err != nil {
		return err
	}
	_, err := s.adopter(ctx, r)
	return err
}

// adopt makes the unowned links of a repository an owner's.
func (s *Store) adopt(ctx context.Context, repo, uid string) error {
	// First, so that Owners finds what unowned names, whatever fails in between.
	if err := s.noteOwner(ctx, repo, uid); err != nil {
		return err
	}
	path := ownersFolder(repo) + "/" + unownedFile
	return failure(s.driver.PutContent(ctx, path, []byte(uid)), "writing", path)
}

// unownedOf is the UID of the stream that the unowned links of a repository belong to, ""
// for none.
func (s *Store) unownedOf(ctx context.Context, repo string) (string, error) {
	key := ownerKey{repo, unownedFile}
	if uid, _, ok := s.owners.get(key); ok {
		return uid, nil
	}
	mark := s.owners.mark()
	path := ownersFolder(repo) + "/" + unownedFile
	content, err := s.driver.GetContent(ctx, path)
	if err != nil {
		if err = s.readFailure(ctx, err, "reading", path); errors.Is(err, ErrUnknown) {
			return "", nil
		}
		return "", err
	}
	uid := string(content)
	if checkOwner(uid) != nil {
		return "", nil // damaged: the next reader writes it anew
	}
	s.owners.add(mark, key.clone(), uid)
	return uid, nil
}

// ownerKey is a file of a repository's folder of owners.
type ownerKey struct{ repo, name string }

func (k ownerKey) clone() ownerKey { return ownerKey{strings.Clone(k.repo), strings.Clone(k.name)} }

// noteOwner records that a repository has links of an owner, so that Owners finds it.
func (s *Store) noteOwner(ctx context.Context, repo, uid string) error {
	key := ownerKey{repo, uid}
	_, mark, ok := s.owners.get(key)
	if ok {
		return nil
	}
	folder := ownersFolder(repo)
	noted, err := s.hasOwner(ctx, repo, uid)
	if err != nil {
		return err
	}
	if !noted {
		if err := s.putSmall(ctx, folder+"/"+uid, nil); err != nil {
			return err
		}
	}
	s.owners.add(mark, key.clone(), uid)
	return s.changed(ctx, folder)
}

// Owners lists the UIDs of all that have links in a repository, sorted.
func (s *Store) Owners(ctx context.Context, repo string) ([]string, error) {
	if err := checkRepository(repo); err != nil {
		return nil, err
	}
	names, err := s.list(ctx, ownersFolder(repo))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == unownedFile || checkOwner(name) != nil }), nil
}

// RemoveOwner removes the links of an owner from a repository, and referrers that have no
// link any more; blobs stay. A time that is not zero spares links that were made at that
// time or later. It is no error when there are none. What another owner has stays.
func (s *Store) RemoveOwner(ctx context.Context, repo, uid string, before time.Time) error {
	if err := errors.Join(checkRepository(repo), checkOwner(uid)); err != nil {
		return err
	}
	if err := s.removeOwner(ctx, repo, uid, before); err != nil {
		return fmt.Errorf("removing owner %s of %s: %w", uid, repo, err)
	}
	return nil
}

func (s *Store) removeOwner(ctx context.Context, repo, uid string, before time.Time) error {
	defer s.links.dropGroup(repo, func(k linkKey) bool { return k.owner == uid })
	adopter, err := s.unownedOf(ctx, repo)
	if err != nil {
		return err
	}
	removal := &ownerRemoval{linkRemoval: linkRemoval{store: s, repo: repo, owners: []string{uid}}, before: before, adopter: adopter}
	err = errors.Join(removal.removeLinks(ctx, blobLinks), removal.removeLinks(ctx, manifestLinks), s.removeLostReferrers(ctx, repo))
	if _, released := IsReleased(uid); err != nil || !before.IsZero() && (!released || removal.spared) {
		return err
	}
	defer s.owners.drop(ownerKey{repo, uid})
	return s.remove(ctx, ownersFolder(repo)+"/"+uid)
}

// hasOwner reports whether Owners lists a UID.
func (s *Store) hasOwner(ctx context.Context, repo, uid string) (bool, error) {
	_, _, err := s.stat(ctx, ownersFolder(repo)+"/"+uid)
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	return err == nil, err
}

// checkOwner lets pass what Kubernetes uses as a UID and what can be the name of a file
// beside a link.
func checkOwner(uid string) error {
	alphanumeric := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }
	stream, _ := IsReleased(uid)
	ok := stream != "" && len(stream) <= 64 && alphanumeric(stream[0]) && stream != linkFile && stream != unownedFile
	for i := range len(uid) {
		ok = ok && (alphanumeric(uid[i]) || uid[i] == '-')
	}
	if !ok {
		return fmt.Errorf("%w: %q is not a UID of an owner", ErrInvalid, uid)
	}
	return nil
}
