package blobstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"
	digest "github.com/opencontainers/go-digest"
)

// Content that is fetched from other registries lies in storage like what is pushed. But
// that another registry says it has a digest proves nothing: anybody can run one, which
// names digests of what only others may read. So it is recorded beside the content which
// sources it was really fetched from, and a source's word counts where it has given it.

// provenanceName is the name under which a source is recorded.
func provenanceName(source string) string {
	name := sha256.Sum256([]byte(source))
	return hex.EncodeToString(name[:])
}

// AddProvenance records that content was fetched from a source and verified. A source is
// any text that is the same whenever the same is meant. The record goes with the content,
// see Delete, and survives a power cut once AddProvenance returns.
func (s *Store) AddProvenance(ctx context.Context, d digest.Digest, source string) error {
	if err := checkDigest(d); err != nil {
		return err
	}
	path := provenanceFolder(d) + "/" + provenanceName(source)
	mark := s.provenances.mark()
	if err := failure(s.driver.PutContent(ctx, path, []byte(source+"\n")), "writing", path); err != nil {
		return err
	}
	s.rememberProvenance(mark, d, source)
	return nil
}

// rememberProvenance notes a source beside those that are known.
func (s *Store) rememberProvenance(mark uint64, d digest.Digest, source string) {
	known, _, _ := s.provenances.get(d)
	if !slices.Contains(known, source) {
		known = append(slices.Clone(known), strings.Clone(source))
	}
	s.provenances.add(mark, digest.Digest(strings.Clone(string(d))), known)
}

// Scope is what provenances that count for one namespace alone begin with; "" when it has
// none. It is not the namespace's name, which somebody else may have next: RemoveNamespace
// ends it.
func (s *Store) Scope(ctx context.Context, namespace string) (string, error) {
	if err := checkComponent(namespace); err != nil {
		return "", err
	}
	scope, mark, known := s.scopes.get(namespace)
	if known {
		return scope, nil
	}
	path := scopePath(namespace)
	content, err := s.driver.GetContent(ctx, path)
	if err != nil {
		if err = s.readFailure(ctx, err, "reading", path); errors.Is(err, ErrUnknown) {
			return "", nil
		}
		return "", err
	}
	s.scopes.add(mark, strings.Clone(namespace), string(content))
	return string(content), nil
}

// MakeScope is Scope for a namespace that is to have one.
func (s *Store) MakeScope(ctx context.Context, namespace string) (string, error) {
	scope, err := s.Scope(ctx, namespace)
	if err != nil || scope != "" {
		return scope, err
	}
	path := scopePath(namespace)
	if err := s.driver.PutContent(ctx, path, []byte(uuid.NewString())); err != nil {
		return "", failure(err, "writing", path)
	}
	return s.Scope(ctx, namespace) // of two who wrote at once, both take the later one's
}

// CameFrom reports whether content was ever fetched from one of several sources. It does
// not ask for the content itself.
func (s *Store) CameFrom(ctx context.Context, d digest.Digest, sources ...string) (bool, error) {
	if err := checkDigest(d); err != nil || len(sources) == 0 {
		return false, err
	}
	known, _, _ := s.provenances.get(d)
	if slices.ContainsFunc(sources, func(source string) bool { return slices.Contains(known, source) }) {
		return true, nil
	}
	mark := s.provenances.mark()
	recorded, err := s.recorded(ctx, d, sources)
	if err != nil || recorded == "" {
		return false, err
	}
	s.rememberProvenance(mark, d, recorded)
	return true, nil
}

// askSingly is for how many sources it is asked one by one. How many there are in all is
// up to others.
const askSingly = 16

// recorded is the first of some sources that storage says content came from, "" for none.
func (s *Store) recorded(ctx context.Context, d digest.Digest, sources []string) (string, error) {
	folder := provenanceFolder(d)
	if len(sources) <= askSingly {
		for _, source := range sources {
			if _, _, err := s.stat(ctx, folder+"/"+provenanceName(source)); !errors.Is(err, ErrUnknown) {
				return source, err
			}
		}
		return "", nil
	}
	names, err := s.list(ctx, folder)
	if err != nil {
		return "", err
	}
	for _, source := range sources {
		if _, found := slices.BinarySearch(names, provenanceName(source)); found {
			return source, nil
		}
	}
	return "", nil
}

// PutFetched stores a manifest that was fetched from another registry, after verifying its
// digest: *DigestMismatch. It lies apart from what is pushed, because of a manifest that
// was pushed it is known that whoever pushed it had all of its parts.
func (s *Store) PutFetched(ctx context.Context, d digest.Digest, manifest []byte) error {
	if err := checkDigest(d); err != nil {
		return err
	}
	if got := d.Algorithm().FromBytes(manifest); got != d {
		return &DigestMismatch{Want: d, Got: got}
	}
	path := fetchedPath(d)
	return failure(s.driver.PutContent(ctx, path, manifest), "writing", path)
}

// ReadFetched returns a manifest that PutFetched stored, or that was pushed: ErrUnknown for
// neither, *SizeMismatch for one of more than `most` bytes. Who may read it is for CameFrom
// to say.
func (s *Store) ReadFetched(ctx context.Context, d digest.Digest, most int64) ([]byte, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	path := fetchedPath(d)
	content, err := s.driver.GetContent(ctx, path)
	if err != nil {
		if err = s.readFailure(ctx, err, "reading", path); errors.Is(err, ErrUnknown) {
			return s.Read(ctx, d, most)
		}
		return nil, err
	}
	if int64(len(content)) > most {
		return nil, &SizeMismatch{Want: most, Got: int64(len(content))}
	}
	if d.Algorithm().FromBytes(content) != d {
		return s.Read(ctx, d, most) // it can be fetched again, and then takes this one's place
	}
	return content, nil
}
