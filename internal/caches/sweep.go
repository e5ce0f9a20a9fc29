package caches

import "math"

const (
	// sweptAtOnce is how many entries leave while a cache is locked.
	sweptAtOnce = 256
	// smallMap is the number of entries up to which the map of a shelf is left as large as it is.
	smallMap = 256
)

// sweep drops what is over. Entries leave in the order of their last use, up to the first one that
// is not over; so one that was added for some time, and used within it, leaves within that time
// after its last use.
func (c *Cache[K, V]) sweep() {
	for i := range c.shelves {
		for c.sweepSome(&c.shelves[i]) {
		}
	}
}

// sweepSome drops some of what is over, and reports whether there may be more.
func (c *Cache[K, V]) sweepSome(s *shelf[K, V]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.entries == nil {
		return false
	}
	now := c.at()
	for range sweptAtOnce {
		_, e, found := s.entries.GetOldest()
		if !found || !c.over(e, now) {
			c.fit(s)
			return false
		}
		s.entries.RemoveOldest()
	}
	return true
}

// fit gives memory of a map back that is much larger than its entries need. The lock is held.
func (c *Cache[K, V]) fit(s *shelf[K, V]) {
	n := s.entries.Len()
	switch {
	case n == 0:
		s.entries, s.most = nil, 0
	case s.most > smallMap && n < s.most/4:
		fitting := c.lru(s)
		for _, key := range s.entries.Keys() { // the longest unused first
			e, _ := s.entries.Peek(key)
			fitting.Add(key, e)
		}
		s.entries, s.most = fitting, n
	}
}

// giveUp drops the entry that has to leave first.
func (c *Cache[K, V]) giveUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evict()
}

// fill is how full the cache is, measured by its own bound.
func (c *Cache[K, V]) fill() float64 {
	return float64(c.bytes.Load()) / math.Max(float64(c.o.Bytes), 1)
}

func (c *Cache[K, V]) name() string { return c.o.Name }
