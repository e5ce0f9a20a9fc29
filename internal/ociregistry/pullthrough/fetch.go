package pullthrough

import (
	"context"
	"errors"
	"sync"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
)

// phase is the progress of a fetch.
type phase int

const (
	fetching phase = iota
	done           // stored
	failed         // readers get only verified bytes
)

// errAbandoned ends a fetch without callers that is not continued in the background.
var errAbandoned = errors.New("all callers are gone")

// fetch is one blob being fetched into storage, with the state that its readers share.
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
	changed  chan struct{} // closed at the next change; nil without waiters
	phase    phase
	answered bool  // a source has started to send
	size     int64 // -1 if unknown
	readable int64 // bytes of the blob in file
	verified bool  // file has the whole blob, verified, but perhaps not stored yet
	given    bool  // a caller has received unverified content or an unverified size
	file     *file
	err      error // the failure
	arrived  int64 // bytes received
}

// nearlyDone reports whether little enough is missing to finish without callers.
func (f *fetch) nearlyDone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size >= 0 && f.size-f.arrived <= f.m.opts.MaxBackgroundBytes
}

// until waits until a condition holds. It evaluates the condition with the lock held.
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

// change changes the shared state and wakes waiting readers.
func (f *fetch) change(apply func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	apply()
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// run fetches the blob. After wrong content from a source it tries the next one, unless a
// reader has received part of the wrong content.
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

// restart discards the received bytes. It returns false if a reader has received some of them.
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
			klog.ErrorS(dropped, "Removing a partial blob failed; garbage collection removes it later", "digest", f.d)
		}
		return err
	}
	f.noteProvenance()
	f.change(func() { f.phase, f.size = done, f.feed.size })
	mirroredBytes.Add(float64(f.feed.size))
	return nil
}

// stored returns the size of the blob if a fetch from the same sources has completed
// since the caller's lookup.
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

// noteProvenance records the sources of the content. If that fails, the next caller fetches
// the content again, as if it were not stored.
func (f *fetch) noteProvenance() {
	servedBy := f.feed.servedBy
	if len(servedBy) == 0 { // the empty blob: every candidate has it
		servedBy = f.feed.candidates
	}
	if err := f.m.addProvenances(context.WithoutCancel(f.ctx), f.d, servedBy); err != nil {
		klog.ErrorS(err, "Recording the provenance of a blob failed", "digest", f.d)
	}
}

// finish ends the fetch for its readers. err is nil if the phase is final already.
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
