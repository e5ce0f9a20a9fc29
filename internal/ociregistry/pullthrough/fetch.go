package pullthrough

import (
	"context"
	"errors"
	"sync"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
)

// phase is how far a fetch is.
type phase int

const (
	fetching phase = iota
	done           // stored
	failed         // readers get no more than what is verified
)

// errAbandoned ends a fetch without callers that is not continued in the background.
var errAbandoned = errors.New("all callers have left")

// fetch is one blob on its way into storage, and what its readers know of it.
type fetch struct {
	m      *Mirror
	key    fetchKey
	d      digest.Digest
	ctx    context.Context
	cancel context.CancelCauseFunc
	feed   *feed

	// Guarded by Mirror.mu.
	holders    int
	background bool
	over       bool

	mu       sync.Mutex
	changed  chan struct{} // closed at the next change; nil while none is waited for
	phase    phase
	answered bool  // a source has begun to send
	size     int64 // -1 until it is known
	readable int64 // bytes of the blob in file
	verified bool  // they are the whole blob and verified, though perhaps not stored yet
	given    bool  // a caller has got content, or a size, that is not verified
	file     *file
	err      error // why it failed
	arrived  int64 // bytes that were received
}

// nearlyDone reports whether so little is missing that it is fetched without callers.
func (f *fetch) nearlyDone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size >= 0 && f.size-f.arrived <= f.m.opts.MaxBackgroundBytes
}

// until waits until a condition holds, which is looked at with the lock held.
func (f *fetch) until(ctx context.Context, holds func() bool) error {
	for {
		f.mu.Lock()
		if holds() {
			f.mu.Unlock()
			return nil
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return gaveUp(ctx, f.d)
		}
	}
}

// change changes what readers see and wakes those who wait.
func (f *fetch) change(apply func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	apply()
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// run fetches. A source that sent something else is given up, and as long as no reader
// has any of that the next one is tried.
func (f *fetch) run() {
	fetchesInFlight.WithLabelValues(kindBlob).Inc()
	defer fetchesInFlight.WithLabelValues(kindBlob).Dec()
	var mismatch *blobstore.DigestMismatch
	for {
		err := f.attempt()
		f.feed.close()
		if !errors.As(err, &mismatch) {
			f.finish(err)
			return
		}
		wrong := f.feed.wrong(mismatch.Got)
		klog.ErrorS(err, "Another registry sent wrong content", "digest", f.d, "from", wrong.Source)
		if !f.restart() {
			f.finish(wrong)
			return
		}
	}
}

// restart forgets what has arrived; false when a reader has got some of it.
func (f *fetch) restart() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.given {
		return false
	}
	f.readable, f.arrived, f.size, f.answered = 0, 0, f.feed.job.Size, false
	if f.file != nil {
		f.file.release()
		f.file = nil
	}
	return true
}

// attempt fetches the whole blob once.
func (f *fetch) attempt() error {
	if size, ok := f.stored(); ok {
		f.change(func() { f.phase, f.size = done, size })
		return nil
	}
	if err := f.feed.open(); err != nil {
		return err
	}
	ingest, err := f.m.opts.Store.Ingest(f.ctx, f.d)
	if err != nil {
		return f.storageFailure(err)
	}
	temp := f.show(ingest)
	f.change(func() { f.answered, f.size = true, f.feed.size })
	if err := f.receive(ingest, temp); err != nil {
		if dropped := ingest.Cancel(f.ctx); dropped != nil {
			klog.ErrorS(dropped, "What was written aside stays until it is collected", "digest", f.d)
		}
		return err
	}
	f.noteProvenance()
	f.change(func() { f.phase, f.size = done, f.feed.size })
	mirroredBytes.Add(float64(f.feed.size))
	return nil
}

// stored returns the size of the blob if a fetch from the same sources has finished since
// the caller looked.
func (f *fetch) stored() (int64, bool) {
	var provenances []string
	for _, c := range f.feed.candidates {
		provenances = append(provenances, c.source.Provenance(c.scope))
	}
	came, err := f.m.opts.Store.CameFrom(f.ctx, f.d, provenances...)
	if !came || err != nil {
		return 0, false
	}
	size, err := f.m.opts.Store.Stat(f.ctx, f.d)
	return size, err == nil
}

// noteProvenance records where the content came from. If that fails, the content is fetched
// again by the next caller, like content that is not stored.
func (f *fetch) noteProvenance() {
	servedBy := f.feed.servedBy
	if len(servedBy) == 0 { // no bytes, which all of them have
		servedBy = f.feed.candidates
	}
	if err := f.m.addProvenances(context.WithoutCancel(f.ctx), f.d, servedBy); err != nil {
		klog.ErrorS(err, "It could not be recorded where a blob came from", "digest", f.d)
	}
}

// finish tells readers how it ended. err is nil when the phase says it already.
func (f *fetch) finish(err error) {
	if isNotStored(err) {
		f.m.pauseStorage(f.d.String(), err)
	}
	f.m.forget(f)
	f.change(func() {
		if err != nil {
			f.phase, f.err = failed, err
		}
		if f.phase == failed || f.answered && f.phase == done {
			fetchesTotal.WithLabelValues(kindBlob, outcomeOf(f.feed.job.failure(f.err))).Inc()
		}
		if f.file != nil {
			f.file.release()
		}
	})
	f.cancel(nil)
}
