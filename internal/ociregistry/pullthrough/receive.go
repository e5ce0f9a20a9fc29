package pullthrough

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/upstream"
)

// storageError tells a failure of storage from one of the feed.
type storageError struct{ err error }

func (e *storageError) Error() string { return e.err.Error() }
func (e *storageError) Unwrap() error { return e.err }

// copyBytes is how much is moved at a time.
const copyBytes = 256 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBytes]byte) }}

// receive writes the feed into storage, where its digest is verified, and lets readers
// follow.
func (f *fetch) receive(ingest *blobstore.Ingest) error {
	temp := f.show(ingest)
	flush := flusher{fetch: f}
	buffer := copyBuffers.Get().(*[copyBytes]byte)
	defer copyBuffers.Put(buffer)
	for {
		n, err := f.feed.Read(buffer[:])
		if n > 0 {
			if f.feed.size < 0 && f.feed.pos > f.m.opts.MaxBlobBytes {
				return &upstream.Error{Code: upstream.CodeTooLarge, Source: firstOf(f.feed.used), Text: "the blob is larger than a blob may be"}
			}
			if _, err := ingest.Write(buffer[:n]); err != nil {
				return &storageError{err}
			}
			temp = f.follow(temp, buffer[:n])
			flush.wrote(int64(n))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	err := ingest.Commit(f.ctx)
	var mismatch *blobstore.DigestMismatch
	switch {
	case err == nil, errors.As(err, &mismatch):
		return err
	case f.ctx.Err() != nil:
		return context.Cause(f.ctx)
	}
	return &storageError{err}
}

// show opens what is written for readers: the file of storage itself or, where that
// cannot be read yet, a temporary copy. It returns that copy, nil for none. With neither,
// readers wait until all is stored.
func (f *fetch) show(ingest *blobstore.Ingest) (temp *file) {
	r, err := ingest.Open(f.ctx, 0)
	if plain, ok := r.(*os.File); ok && err == nil {
		f.change(func() { f.file = newFile(plain) })
		return nil
	}
	if err == nil {
		r.Close()
	}
	temp, err = f.m.newTempFile()
	if err != nil {
		klog.ErrorS(err, "Callers wait until a blob is stored", "digest", f.d)
		return nil
	}
	f.change(func() { f.file = temp })
	return temp
}

// follow lets readers go on to what has been written. A temporary file without room
// stays as it is: readers wait at its end until all is stored.
func (f *fetch) follow(temp *file, p []byte) *file {
	if temp != nil {
		if err := temp.add(p, f.m.opts.MaxTempBytes); err != nil {
			klog.ErrorS(err, "Callers wait until a blob is stored", "digest", f.d)
			return nil
		}
	}
	if f.file != nil && (f.file.temp == nil || temp != nil) {
		f.change(func() { f.readable += int64(len(p)) })
	}
	return temp
}

// flushBytes is how much is written before the disk is told to begin.
const flushBytes = 16 << 20

// flusher puts what has arrived onto the disk while more arrives, so that the last bytes,
// which wait for Commit, do not wait for all of it. What fails there fails in Commit.
type flusher struct {
	fetch   *fetch
	pending int64
	running atomic.Bool
}

func (u *flusher) wrote(n int64) {
	u.pending += n
	shared := u.fetch.file
	if u.pending < flushBytes || shared == nil || shared.temp != nil || u.running.Load() || !shared.acquire() {
		return
	}
	u.pending = 0
	u.running.Store(true)
	if !u.fetch.m.start(func() {
		defer shared.release()
		if err := shared.Sync(); err != nil {
			klog.V(2).InfoS("What has arrived is not on the disk yet", "digest", u.fetch.d, "err", err)
		}
		u.running.Store(false)
	}) {
		shared.release()
	}
}
