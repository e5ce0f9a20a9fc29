package blobstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// Content that is fetched from another registry lies in storage beside pushed content. That a
// registry names a digest does not prove that it has the content: an attacker can run one that
// names digests of others. Therefore the sources that content was really fetched from are
// recorded beside it.

// provenanceName is the name under which a source is recorded.
func provenanceName(source string) string {
	name := sha256.Sum256([]byte(source))
	return hex.EncodeToString(name[:])
}

// AddProvenance records that content was fetched from a source and verified. A source is
// any text that identifies it. Delete removes the record with the content. The record
// survives a power cut once AddProvenance returns.
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

// rememberProvenance adds a source to those in the cache.
func (s *Store) rememberProvenance(mark uint64, d digest.Digest, source string) {
	known, _, _ := s.provenances.get(d)
	if !slices.Contains(known, source) {
		known = append(slices.Clone(known), strings.Clone(source))
	}
	s.provenances.add(mark, digest.Digest(strings.Clone(string(d))), known)
}

// FormerScope returns the scope under which earlier versions recorded the provenances of one
// namespace, "" for none. They stored it by the name of the namespace. It belongs to the
// namespace that has the name now only if it was written after since, the creation of that
// namespace.
func (s *Store) FormerScope(ctx context.Context, namespace string, since time.Time) (string, error) {
	if err := checkComponent(namespace); err != nil {
		return "", err
	}
	path := scopePath(namespace)
	_, written, err := s.stat(ctx, path)
	if errors.Is(err, ErrUnknown) || err == nil && written.Before(since) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	content, err := s.driver.GetContent(ctx, path)
	if err != nil {
		return "", s.readFailure(ctx, err, "reading", path)
	}
	return string(content), nil
}

// CameFrom reports whether content was ever fetched from one of several sources. It does
// not check that the content is still stored.
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

// askSingly is up to how many sources are looked up one by one. Beyond that one listing of all
// records costs less.
const askSingly = 16

// recorded returns the first of some sources that is recorded for a digest, "" for none.
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

// readFetched reads a manifest of another registry from the place where earlier versions
// kept it.
func (s *Store) readFetched(ctx context.Context, d digest.Digest, most int64) ([]byte, error) {
	path := fetchedPath(d)
	content, err := s.driver.GetContent(ctx, path)
	if err != nil {
		return nil, s.readFailure(ctx, err, "reading", path)
	}
	if int64(len(content)) > most {
		return nil, &SizeMismatch{Want: most, Got: int64(len(content))}
	}
	if got := d.Algorithm().FromBytes(content); got != d {
		return nil, fmt.Errorf("reading %s: %w", path, &DigestMismatch{Want: d, Got: got})
	}
	return content, nil
}
