package pullthrough

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
)

// notStoredError is a failure of storage, as opposed to one of the feed.
type notStoredError struct{ error }

// Unwrap returns the failure of storage.
func (e *notStoredError) Unwrap() error { return e.error }

func isNotStored(err error) bool {
	var e *notStoredError
	return errors.As(err, &e)
}

// storageFailure returns a *notStoredError, unless the fetch was canceled.
func (f *fetch) storageFailure(err error) error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	return &notStoredError{err}
}

// receive writes the feed into storage, which verifies its digest, while readers follow. They
// get the end once it is verified, even if storage fails after that.
func (f *fetch) receive(ingest *blobstore.Ingest, temp *file) error {
	flush := flusher{fetch: f}
	_, err := ingest.Receive(f.ctx, f.feed, func(p []byte) {
		temp = f.follow(temp, p)
		flush.wrote(int64(len(p)))
	})
	if err == nil {
		err = ingest.Verify()
	}
	if err == nil {
		f.complete()
		err = ingest.Commit(f.ctx)
	}
	var received *blobstore.ReceiveError
	var mismatch *blobstore.DigestMismatch
	switch {
	case err == nil, errors.As(err, &mismatch):
		return err
	case errors.As(err, &received) && f.ctx.Err() == nil:
		return received.Err
	}
	return f.storageFailure(err)
}

// complete releases the whole verified blob to readers. After that the fetch does not need
// callers: it only stores the blob.
func (f *fetch) complete() {
	f.m.mu.Lock()
	f.over = true
	f.m.leaveBackground(f)
	f.m.mu.Unlock()
	f.change(func() { f.verified, f.size = true, f.feed.size })
}

// show opens the received bytes for readers: the file of storage itself or, if that cannot be
// read during the write, a temporary copy. It returns that copy, nil for none. With neither,
// readers wait until the blob is stored.
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
		klog.ErrorS(err, "Serving a blob during its fetch is not possible; readers wait until it is stored", "digest", f.d)
		return nil
	}
	f.change(func() { f.file = temp })
	return temp
}

// follow makes written bytes available to readers. A full temporary file stays as it is:
// readers wait at its end until the blob is stored.
func (f *fetch) follow(temp *file, p []byte) *file {
	if temp != nil {
		if err := temp.add(p, f.m.opts.MaxTempBytes); err != nil {
			klog.ErrorS(err, "Serving a blob during its fetch is not possible; readers wait until it is stored", "digest", f.d)
			return nil
		}
	}
	readable := f.file != nil && (f.file.temp == nil || temp != nil)
	f.change(func() {
		f.arrived += int64(len(p))
		if readable {
			f.readable += int64(len(p))
		}
	})
	return temp
}

// flushBytes is the number of written bytes after which a flush to disk starts.
const flushBytes = 16 << 20

// flusher flushes received bytes to disk during the fetch, so that Commit has little to flush
// and does not delay other layers. A failed flush fails again in Commit.
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
			klog.V(2).InfoS("Flushing a partial blob to disk failed", "digest", u.fetch.d, "err", err)
		}
		u.running.Store(false)
	}) {
		shared.release()
	}
}
