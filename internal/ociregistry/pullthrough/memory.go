package pullthrough

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// memory keeps a bounded number of facts for a while.
type memory[V any] struct {
	facts *lru.Cache[string, fact[V]]
	keep  time.Duration
}

type fact[V any] struct {
	value V
	until time.Time
}

func newMemory[V any](keep time.Duration) *memory[V] {
	facts, err := lru.New[string, fact[V]](remembered)
	if err != nil {
		panic(err) // for a size that is not positive
	}
	return &memory[V]{facts: facts, keep: keep}
}

func (m *memory[V]) put(key string, value V) {
	m.facts.Add(key, fact[V]{value: value, until: time.Now().Add(m.keep)})
}

func (m *memory[V]) get(key string) (V, bool) {
	f, ok := m.facts.Get(key)
	if !ok || time.Now().After(f.until) {
		var zero V
		return zero, false
	}
	return f.value, true
}
