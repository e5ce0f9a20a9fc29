package imageimport

import "sync"

// hostsAtOnce is how many registries can have as many imports under way as one may:
// so many may be broken at a time without holding up the streams of others.
const hostsAtOnce = 4

// turns keep the streams of one slow registry from taking all workers. What has no turn
// waits outside the queue, and goes back into it when another import from its registry
// ends.
type turns struct {
	perHost int

	mu      sync.Mutex
	taken   map[string]int
	waiting map[string]map[importKey]struct{}
}

func newTurns(workers int) *turns {
	return &turns{
		perHost: max(1, workers/hostsAtOnce),
		taken:   map[string]int{},
		waiting: map[string]map[importKey]struct{}{},
	}
}

// take takes a turn with the registry of an import, or has the import wait for one.
func (t *turns) take(item importKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken[item.host] < t.perHost {
		t.taken[item.host]++
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
	t.taken[host]--
	idle := t.taken[host] == 0
	if idle {
		delete(t.taken, host)
	}
	var again []importKey
	for item := range t.waiting[host] {
		if len(again) == t.perHost && !idle {
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
