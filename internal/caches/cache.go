package caches

import (
	"hash/maphash"
	"iter"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// DefaultIdle is how long an entry stays that is not used, unless Options say otherwise.
	DefaultIdle = 15 * time.Minute
	// tenantShelves is how many shelves a cache with tenants has. Tenants share a shelf by chance.
	tenantShelves = 64
	// nodeBytes is about what an entry takes beside its key and value: the nodes of the list and of
	// the map. keyCopies is how often a key is held, with the room that a map has to spare.
	nodeBytes = 128
	keyCopies = 3
	// groupBytes is about what the membership in a group takes beside two more copies of the key.
	groupBytes = 96
)

// Options of a cache.
type Options[K comparable, V any] struct {
	// Name is that of the cache in metrics, in lower case with underscores.
	Name string
	// Bytes bounds the entries of this cache alone. It is needed.
	Bytes int64
	// Entries bounds their number; 0 is without bound.
	Entries int
	// Largest is the most bytes of an entry that is kept; default half of Bytes.
	Largest int64
	// Life is how long an entry counts after it was added; 0 is without end.
	Life time.Duration
	// Idle is how long an entry stays that is not used; default DefaultIdle.
	Idle time.Duration
	// Cost are the bytes that a key and a value refer to, such as those of texts; nil for none.
	// It is called when an entry is added.
	Cost func(K, V) int
	// Tenant is the tenant of an entry; nil without tenants.
	Tenant func(K) string
	// Group is the group of an entry, which can be counted and dropped as a whole; nil without
	// groups.
	Group func(K) string
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Cache keeps the entries that were used last, within the bounds of its Options and of its pool.
// It is safe for concurrent use. Functions of its Options are called under its lock.
type Cache[K comparable, V any] struct {
	o     Options[K, V]
	pool  *Pool
	start time.Time
	seed  maphash.Seed
	fixed int64 // bytes of an entry without its Cost

	bytes  atomic.Int64
	number atomic.Int64

	mu      sync.Mutex
	shelves []shelf[K, V]
	groups  map[string]map[K]struct{}
}

// shelf has the entries of some tenants, or of all.
type shelf[K comparable, V any] struct {
	entries *simplelru.LRU[K, *entry[V]] // nil while there are none
	bytes   int64
	// most is the largest number of entries since the map was made, which never shrinks.
	most int
}

// entry is a value. Times are those since the start of the cache.
type entry[V any] struct {
	value V
	until time.Duration
	used  time.Duration
	bytes int64
}

// New makes a cache of a pool. Without a pool (nil) it has its own bounds alone, and entries leave
// only when it is used.
func New[K comparable, V any](p *Pool, o Options[K, V]) *Cache[K, V] {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Largest == 0 {
		o.Largest = o.Bytes / 2
	}
	var key K
	var e entry[V]
	c := &Cache[K, V]{
		o: o, pool: p, start: o.Now(), seed: maphash.MakeSeed(),
		fixed:   nodeBytes + keyCopies*int64(unsafe.Sizeof(key)) + int64(unsafe.Sizeof(e)),
		shelves: make([]shelf[K, V], 1),
	}
	if o.Tenant != nil {
		c.shelves = make([]shelf[K, V], tenantShelves)
	}
	if o.Group != nil {
		c.groups = map[string]map[K]struct{}{}
		c.fixed += 2*int64(unsafe.Sizeof(key)) + groupBytes
	}
	p.add(c)
	return c
}

// Get returns the value of an entry that counts, which is used by that.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.get(key)
}

// get is called under the lock.
func (c *Cache[K, V]) get(key K) (value V, found bool) {
	s := c.shelf(key)
	if s.entries == nil {
		return value, false
	}
	e, found := s.entries.Get(key)
	if !found {
		return value, false
	}
	now := c.at()
	if c.over(e, now) {
		s.entries.Remove(key)
		return value, false
	}
	e.used = now
	return e.value, true
}

// Add keeps an entry in place of the one of that key, if there is room for it.
func (c *Cache[K, V]) Add(key K, value V) {
	c.mu.Lock()
	c.put(key, value, c.end())
	c.mu.Unlock()
	c.pool.shrink()
}

// AddUntil is Add for an entry that counts until a time.
func (c *Cache[K, V]) AddUntil(key K, value V, until time.Time) {
	c.mu.Lock()
	c.put(key, value, until.Sub(c.start))
	c.mu.Unlock()
	c.pool.shrink()
}

// GetOrAdd returns the value of the entry that counts, and keeps this one if there is none.
func (c *Cache[K, V]) GetOrAdd(key K, value V) (_ V, found bool) {
	c.mu.Lock()
	if known, found := c.get(key); found {
		c.mu.Unlock()
		return known, true
	}
	c.put(key, value, c.end())
	c.mu.Unlock()
	c.pool.shrink()
	return value, false
}

// put is called under the lock.
func (c *Cache[K, V]) put(key K, value V, until time.Duration) {
	c.remove(key)
	e := &entry[V]{value: value, until: until, used: c.at(), bytes: c.fixed}
	if c.o.Cost != nil {
		e.bytes += int64(c.o.Cost(key, value))
	}
	if e.bytes > c.o.Largest || c.over(e, e.used) {
		return
	}
	s := c.shelf(key)
	if s.entries == nil {
		s.entries = c.lru(s)
	}
	s.entries.Add(key, e)
	s.bytes += e.bytes
	s.most = max(s.most, s.entries.Len())
	c.bytes.Add(e.bytes)
	c.number.Add(1)
	c.pool.count(e.bytes)
	c.joinGroup(key)
	for c.bytes.Load() > c.o.Bytes || c.o.Entries > 0 && int(c.number.Load()) > c.o.Entries {
		c.evict()
	}
}

// Remove drops an entry, and reports whether there was one.
func (c *Cache[K, V]) Remove(key K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remove(key)
}

func (c *Cache[K, V]) remove(key K) bool {
	s := c.shelf(key)
	return s.entries != nil && s.entries.Remove(key)
}

// Values are those of all entries, in no order, without using them.
func (c *Cache[K, V]) Values() iter.Seq[V] {
	return func(yield func(V) bool) {
		for i := range c.shelves {
			for _, e := range c.onShelf(&c.shelves[i]) {
				if !yield(e.value) {
					return
				}
			}
		}
	}
}

func (c *Cache[K, V]) onShelf(s *shelf[K, V]) []*entry[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.entries == nil {
		return nil
	}
	return s.entries.Values()
}

// Purge drops all entries.
func (c *Cache[K, V]) Purge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.shelves {
		if s := &c.shelves[i]; s.entries != nil {
			s.entries.Purge()
			s.entries, s.most = nil, 0
		}
	}
}

// Len is the number of entries, with those that do not count any more and were not swept yet.
func (c *Cache[K, V]) Len() int { return int(c.number.Load()) }

// Bytes estimates the memory of the entries.
func (c *Cache[K, V]) Bytes() int64 { return c.bytes.Load() }

// lru makes the list of a shelf, which counts what leaves it.
func (c *Cache[K, V]) lru(s *shelf[K, V]) *simplelru.LRU[K, *entry[V]] {
	entries, err := simplelru.NewLRU(math.MaxInt, func(key K, e *entry[V]) {
		s.bytes -= e.bytes
		c.bytes.Add(-e.bytes)
		c.number.Add(-1)
		c.pool.count(-e.bytes)
		c.leaveGroup(key)
	})
	if err != nil {
		panic(err) // for a size below 1
	}
	return entries
}

// shelf is the shelf of a key.
func (c *Cache[K, V]) shelf(key K) *shelf[K, V] {
	if c.o.Tenant == nil {
		return &c.shelves[0]
	}
	return &c.shelves[maphash.String(c.seed, c.o.Tenant(key))%tenantShelves]
}

// at is the time since the start.
func (c *Cache[K, V]) at() time.Duration { return c.o.Now().Sub(c.start) }

// end is until when an entry counts that is added now.
func (c *Cache[K, V]) end() time.Duration {
	if c.o.Life == 0 {
		return math.MaxInt64
	}
	return c.at() + c.o.Life
}

// over reports whether an entry is too old, or was not used for too long.
func (c *Cache[K, V]) over(e *entry[V], now time.Duration) bool {
	return now >= e.until || now-e.used >= c.o.Idle
}

// evict drops the longest unused entry of the fullest shelf. The lock is held.
func (c *Cache[K, V]) evict() bool {
	fullest := &c.shelves[0]
	for i := range c.shelves {
		if s := &c.shelves[i]; s.bytes > fullest.bytes {
			fullest = s
		}
	}
	if fullest.entries == nil {
		return false
	}
	_, _, found := fullest.entries.RemoveOldest()
	return found
}
