package importrequest

import "sync"

// hostsAtOnce is how many registries can have as many imports under way as one may:
// so many may be broken at a time without holding up the streams of others.
const hostsAtOnce = 4

// Turns keep the imports from one slow registry from taking all workers. They are safe
// for concurrent use.
type Turns struct {
	perHost int

	mu    sync.Mutex
	taken map[string]int
}

// NewTurns gives each registry a quarter of the workers, at least one.
func NewTurns(workers int) *Turns {
	return &Turns{perHost: max(1, workers/hostsAtOnce), taken: map[string]int{}}
}

// PerHost is how many turns one registry has.
func (t *Turns) PerHost() int { return t.perHost }

// Take takes a turn with a registry, if it has one left.
func (t *Turns) Take(host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken[host] == t.perHost {
		return false
	}
	t.taken[host]++
	return true
}

// GiveBack ends a turn and returns how many are still taken.
func (t *Turns) GiveBack(host string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken[host]--
	left := t.taken[host]
	if left == 0 {
		delete(t.taken, host)
	}
	return left
}
