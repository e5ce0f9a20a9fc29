package blobstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

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
	names, err := s.list(ctx, provenanceFolder(d))
	if err != nil {
		return false, err
	}
	for _, source := range sources {
		if slices.Contains(names, provenanceName(source)) {
			s.rememberProvenance(mark, d, source)
			return true, nil
		}
	}
	return false, nil
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
// neither. Who may read it is for CameFrom to say. Its errors are those of Read.
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
	if d.Algorithm().FromBytes(content) != d {
		return s.Read(ctx, d, most) // it can be fetched again, and then takes this one's place
	}
	return content, nil
}
