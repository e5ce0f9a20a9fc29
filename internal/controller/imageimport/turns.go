package imageimport

import (
	"sync"

	"weir.dev/weir/internal/controller/importrequest"
)

// turns are importrequest.Turns for a queue: what has no turn waits outside the queue,
// and goes back into it when another import from its registry ends.
type turns struct {
	mu      sync.Mutex
	taken   *importrequest.Turns
	waiting map[string]map[importKey]struct{}
}

func newTurns(workers int) *turns {
	return &turns{taken: importrequest.NewTurns(workers), waiting: map[string]map[importKey]struct{}{}}
}

// take takes a turn with the registry of an import, or has the import wait for one.
func (t *turns) take(item importKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken.Take(item.host) {
		return true
	}
	if t.waiting[item.host] == nil {
		t.waiting[item.host] = map[importKey]struct{}{}
	}
	t.waiting[item.host][item] = struct{}{}
	return false
}

// giveBack ends a turn and returns imports to look at again, in no order. It names more
// than can have a turn, since some may not need theirs any more, and everybody when no
// import from the host is left that could name them later.
func (t *turns) giveBack(host string) []importKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := t.taken.GiveBack(host) == 0
	var again []importKey
	for item := range t.waiting[host] {
		if len(again) == t.taken.PerHost() && !idle {
			break
		}
		delete(t.waiting[host], item)
		again = append(again, item)
	}
	if len(t.waiting[host]) == 0 {
		delete(t.waiting, host)
	}
	return again
}
