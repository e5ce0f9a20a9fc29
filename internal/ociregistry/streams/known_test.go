package streams

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"
)

var app = types.NamespacedName{Namespace: "ns", Name: "app"}

// numberedStream is a version of ns/app whose head says which.
func numberedStream(resourceVersion int) *imagev1.ImageStream {
	s := imageStream(tagged("latest", items(resourceVersion, strconv.Itoa(resourceVersion))))
	s.ResourceVersion = strconv.Itoa(resourceVersion)
	return s
}

func TestKnownKeepsTheNewest(t *testing.T) {
	const none = 0
	type step struct {
		do   func(k *known, c *clock)
		want int // resourceVersion
		sure bool
	}
	watch := func(rv int) func(*known, *clock) {
		return func(k *known, _ *clock) { _ = k.Update(numberedStream(rv)) }
	}
	read := func(rv int) func(*known, *clock) {
		return func(k *known, c *clock) { k.put(numberedStream(rv), c.Now()) }
	}
	deleted := func(rv int) func(*known, *clock) {
		return func(k *known, _ *clock) { _ = k.Delete(numberedStream(rv)) }
	}
	relist := func(at int, rvs ...int) func(*known, *clock) {
		return func(k *known, _ *clock) {
			var list []any
			for _, rv := range rvs {
				list = append(list, numberedStream(rv))
			}
			_ = k.Replace(list, strconv.Itoa(at))
		}
	}
	pass := func(d time.Duration) func(*known, *clock) { return func(_ *known, c *clock) { c.pass(d) } }
	gone := func(k *known, c *clock) { k.deleted(app, c.Now()) }
	goneBefore := func(k *known, c *clock) { k.deleted(app, c.Now().Add(-time.Millisecond)) }
	doubt := func(k *known, _ *clock) { k.invalidate(app) }

	for name, steps := range map[string][]step{
		"the watch":                              {{relist(5, 3), 3, true}, {watch(6), 6, true}, {watch(9), 9, true}},
		"what is read is ahead of the watch":     {{relist(5, 3), 3, true}, {read(9), 9, true}, {watch(6), 9, true}, {watch(9), 9, true}, {watch(10), 10, true}},
		"the watch is ahead of what is read":     {{relist(9, 9), 9, true}, {read(6), 9, true}},
		"numbers, not texts":                     {{relist(9, 9), 9, true}, {read(10), 10, true}, {watch(9), 10, true}},
		"deleted":                                {{relist(5, 3), 3, true}, {deleted(6), none, false}},
		"deleted before it was read":             {{relist(5, 3), 3, true}, {read(9), 9, true}, {deleted(6), 9, true}, {deleted(10), none, false}},
		"not listed any more":                    {{relist(5, 3), 3, true}, {relist(9), none, false}},
		"made after the list":                    {{relist(5), none, false}, {read(9), 9, true}, {relist(8), 9, true}, {relist(10), none, false}},
		"the storage was put back":               {{relist(90, 90), 90, true}, {relist(5, 3), 3, true}},
		"the storage was put back after reading": {{relist(90, 80), 80, true}, {read(90), 90, true}, {watch(85), 90, true}, {pass(2 * time.Minute), 90, true}, {relist(5, 3), 3, true}},
		"read as gone":                           {{relist(5, 3), 3, true}, {gone, none, false}},
		"made after it was read as gone":         {{relist(5), none, false}, {pass(time.Second), none, false}, {read(9), 9, true}, {goneBefore, 9, true}},
		"told of after it was read as gone":      {{relist(5), none, false}, {pass(time.Second), none, false}, {watch(9), 9, true}, {goneBefore, 9, true}, {deleted(10), none, false}},
		"unwatched":                              {{read(3), 3, true}, {pass(freshFor), 3, false}, {read(3), 3, true}, {pass(freshFor), 3, false}, {relist(5, 3), 3, true}, {pass(time.Hour), 3, true}},
		"doubted":                                {{relist(5, 3), 3, true}, {doubt, 3, false}, {watch(6), 6, false}, {read(9), 9, true}, {watch(9), 9, true}},
		"doubted without reason":                 {{relist(5, 3), 3, true}, {doubt, 3, false}, {read(3), 3, true}, {pass(time.Hour), 3, true}},
		"a doubt of nothing":                     {{relist(5), none, false}, {doubt, none, false}, {read(9), 9, true}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			k := newKnown(c.Now)
			for i, s := range steps {
				s.do(k, c)
				v, sure := k.get(app)
				got := none
				if v != nil {
					got, _ = strconv.Atoi(v.stream.ResourceVersion)
				}
				if got != s.want || sure != s.sure {
					t.Fatalf("after step %d: version %d, sure %v; want %d, %v", i, got, sure, s.want, s.sure)
				}
			}
		})
	}
}

// TestKnownReportsRemovals covers every way by which a stream ends: it is deleted, not
// listed or not found any more, or another stream has its name.
func TestKnownReportsRemovals(t *testing.T) {
	stream := func(resourceVersion int, uid types.UID) *imagev1.ImageStream {
		s := numberedStream(resourceVersion)
		s.UID = uid
		return s
	}
	type step struct {
		do   func(k *known)
		gone types.UID // "" if no stream ends
	}
	list := func(at int, streams ...any) func(*known) {
		return func(k *known) { _ = k.Replace(streams, strconv.Itoa(at)) }
	}
	watch := func(resourceVersion int, uid types.UID) func(*known) {
		return func(k *known) { _ = k.Update(stream(resourceVersion, uid)) }
	}
	read := func(resourceVersion int, uid types.UID) func(*known) {
		return func(k *known) { k.put(stream(resourceVersion, uid), epoch) }
	}
	deleted := func(resourceVersion int, uid types.UID) func(*known) {
		return func(k *known) { _ = k.Delete(stream(resourceVersion, uid)) }
	}
	notFound := func(k *known) { k.deleted(app, epoch) }
	for name, steps := range map[string][]step{
		"deleted":                         {{list(5, stream(3, "a")), ""}, {deleted(6, "a"), "a"}, {deleted(6, "a"), ""}},
		"not listed":                      {{list(5, stream(3, "a")), ""}, {list(8), "a"}, {list(9), ""}},
		"not found":                       {{watch(3, "a"), ""}, {notFound, "a"}, {notFound, ""}},
		"found, then not":                 {{read(3, "a"), ""}, {notFound, "a"}},
		"changed":                         {{list(5, stream(3, "a")), ""}, {watch(6, "a"), ""}, {read(7, "a"), ""}, {list(9, stream(8, "a")), ""}},
		"replaced, by the watch":          {{list(5, stream(3, "a")), ""}, {watch(6, "b"), "a"}, {watch(7, "b"), ""}},
		"replaced, by a list":             {{list(5, stream(3, "a")), ""}, {list(8, stream(7, "b")), "a"}, {list(9, stream(7, "b")), ""}},
		"replaced, by a read":             {{list(5, stream(3, "a")), ""}, {read(7, "b"), "a"}, {deleted(6, "a"), ""}, {watch(7, "b"), ""}, {deleted(9, "b"), "b"}},
		"an older read replaces nothing":  {{list(8, stream(7, "b")), ""}, {read(3, "a"), ""}},
		"an older watch replaces nothing": {{list(5, stream(3, "a")), ""}, {read(7, "b"), "a"}, {watch(6, "a"), ""}, {list(6, stream(3, "a")), ""}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKnown(newClock().Now)
			var gone []types.UID
			k.removed = func(id types.NamespacedName, uid types.UID) {
				k.get(id) // no lock is held
				if id != app {
					t.Errorf("%v ended", id)
				}
				gone = append(gone, uid)
			}
			for i, s := range steps {
				s.do(k)
				var want []types.UID
				if s.gone != "" {
					want = []types.UID{s.gone}
				}
				if !slices.Equal(gone, want) {
					t.Fatalf("step %d ended %v, want %v", i, gone, want)
				}
				gone = nil
			}
		})
	}
}

func TestKnownKeepsAnEqualVersion(t *testing.T) {
	c := newClock()
	k := newKnown(c.Now)
	_ = k.Replace([]any{numberedStream(3)}, "5")
	first, _ := k.get(app)
	k.put(numberedStream(3), c.Now())
	_ = k.Replace([]any{numberedStream(3)}, "5")
	again, _ := k.get(app)
	if again.stream != first.stream || again.seq != first.seq {
		t.Error("the same version became another: everything derived from it is derived again")
	}
	k.put(numberedStream(4), c.Now())
	if next, _ := k.get(app); next.seq <= first.seq {
		t.Errorf("seq went from %d to %d", first.seq, next.seq)
	}
}

func TestKnownRefusesStrangers(t *testing.T) {
	k := newKnown(time.Now)
	if k.Update("x") == nil || k.Delete("x") == nil || k.Replace([]any{"x"}, "1") == nil {
		t.Error("took what is no stream")
	}
	if k.synced() {
		t.Error("counts as complete")
	}
}

// TestKnownOnlyMovesForward has a watch that lags and readers that are ahead of it.
func TestKnownOnlyMovesForward(t *testing.T) {
	k := newKnown(time.Now)
	_ = k.Replace(nil, "1")
	const versions = 300
	var group sync.WaitGroup
	for _, write := range []func(int){
		func(rv int) { _ = k.Update(numberedStream(rv)) },
		func(rv int) { k.put(numberedStream(rv), time.Now()) },
		func(rv int) { k.put(numberedStream(rv), time.Now()) },
	} {
		group.Go(func() {
			for rv := 2; rv < versions; rv++ {
				write(rv)
			}
		})
	}
	group.Go(func() {
		last, lastSeq := 0, uint64(0)
		for last < versions-1 {
			v, sure := k.get(app)
			if !sure {
				continue
			}
			rv, _ := strconv.Atoi(v.stream.ResourceVersion)
			if rv < last || v.seq < lastSeq {
				t.Errorf("went from version %d back to %d", last, rv)
				return
			}
			last, lastSeq = rv, v.seq
		}
	})
	group.Wait()
}
