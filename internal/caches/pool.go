package caches

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sweepEvery is the time between two sweeps.
const sweepEvery = 30 * time.Second

// Pool bounds the bytes of its caches together. A nil pool bounds nothing.
type Pool struct {
	bound int64
	bytes atomic.Int64

	mu     sync.Mutex
	caches []member
}

// member is a cache of any types.
type member interface {
	name() string
	fill() float64
	Bytes() int64
	Len() int
	giveUp() bool
	sweep()
}

// NewPool makes a pool with a bound in bytes. Run sweeps its caches.
func NewPool(bytes int64) *Pool { return &Pool{bound: bytes} }

// Bound is the most bytes of all caches.
func (p *Pool) Bound() int64 { return p.bound }

// Run sweeps the caches until ctx ends.
func (p *Pool) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.Sweep()
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep drops entries that are too old, or were not used for a while, from all caches.
func (p *Pool) Sweep() {
	for _, c := range p.members() {
		c.sweep()
	}
}

// Usage is the content of the caches of one name.
type Usage struct {
	Name    string
	Bytes   int64
	Entries int
}

// Usages are those of all caches, sorted by name.
func (p *Pool) Usages() []Usage {
	byName := map[string]Usage{}
	for _, c := range p.members() {
		u := byName[c.name()]
		byName[c.name()] = Usage{Name: c.name(), Bytes: u.Bytes + c.Bytes(), Entries: u.Entries + c.Len()}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b Usage) int { return strings.Compare(a.Name, b.Name) })
}

func (p *Pool) members() []member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.caches)
}

func (p *Pool) add(c member) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.caches = append(p.caches, c)
}

func (p *Pool) count(bytes int64) {
	if p != nil {
		p.bytes.Add(bytes)
	}
}

// shrink has the fullest caches give up entries until all are within the bound. No cache is
// locked by its caller.
func (p *Pool) shrink() {
	if p == nil || p.bytes.Load() <= p.bound {
		return
	}
	p.mu.Lock() // of many callers one shrinks for all
	defer p.mu.Unlock()
	for p.bytes.Load() > p.bound {
		if c := slices.MaxFunc(p.caches, byFill); !c.giveUp() && c.Bytes() == 0 {
			return
		}
	}
}

func byFill(a, b member) int {
	switch x, y := a.fill(), b.fill(); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
