package streams

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/blobstore"
)

// endings collects what the hooks are called for.
type endings struct {
	mu       sync.Mutex
	failures int // calls that still have to fail
	calls    int
	ended    []ending
	more     chan struct{}
}

type ending struct {
	blobstore.Repository           // of a stream
	namespace            string    // or a namespace
	seen                 time.Time // of a stream
	released             bool      // links of the stream alone
}

func newEndings() *endings { return &endings{more: make(chan struct{}, 100)} }

func (e *endings) add(end ending) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	if e.failures > 0 {
		e.failures--
		return errors.New("not now")
	}
	e.ended = append(e.ended, end)
	e.more <- struct{}{}
	return nil
}

// next waits for the next call that succeeds, and returns what all of them were for.
func (e *endings) next(t *testing.T) []ending {
	t.Helper()
	select {
	case <-e.more:
	case <-time.After(30 * time.Second):
		t.Fatal("no hook was called")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ended)
}

// removing is removals with hooks over an API, and with a grace that tests can wait for.
func removing(t *testing.T, api http.HandlerFunc, grace time.Duration) (*Directory, *endings) {
	t.Helper()
	e := newEndings()
	d := directory(t, api, func(o *Options) {
		o.OnDeleted = func(_ context.Context, r blobstore.Repository, seen time.Time) error {
			return e.add(ending{Repository: r, seen: seen})
		}
		o.OnReleased = func(_ context.Context, r blobstore.Repository, before time.Time) error {
			return e.add(ending{Repository: r, seen: before, released: true})
		}
		o.OnNamespaceDeleted = func(_ context.Context, namespace string, _ time.Time) error {
			return e.add(ending{namespace: namespace})
		}
	})
	if d.removals.grace != removalGrace {
		t.Errorf("removals wait for %v, want %v", d.removals.grace, removalGrace)
	}
	d.removals.grace = grace
	return d, e
}

// running runs removals until the test ends.
func running(t *testing.T, r *removals) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for r.queue.Load() == nil {
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// TestRemoveConfirmsTheEnd: links are removed for a stream that the API does not have any
// more, whatever has its name now.
func TestRemoveConfirmsTheEnd(t *testing.T) {
	gone := removal{id: app, uid: "gone", seen: epoch}
	ended := []ending{{Repository: blobstore.Repository{Name: "ns/app", Stream: "gone"}, seen: epoch}}
	for name, test := range map[string]struct {
		has  types.UID // "" for no stream
		want []ending
	}{
		"no stream":                 {"", ended},
		"another stream":            {"next", ended},
		"the stream is there still": {"gone", nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			if test.has != "" {
				c.put(test.has, "5")
			}
			d, e := removing(t, c.ServeHTTP, 0)
			fatal(t, d.removals.remove(t.Context(), gone))
			if !slices.Equal(e.ended, test.want) {
				t.Errorf("removed %+v, want %+v", e.ended, test.want)
			}
		})
	}
	t.Run("the API is away", func(t *testing.T) {
		d, e := removing(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, 0)
		if err := d.removals.remove(t.Context(), gone); err == nil || len(e.ended) > 0 {
			t.Errorf("removed %+v, %v", e.ended, err)
		}
	})
	t.Run("the API does not serve streams", func(t *testing.T) {
		d, e := removing(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, 0)
		if err := d.removals.remove(t.Context(), gone); err == nil || len(e.ended) > 0 {
			t.Errorf("removed %+v, %v", e.ended, err)
		}
	})
}

func TestRemovalsComeAfterTheGrace(t *testing.T) {
	const grace = 50 * time.Millisecond
	d, e := removing(t, newCluster().ServeHTTP, grace)
	running(t, d.removals)
	_ = d.known.Replace([]any{numberedStream(3)}, "5")
	began := time.Now()
	_ = d.known.Delete(numberedStream(6))
	ended := e.next(t)
	if took := time.Since(began); took < grace {
		t.Errorf("the links were removed after %v, want %v at least", took, grace)
	}
	if len(ended) != 1 || ended[0].Repository != (blobstore.Repository{Name: "ns/app", Stream: "uid"}) || ended[0].seen.Before(began) || ended[0].seen.After(began.Add(grace)) {
		t.Errorf("ended %+v", ended)
	}
	d.removals.namespaceGone("ns")
	if ended := e.next(t); len(ended) != 2 || ended[1] != (ending{namespace: "ns"}) {
		t.Errorf("ended %+v", ended)
	}
}

// TestReleasedLinksGoAfterTheGrace: the links that a stream released in one span of time go
// at once, all of them after the grace.
func TestReleasedLinksGoAfterTheGrace(t *testing.T) {
	const grace = 50 * time.Millisecond
	c := newClock()
	d, e := removing(t, newCluster().ServeHTTP, grace)
	d.removals.options.Now = c.Now
	running(t, d.removals)
	began := time.Now()
	for range 3 {
		d.removals.released(app, "uid")
	}
	c.pass(releaseSpan)
	d.removals.released(app, "uid")
	e.next(t)
	if took := time.Since(began); took < grace {
		t.Errorf("the links were removed after %v, want %v at least", took, grace)
	}
	ended := e.next(t)
	uid := blobstore.Repository{Name: "ns/app", Stream: "uid"}
	want := []ending{{Repository: uid, seen: epoch.Add(releaseSpan), released: true}, {Repository: uid, seen: epoch.Add(2 * releaseSpan), released: true}}
	slices.SortFunc(ended, func(a, b ending) int { return a.seen.Compare(b.seen) })
	if !slices.Equal(ended, want) || e.calls != 2 {
		t.Errorf("ended %+v after %d calls, want %+v", ended, e.calls, want)
	}
}

// TestRemovalsOfOneName: each of two streams that had a name one after the other is removed.
func TestRemovalsOfOneName(t *testing.T) {
	d, e := removing(t, newCluster().ServeHTTP, time.Millisecond)
	running(t, d.removals)
	first, second := numberedStream(3), numberedStream(6)
	first.UID, second.UID = "first", "second"
	_ = d.known.Replace([]any{first}, "5")
	_ = d.known.Update(second) // nothing told of the end of the first
	_ = d.known.Replace(nil, "8")
	e.next(t)
	ended := e.next(t)
	var uids []string
	for _, end := range ended {
		uids = append(uids, end.Stream)
	}
	slices.Sort(uids)
	if !slices.Equal(uids, []string{"first", "second"}) {
		t.Errorf("ended %+v", ended)
	}
}

func TestRemovalsAreTriedAgain(t *testing.T) {
	d, e := removing(t, newCluster().ServeHTTP, 0)
	e.failures = 3
	running(t, d.removals)
	d.removals.streamGone(app, "gone")
	ended := e.next(t)
	if len(ended) != 1 || e.calls != 4 {
		t.Errorf("ended %+v after %d calls, want 4", ended, e.calls)
	}
}

// TestRemovalsEndWithTheirContext: one that waits does not hold the process up.
func TestRemovalsEndWithTheirContext(t *testing.T) {
	d, e := removing(t, newCluster().ServeHTTP, time.Hour)
	d.removals.streamGone(app, "before it runs") // a reconciliation finds it
	running(t, d.removals)
	d.removals.streamGone(app, "gone")
	t.Cleanup(func() {
		if e.calls > 0 {
			t.Errorf("ended %+v", e.ended)
		}
	})
}

// TestRemovalsWithoutHooks: nothing is kept for hooks that are not there.
func TestRemovalsWithoutHooks(t *testing.T) {
	d := directory(t, newCluster().ServeHTTP)
	d.removals.grace = 0
	running(t, d.removals)
	d.removals.streamGone(app, "gone")
	d.removals.released(app, "gone")
	d.removals.namespaceGone("ns")
	if n := d.removals.queue.Load().Len(); n != 0 {
		t.Errorf("%d removals wait", n)
	}
}
