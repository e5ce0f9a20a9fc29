package schedule

import (
	"container/heap"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/stream"
)

// entry is a slot of a stream with its next due time.
type entry struct {
	key      types.NamespacedName
	slot     stream.Slot
	owed     time.Time // the unchecked time of its slot
	due      time.Time // owed, or later after a check that failed as a whole
	failures int       // consecutive checks that failed as a whole
	index    int       // in the heap; -1 while it is being checked
}

// agenda holds the entries of all streams, soonest first. It is not safe for
// concurrent use.
type agenda struct {
	byDue    entryHeap
	byStream map[types.NamespacedName]map[stream.Slot]*entry
	size     int // entries, including those being checked
	demand   demand
}

func newAgenda() *agenda {
	return &agenda{byStream: map[types.NamespacedName]map[stream.Slot]*entry{}}
}

// set replaces the slots of a stream. Remaining entries keep their due time; new ones are due at
// their first time after that of since.
func (a *agenda) set(key types.NamespacedName, slots map[stream.Slot][]string, since func(stream.Slot) time.Time) {
	known := a.byStream[key]
	for at, e := range known {
		if _, wanted := slots[at]; !wanted {
			a.remove(e)
		}
	}
	for at := range slots {
		if _, there := known[at]; !there {
			due := at.Next(key, since(at))
			a.add(&entry{key: key, slot: at, owed: due, due: due})
		}
	}
}

func (a *agenda) add(e *entry) {
	if a.byStream[e.key] == nil {
		a.byStream[e.key] = map[stream.Slot]*entry{}
	}
	a.byStream[e.key][e.slot] = e
	heap.Push(&a.byDue, e)
	a.size++
	a.demand += demandOf(e.slot.Interval)
}

func (a *agenda) remove(e *entry) {
	if e.index >= 0 {
		heap.Remove(&a.byDue, e.index)
	}
	delete(a.byStream[e.key], e.slot)
	if len(a.byStream[e.key]) == 0 {
		delete(a.byStream, e.key)
	}
	a.size--
	a.demand -= demandOf(e.slot.Interval)
}

// soonest returns when the first entry is due; false if there is none.
func (a *agenda) soonest() (time.Time, bool) {
	if len(a.byDue) == 0 {
		return time.Time{}, false
	}
	return a.byDue[0].due, true
}

// take removes and returns the first entry if it is due, for a check; otherwise it returns nil.
func (a *agenda) take(now time.Time) *entry {
	if due, ok := a.soonest(); !ok || due.After(now) {
		return nil
	}
	return heap.Pop(&a.byDue).(*entry)
}

// putBack adds a taken entry again, due at a new time, unless its stream no longer has it.
// owed is due or, after a failed check, the time of that check.
func (a *agenda) putBack(e *entry, owed, due time.Time) {
	if a.byStream[e.key][e.slot] == e {
		e.owed, e.due = owed, due
		heap.Push(&a.byDue, e)
	}
}

// checkedUntil returns the time before which every entry was checked: now, or the oldest time of an
// unchecked entry. A failed check counts: it is retried from memory, and must not block the
// progress of the others.
func (a *agenda) checkedUntil(now time.Time) time.Time {
	until := now
	for _, entries := range a.byStream {
		for _, e := range entries {
			if e.failures == 0 && e.owed.Before(until) {
				until = e.owed
			}
		}
	}
	return until
}

// entryHeap implements heap.Interface.
type entryHeap []*entry

func (h entryHeap) Len() int           { return len(h) }
func (h entryHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h entryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *entryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.index = -1
	return e
}
