package pullthrough

import (
	"context"
	"errors"
	"slices"
	"sync"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
)

// phase is how far a fetch is.
type phase int

const (
	fetching phase = iota
	done           // stored
	failed         // readers get no more than what is verified
)

// errNobody ends a fetch that nobody waits for and that would be one too many in the
// background.
var errNobody = errors.New("nobody waits for it")

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
	changed  chan struct{} // closed at the next change; nil while nobody waits for one
	phase    phase
	answered bool  // a place has begun to send
	size     int64 // -1 until it is known
	readable int64 // bytes of the blob in file
	verified bool  // they are all there is and right, though perhaps not stored yet
	given    bool  // some caller knows what only a place has said: content, or a size
	file     *file
	err      error // why it failed
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

// run fetches. A place that sent something else is given up, and as long as no reader
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
		klog.ErrorS(err, "Another registry sent wrong content", "digest", f.d, "from", f.feed.used)
		wrong := integrity(firstOf(f.feed.used), "the content has digest %s", mismatch.Got)
		f.feed.lied()
		if !f.restart() {
			f.finish(wrong)
			return
		}
	}
}

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// restart forgets what has arrived; false when a reader has got some of it.
func (f *fetch) restart() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.given {
		return false
	}
	f.readable, f.size, f.answered = 0, f.feed.want, false
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

// stored returns the size of the blob if a fetch from the same places has finished since the
// caller looked.
func (f *fetch) stored() (int64, bool) {
	var provenances []string
	for _, p := range f.feed.places {
		provenances = append(provenances, p.source.Provenance(p.scope))
	}
	came, err := f.m.opts.Store.CameFrom(f.ctx, f.d, provenances...)
	if !came || err != nil {
		return 0, false
	}
	size, err := f.m.opts.Store.Stat(f.ctx, f.d)
	return size, err == nil
}

// noteProvenance records where the content came from. Without that it is fetched again, and
// served, like content that is not stored.
func (f *fetch) noteProvenance() {
	givers := f.feed.givers
	if len(givers) == 0 { // no bytes, which everybody has
		givers = f.feed.places
	}
	if err := f.m.addProvenances(context.WithoutCancel(f.ctx), f.d, givers); err != nil {
		klog.ErrorS(err, "It could not be recorded where a blob came from", "digest", f.d)
	}
}

// finish tells readers how it ended. err is nil when the phase says it already.
func (f *fetch) finish(err error) {
	f.feed.end()
	if isNotStored(err) {
		f.m.rest(f.d.String(), err)
	}
	f.m.forget(f)
	f.change(func() {
		if err != nil {
			f.phase, f.err = failed, err
		}
		if f.phase == failed || f.answered && f.phase == done {
			fetchesTotal.WithLabelValues(kindBlob, f.outcome()).Inc()
		}
		if f.file != nil {
			f.file.release()
		}
	})
	f.cancel(nil)
}

// outcome is that of the metrics: of several places' failures the weightiest.
func (f *fetch) outcome() string {
	if isNotStored(f.err) {
		return outcomeNotKept
	}
	if !errors.Is(f.err, errNoPlace) {
		return outcomeOf(f.err)
	}
	return outcomeOf(failureOf(ociregistry.CodeBlobUnknown, f.d, f.feed.failuresOf(f.feed.places)))
}

// failureFor is what a caller with those places is told when the fetch has failed.
func (f *fetch) failureFor(places []*place) error {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if errors.Is(err, errNoPlace) {
		return failureOf(ociregistry.CodeBlobUnknown, f.d, f.feed.failuresOf(places))
	}
	if isNotStored(err) {
		return ociregistry.NewError(ociregistry.CodeUnavailable, "storing %s failed while it was fetched: try again, it will be served without being stored", f.d).Because(err)
	}
	e := upstreamError(err)
	if e == nil {
		return ociregistry.NewError(ociregistry.CodeUnavailable, "fetching %s was given up", f.d).Because(err)
	}
	for _, p := range places {
		if slices.Contains(p.sources, e.Source) {
			return toError(ociregistry.CodeBlobUnknown, f.d, p, e)
		}
	}
	return ociregistry.NewError(ociregistry.CodeUnavailable, "fetching %s has failed", f.d).Because(err)
}
