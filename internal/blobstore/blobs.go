package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// Stat returns a blob's size in bytes. It may answer from memory, see Options.CacheFor.
func (s *Store) Stat(ctx context.Context, d digest.Digest) (int64, error) {
	if size, _, ok := s.sizes.get(d); ok {
		return size, nil
	}
	return s.look(ctx, d)
}

// Confirm is Stat for a blob that a manifest is about to depend on. It asks storage, since
// other replicas delete there, and makes the next LinkManifest wait until the blob survives
// a power cut, even if another process stored it.
func (s *Store) Confirm(ctx context.Context, d digest.Digest) (int64, error) {
	size, err := s.look(ctx, d)
	if err != nil {
		return 0, err
	}
	return size, s.needed(ctx, blobFolder(d))
}

// look asks storage for a blob's size.
func (s *Store) look(ctx context.Context, d digest.Digest) (int64, error) {
	if err := checkDigest(d); err != nil {
		return 0, err
	}
	mark := s.sizes.mark()
	size, _, err := s.stat(ctx, blobPath(d))
	if err != nil {
		s.forgetMissing(d, err)
		return 0, err
	}
	s.remember(mark, d, size)
	return size, nil
}

// remember puts a size into the cache, with a copy of the digest, which may be a part of a
// larger text. If the cache has another size, damaged data was replaced: the entry is
// dropped, and the next call reads the size from storage.
func (s *Store) remember(mark uint64, d digest.Digest, size int64) {
	if known, _, ok := s.sizes.get(d); ok && known != size {
		s.sizes.drop(d)
		return
	}
	s.sizes.add(mark, digest.Digest(strings.Clone(string(d))), size)
}

// forgetMissing drops a blob from the cache if the error is ErrUnknown.
func (s *Store) forgetMissing(d digest.Digest, err error) {
	if errors.Is(err, ErrUnknown) {
		s.sizes.forget(d)
	}
}

// Open reads a blob from an offset in bytes on; from its end on there is nothing to read.
// ctx has to outlive the reader. On a plain filesystem the reader is an *os.File, which
// stays readable when the blob is deleted.
func (s *Store) Open(ctx context.Context, d digest.Digest, offset int64) (io.ReadCloser, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	path := blobPath(d)
	r, err := s.driver.Reader(ctx, path, offset)
	if err != nil {
		err = s.readFailure(ctx, err, "opening", path)
		s.forgetMissing(d, err)
		return nil, err
	}
	return r, nil
}

// Read returns the content of a small blob of at most `most` bytes, and a *SizeMismatch for
// a larger one. It verifies the content, which may have rotted on the disk or come from another
// registry whose storage was taken over: *DigestMismatch if it has another digest.
func (s *Store) Read(ctx context.Context, d digest.Digest, most int64) ([]byte, error) {
	size, known := int64(0), false
	if size, _, known = s.sizes.get(d); known && size > most {
		return nil, &SizeMismatch{Want: most, Got: size}
	}
	r, err := s.Open(ctx, d, 0)
	if errors.Is(err, ErrUnknown) {
		return s.readFetched(ctx, d, most)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := content.ReadFrom(io.LimitReader(r, most+1)); err != nil {
		return nil, failure(err, "reading", blobPath(d))
	}
	if int64(content.Len()) > most {
		return nil, &SizeMismatch{Want: most, Got: int64(content.Len())}
	}
	if got := d.Algorithm().FromBytes(content.Bytes()); got != d {
		return nil, fmt.Errorf("reading %s: %w", blobPath(d), &DigestMismatch{Want: d, Got: got})
	}
	return content.Bytes(), nil
}

// Put stores a small blob, a manifest or configuration, after verifying its digest:
// *DigestMismatch. It is no error when the blob is there; data that was damaged is
// replaced.
func (s *Store) Put(ctx context.Context, d digest.Digest, content []byte) error {
	if err := checkDigest(d); err != nil {
		return err
	}
	if got := d.Algorithm().FromBytes(content); got != d {
		return &DigestMismatch{Want: d, Got: got}
	}
	return s.place(ctx, d, content)
}

// Delete removes a blob's data and where it came from. Links to it stay: they lead nowhere
// until it is pushed again.
func (s *Store) Delete(ctx context.Context, d digest.Digest) error {
	if err := checkDigest(d); err != nil {
		return err
	}
	defer s.sizes.drop(d)
	defer s.provenances.drop(d)
	folder := blobFolder(d)
	return failure(s.driver.Delete(ctx, folder), "deleting", folder)
}

// RedirectURL is a URL, valid for some minutes, from which a client may fetch the blob
// with the request's method; "" when the storage has none.
func (s *Store) RedirectURL(r *http.Request, d digest.Digest) (string, error) {
	if err := checkDigest(d); err != nil {
		return "", err
	}
	url, err := s.driver.RedirectURL(r, blobPath(d))
	return url, failure(err, "making a URL for", blobPath(d))
}
