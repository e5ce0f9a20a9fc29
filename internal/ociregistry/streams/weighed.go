package streams

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// weighed is a cache that is bounded by the number of its entries and by their weight together:
// entries that users make may be of any size. The entry that was added last stays in any case.
type weighed[K comparable, V any] struct {
	weight func(V) int
	most   int

	mu      sync.Mutex
	entries *simplelru.LRU[K, V]
	total   int
}

// newWeighed makes a cache. number has to be 1 or more.
func newWeighed[K comparable, V any](number, most int, weight func(V) int) *weighed[K, V] {
	w := &weighed[K, V]{weight: weight, most: most}
	var err error
	if w.entries, err = simplelru.NewLRU(number, func(_ K, v V) { w.total -= weight(v) }); err != nil {
		panic(err)
	}
	return w
}

// Get returns an entry.
func (w *weighed[K, V]) Get(key K) (V, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entries.Get(key)
}

// Add keeps an entry in place of the one of that key.
func (w *weighed[K, V]) Add(key K, value V) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries.Remove(key) // replacing a value does not tell of it
	w.total += w.weight(value)
	w.entries.Add(key, value)
	for w.total > w.most && w.entries.Len() > 1 {
		w.entries.RemoveOldest()
	}
}

// Remove drops an entry.
func (w *weighed[K, V]) Remove(key K) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries.Remove(key)
}
