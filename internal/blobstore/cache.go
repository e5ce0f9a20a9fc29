package blobstore

import (
	"sync"

	"weir.dev/weir/internal/caches"
)

// cache remembers, for a while and within its bounds, that something is in storage. What is not
// there is never remembered.
type cache[K comparable, V any] struct {
	entries *caches.Cache[K, V]

	mu sync.Mutex
	// dropped counts removals, so that what was read before one is not remembered after.
	dropped uint64
}

func newCache[K comparable, V any](p *caches.Pool, o caches.Options[K, V]) *cache[K, V] {
	return &cache[K, V]{entries: caches.New(p, o)}
}

// get returns what is remembered, and otherwise the mark to give to add.
func (c *cache[K, V]) get(key K) (value V, mark uint64, ok bool) {
	if value, ok := c.entries.Get(key); ok {
		return value, 0, true
	}
	return value, c.mark(), false
}

// mark returns the mark of get, for content that is written without a read before.
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
	if c.dropped == mark {
		c.entries.Add(key, value)
	}
}

// drop forgets. Call it after the removal from storage too: then no read from before
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
	c.entries.RemoveGroup(name, is)
}
