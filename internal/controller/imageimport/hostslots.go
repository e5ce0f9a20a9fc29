package imageimport

import (
	"sync"

	"weir.dev/weir/internal/controller/importrequest"
)

// hostSlots are importrequest.HostSlots for a queue: an import without a slot waits outside the
// queue, and goes back into it when another import from its registry ends.
type hostSlots struct {
	mu      sync.Mutex
	inUse   *importrequest.HostSlots
	waiting map[string]map[importKey]struct{}
}

func newHostSlots(workers int) *hostSlots {
	return &hostSlots{inUse: importrequest.NewHostSlots(workers), waiting: map[string]map[importKey]struct{}{}}
}

// acquire acquires a slot for an import, or makes the import wait for one.
func (s *hostSlots) acquire(item importKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inUse.Acquire(item.host) {
		return true
	}
	if s.waiting[item.host] == nil {
		s.waiting[item.host] = map[importKey]struct{}{}
	}
	s.waiting[item.host][item] = struct{}{}
	return false
}

// release releases a slot and returns imports to queue again, in no particular order. It returns
// more than the free slots, since some may be unnecessary by now, and all of them if no import from
// the host is in flight that could return them later.
func (s *hostSlots) release(host string) []importKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	idle := s.inUse.Release(host) == 0
	var again []importKey
	for item := range s.waiting[host] {
		if len(again) == s.inUse.PerHost() && !idle {
			break
		}
		delete(s.waiting[host], item)
		again = append(again, item)
	}
	if len(s.waiting[host]) == 0 {
		delete(s.waiting, host)
	}
	return again
}
