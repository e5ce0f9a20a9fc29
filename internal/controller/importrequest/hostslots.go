package importrequest

import "sync"

// hostsAtOnce is how many registries can use all of their slots at the same time. As many may
// hang without delaying imports from others.
const hostsAtOnce = 4

// HostSlots prevent the imports from one slow registry from occupying all workers. They are
// safe for concurrent use.
type HostSlots struct {
	perHost int

	mu    sync.Mutex
	inUse map[string]int
}

// NewHostSlots gives each registry a quarter of the workers, at least one.
func NewHostSlots(workers int) *HostSlots {
	return &HostSlots{perHost: max(1, workers/hostsAtOnce), inUse: map[string]int{}}
}

// PerHost returns the number of slots of each registry.
func (s *HostSlots) PerHost() int { return s.perHost }

// Acquire acquires a slot of a registry, and reports whether one was free.
func (s *HostSlots) Acquire(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inUse[host] == s.perHost {
		return false
	}
	s.inUse[host]++
	return true
}

// Release releases a slot and returns how many are still in use.
func (s *HostSlots) Release(host string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse[host]--
	left := s.inUse[host]
	if left == 0 {
		delete(s.inUse, host)
	}
	return left
}
