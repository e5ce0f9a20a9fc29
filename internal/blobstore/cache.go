package blobstore

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// entryBytes is about what an entry of a cache takes beside its texts.
	entryBytes = 200
	// sweptEntries is how many entries each new one checks for their age, the longest unused
	// first: more than one, so that a cache shrinks to what is in use.
	sweptEntries = 3
)

// cache remembers, for a while and up to a number of entries and of bytes, that something is in
// storage. What is not there is never remembered. Entries that are too old to count leave as new
// ones come.
type cache[K comparable, V any] struct {
	life time.Duration
	now  func() time.Time
	cost func(K, V) int
	most int

	mu      sync.Mutex
	entries *simplelru.LRU[K, cached[V]]
	bytes   int
	// dropped counts removals, so that what was read before one is not remembered after.
	dropped uint64
	// groupOf is the group of an entry, which is dropped as a whole; nil without groups.
	groupOf func(K) string
	groups  map[string]map[K]struct{}
}

type cached[V any] struct {
	value V
	until time.Time
}

// bounds are those of a cache.
type bounds struct {
	entries, bytes int
	life           time.Duration
}

// newCache makes a cache. cost are the bytes of an entry's texts.
func newCache[K comparable, V any](b bounds, now func() time.Time, cost func(K, V) int) (*cache[K, V], error) {
	c := &cache[K, V]{life: b.life, now: now, cost: cost, most: b.bytes}
	var err error
	c.entries, err = simplelru.NewLRU(b.entries, func(key K, entry cached[V]) {
		c.bytes -= cost(key, entry.value) + entryBytes
		c.leaveGroup(key)
	})
	return c, err
}

// group has entries dropped together, at a cost of those alone. It is called before all others.
func (c *cache[K, V]) group(of func(K) string) {
	c.groupOf, c.groups = of, map[string]map[K]struct{}{}
}

// joinGroup and leaveGroup are called under the lock.
func (c *cache[K, V]) joinGroup(key K) {
	if c.groupOf == nil {
		return
	}
	name := c.groupOf(key)
	if c.groups[name] == nil {
		c.groups[name] = map[K]struct{}{}
	}
	c.groups[name][key] = struct{}{}
}

func (c *cache[K, V]) leaveGroup(key K) {
	if c.groupOf == nil {
		return
	}
	name := c.groupOf(key)
	if delete(c.groups[name], key); len(c.groups[name]) == 0 {
		delete(c.groups, name)
	}
}

// get returns what is remembered, and otherwise the mark to give to add.
func (c *cache[K, V]) get(key K) (value V, mark uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries.Get(key)
	if ok && c.now().After(entry.until) {
		c.entries.Remove(key)
		ok = false
	}
	if !ok {
		return value, c.dropped, false
	}
	return entry.value, 0, true
}

// mark is what get returns, for what is written without being asked for first.
func (c *cache[K, V]) mark() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped
}

// add remembers what storage said after mark was taken, unless something was removed
// since.
func (c *cache[K, V]) add(mark uint64, key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped != mark {
		return
	}
	c.sweep()
	c.entries.Remove(key) // replacing a value does not tell of it
	c.bytes += c.cost(key, value) + entryBytes
	c.entries.Add(key, cached[V]{value, c.now().Add(c.life)})
	c.joinGroup(key)
	for c.bytes > c.most && c.entries.Len() > 0 {
		c.entries.RemoveOldest()
	}
}

// sweep removes some of the longest unused entries if they are too old. The lock is held.
func (c *cache[K, V]) sweep() {
	for range sweptEntries {
		_, entry, found := c.entries.GetOldest()
		if !found || !c.now().After(entry.until) {
			return
		}
		c.entries.RemoveOldest()
	}
}

// drop forgets. Call it after the removal from storage too: then nobody who read before
// the removal can add what they read.
func (c *cache[K, V]) drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped++
	c.entries.Remove(key)
}

// forget forgets what storage turned out not to have. Unlike drop it disturbs nobody
// when nothing was remembered.
func (c *cache[K, V]) forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries.Remove(key) {
		c.dropped++
	}
}

// dropGroup forgets those of a group that are of a kind.
func (c *cache[K, V]) dropGroup(name string, is func(K) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped++
	for key := range c.groups[name] {
		if is(key) {
			c.entries.Remove(key)
		}
	}
}
