package schedule

import (
	"container/heap"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// entry is a slot of a stream with its next due time.
type entry struct {
	key      types.NamespacedName
	slot     slot
	due      time.Time
	failures int // checks in a row that failed as a whole
	index    int // in the heap; -1 while it is being checked
}

// agenda holds the entries of all streams, soonest first. It is not safe for
// concurrent use.
type agenda struct {
	byDue    entryHeap
	byStream map[types.NamespacedName]map[slot]*entry
	size     int // entries, those being checked included
}

func newAgenda() *agenda {
	return &agenda{byStream: map[types.NamespacedName]map[slot]*entry{}}
}

// set makes the slots of a stream those given. Entries that stay keep their due time.
func (a *agenda) set(key types.NamespacedName, slots map[slot][]string, now time.Time) {
	known := a.byStream[key]
	for at, e := range known {
		if _, wanted := slots[at]; !wanted {
			a.remove(e)
		}
	}
	for at := range slots {
		if _, there := known[at]; !there {
			a.add(&entry{key: key, slot: at, due: at.next(key, now)})
		}
	}
}

func (a *agenda) add(e *entry) {
	if a.byStream[e.key] == nil {
		a.byStream[e.key] = map[slot]*entry{}
	}
	a.byStream[e.key][e.slot] = e
	heap.Push(&a.byDue, e)
	a.size++
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
}

// soonest is when the first entry is due; false when there is none.
func (a *agenda) soonest() (time.Time, bool) {
	if len(a.byDue) == 0 {
		return time.Time{}, false
	}
	return a.byDue[0].due, true
}

// take takes the first entry out if it is due, for it to be checked; nil if it is not.
func (a *agenda) take(now time.Time) *entry {
	if due, ok := a.soonest(); !ok || due.After(now) {
		return nil
	}
	return heap.Pop(&a.byDue).(*entry)
}

// putBack returns an entry that was taken, due at a new time, unless its stream no
// longer has it.
func (a *agenda) putBack(e *entry, due time.Time) {
	if a.byStream[e.key][e.slot] == e {
		e.due = due
		heap.Push(&a.byDue, e)
	}
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
