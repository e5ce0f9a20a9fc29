package pullthrough

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
)

// notStoredError ends a fetch whose content storage did not take, unlike a failure of the
// feed.
type notStoredError struct{ error }

// Unwrap returns the failure of storage.
func (e *notStoredError) Unwrap() error { return e.error }

func isNotStored(err error) bool {
	var e *notStoredError
	return errors.As(err, &e)
}

// storageFailure is a *notStoredError, unless the fetch was given up.
func (f *fetch) storageFailure(err error) error {
	if f.ctx.Err() != nil {
		return context.Cause(f.ctx)
	}
	return &notStoredError{err}
}

// receive writes the feed into storage, where its digest is verified, and lets readers
// follow. They get its end once it is verified, even if storage fails after that.
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

// complete lets readers have the whole verified blob. From then on the fetch continues without
// readers: it only has to store the blob.
func (f *fetch) complete() {
	f.m.mu.Lock()
	f.over = true
	f.m.leaveBackground(f)
	f.m.mu.Unlock()
	f.change(func() { f.verified, f.size = true, f.feed.size })
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
	readable := f.file != nil && (f.file.temp == nil || temp != nil)
	f.change(func() {
		f.arrived += int64(len(p))
		if readable {
			f.readable += int64(len(p))
		}
	})
	return temp
}

// flushBytes is how much is written before the disk is told to begin.
const flushBytes = 16 << 20

// flusher puts what has arrived onto the disk while more arrives, so that little is left
// for Commit, and the next layers do not meet with all of it at the disk. What fails there
// fails in Commit.
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
