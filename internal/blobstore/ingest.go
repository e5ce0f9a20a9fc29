package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"
)

// Ingest is a blob that arrives from elsewhere under a known digest. It is not in storage
// before Commit. One goroutine receives, verifies and ends it with Commit or Cancel;
// others may ask for its size and open it meanwhile. It has no goroutine of its own but
// while Receive runs.
type Ingest struct {
	store  *Store
	digest digest.Digest
	file   *asideFile
	size   atomic.Int64
	stored atomic.Bool

	// Of the goroutine that receives.
	hash     *runningHash
	broken   error // storage failed: the content of the file is not known
	verified bool
	ended    bool
}

// Ingest begins a blob. It does not look whether the blob is there.
func (s *Store) Ingest(ctx context.Context, d digest.Digest) (*Ingest, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	f, err := s.newAside(ctx)
	if err != nil {
		return nil, err
	}
	return &Ingest{store: s, digest: d, file: f, hash: newRunningHash(d.Algorithm())}, nil
}

// Receive appends what a reader gives until it ends, and returns how many bytes that was.
// They are hashed by another goroutine beside receiving and writing, which is done when
// Receive returns. wrote, nil for none, is called for every piece once Size counts it and
// Open reads it, in the caller's goroutine; it may look at the piece until it returns.
//
// When the reader or the context fails (*ReceiveError) what came before stays, and there
// may be another Receive. After any other error, which is storage's, there is only Cancel
// left.
func (i *Ingest) Receive(ctx context.Context, r io.Reader, wrote func(p []byte)) (n int64, err error) {
	if err := i.usable(); err != nil {
		return 0, err
	}
	if i.verified {
		return 0, fmt.Errorf("writing blob %s: it is verified already: %w", i.digest, ErrUnknown)
	}
	n, err = receiver{to: i.store.sparing(i.file.writer), hash: i.hash, max: -1, wrote: func(p []byte) {
		i.size.Add(int64(len(p)))
		if wrote != nil {
			wrote(p)
		}
	}}.copy(ctx, r)
	var received *ReceiveError
	if err != nil && !errors.As(err, &received) {
		err = failure(err, "writing", asidePath(i.file.id))
		i.broken = err
	}
	return n, err
}

// Size is how many bytes were written, and can be read where Open can.
func (i *Ingest) Size() int64 { return i.size.Load() }

// Verify compares the digest of all that was received, which must be all there is. When
// the error is nil, what Open reads is the blob, whole and right, though it may not be
// stored in the end. After an error, a *DigestMismatch among them, there is only Cancel
// left.
func (i *Ingest) Verify() error {
	if err := i.usable(); err != nil || i.verified {
		return err
	}
	if got := i.hash.digest(); got != i.digest {
		i.broken = &DigestMismatch{Want: i.digest, Got: got}
		return i.broken
	}
	i.verified = true
	return nil
}

// Commit verifies the digest, unless Verify has, and moves the blob into place. It
// returns when its content is on the disk, and is not interrupted by the context. After an
// error, a *DigestMismatch among them, nothing of it is left.
func (i *Ingest) Commit(ctx context.Context) error {
	if err := i.Verify(); err != nil {
		_ = i.Cancel(ctx) // which has no error to tell
		return err
	}
	i.ended = true
	if err := i.file.keep(ctx, i.digest, i.Size()); err != nil {
		return err
	}
	i.stored.Store(true)
	return nil
}

// Cancel removes what was written. It does nothing after Commit or another Cancel.
func (i *Ingest) Cancel(ctx context.Context) error {
	if !i.ended {
		i.ended = true
		i.file.discard(ctx)
	}
	return nil
}

// usable is an error when there is nothing to be done any more.
func (i *Ingest) usable() error {
	if i.ended {
		return fmt.Errorf("writing blob %s: it is committed or canceled already: %w", i.digest, ErrUnknown)
	}
	return i.broken
}

// Open reads what has been written so far from an offset on, on a plain filesystem as an
// *os.File whose end moves while more is written; elsewhere it is errors.ErrUnsupported.
// After Commit it reads the blob, after Cancel it is ErrUnknown unless the blob is there
// otherwise. What it reads before Verify is not verified.
func (i *Ingest) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	if i.store.disk == nil && !i.stored.Load() {
		return nil, fmt.Errorf("reading blob %s during the upload: %w", i.digest, errors.ErrUnsupported)
	}
	if !i.stored.Load() {
		path := asidePath(i.file.id)
		r, err := i.store.driver.Reader(ctx, path, offset)
		if err = failure(err, "opening", path); !errors.Is(err, ErrUnknown) {
			return r, err
		}
	}
	return i.store.Open(ctx, i.digest, offset)
}
