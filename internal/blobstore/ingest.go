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
// before Commit. One goroutine writes and ends it with Commit or Cancel; others may ask
// for its size and open it meanwhile.
type Ingest struct {
	store  *Store
	digest digest.Digest
	file   *asideFile
	hash   *runningHash // of the goroutine that writes
	ended  bool         // of that goroutine too
	size   atomic.Int64
	stored atomic.Bool
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

// Write appends to the blob. After an error there is only Cancel left.
func (i *Ingest) Write(p []byte) (int, error) {
	if i.ended {
		return 0, i.over()
	}
	n, err := i.file.writer.Write(p)
	if err != nil {
		return n, failure(err, "writing", asidePath(i.file.id))
	}
	if _, err := i.hash.Write(p); err != nil {
		return n, err
	}
	i.size.Add(int64(n))
	return n, nil
}

// Size is how many bytes were written, and can be read where Open can.
func (i *Ingest) Size() int64 { return i.size.Load() }

// Commit verifies the digest and moves the blob into place. After an error, a
// *DigestMismatch among them, nothing of it is left.
func (i *Ingest) Commit(ctx context.Context) error {
	if i.ended {
		return i.over()
	}
	i.ended = true
	if got := i.hash.digest(); got != i.digest {
		i.file.discard(ctx)
		return &DigestMismatch{Want: i.digest, Got: got}
	}
	if err := i.file.keep(ctx, i.digest, i.Size(), false); err != nil {
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

func (i *Ingest) over() error {
	return fmt.Errorf("writing blob %s: it was committed or cancelled: %w", i.digest, ErrUnknown)
}

// Open reads what has been written so far from an offset on, on a plain filesystem as an
// *os.File whose end moves while more is written; elsewhere it is errors.ErrUnsupported.
// After Commit it reads the blob, after Cancel it is ErrUnknown unless the blob is there
// otherwise. What it reads before Commit is not verified.
func (i *Ingest) Open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	if i.store.disk == nil && !i.stored.Load() {
		return nil, fmt.Errorf("reading blob %s while it arrives: %w", i.digest, errors.ErrUnsupported)
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
