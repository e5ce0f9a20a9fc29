package caches

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// modelled is a cache with what was added to it.
type modelled struct {
	*Cache[string, string]
	added map[string]string
	until map[string]time.Time
}

func tenantOf(key string) string {
	tenant, _, _ := strings.Cut(key, "/")
	return tenant
}

func texts(key, value string) int { return len(key) + len(value) }

// TestModel tries random operations on several caches of one pool, and holds after each of them
// that all bounds are kept, that sums are those of the entries, and that a cache answers what was
// added last and still counts, or nothing.
func TestModel(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) { tryOperations(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

func tryOperations(t *testing.T, random *rand.Rand) {
	pool := NewPool(20_000)
	var all []*modelled
	for i, o := range []Options[string, string]{
		{Bytes: 15_000, Cost: texts},
		{Bytes: 10_000, Cost: texts, Tenant: tenantOf, Idle: time.Minute, Life: 10 * time.Second},
		{Bytes: 10_000, Cost: texts, Group: tenantOf, Entries: 20, Largest: 600},
	} {
		o.Name = fmt.Sprint("cache", i)
		all = append(all, &modelled{New(pool, o), map[string]string{}, map[string]time.Time{}})
	}
	for range 500 {
		c := all[random.IntN(len(all))]
		key := fmt.Sprintf("%d/%d", random.IntN(5), random.IntN(20))
		c.operate(t, random, key)
		if random.IntN(50) == 0 {
			pool.Sweep()
		}
		holdBounds(t, pool, all)
	}
	<-time.After(2 * time.Hour)
	pool.Sweep()
	if pool.bytes.Load() != 0 {
		t.Errorf("%d bytes are left of what nothing uses", pool.bytes.Load())
	}
}

// operate does one thing and compares the answer with the model.
func (c *modelled) operate(t *testing.T, random *rand.Rand, key string) {
	switch random.IntN(12) {
	default:
		value := strings.Repeat("v", random.IntN(300))
		until := time.Now().Add(1000 * time.Hour)
		if c.o.Life != 0 {
			until = time.Now().Add(c.o.Life)
		}
		if random.IntN(3) == 0 {
			until = time.Now().Add(time.Duration(random.IntN(100)-5) * time.Second)
			c.AddUntil(key, value, until)
		} else {
			c.Add(key, value)
		}
		c.added[key], c.until[key] = value, until
	case 0:
		c.Remove(key)
		delete(c.added, key)
	case 1:
		c.RemoveGroup(tenantOf(key), func(string) bool { return true })
		for known := range c.added {
			if c.o.Group != nil && tenantOf(known) == tenantOf(key) {
				delete(c.added, known)
			}
		}
	case 2:
		<-time.After(time.Duration(random.IntN(30)) * time.Second)
	case 3, 4, 5:
		value, found := c.Get(key)
		if want, known := c.added[key]; found && (!known || value != want || !time.Now().Before(c.until[key])) {
			t.Fatalf("%s of %s: got %q until %s, want %q", key, c.o.Name, value, c.until[key], want)
		}
	case 6:
		if random.IntN(10) == 0 {
			c.Purge()
			clear(c.added)
		}
	}
}

func holdBounds(t *testing.T, pool *Pool, all []*modelled) {
	t.Helper()
	var total int64
	for _, c := range all {
		var bytes int64
		entries, grouped := 0, 0
		for i := range c.shelves {
			s := &c.shelves[i]
			bytes += s.bytes
			if s.entries != nil {
				entries += s.entries.Len()
			}
		}
		for _, group := range c.groups {
			grouped += len(group)
		}
		if bytes != c.Bytes() || entries != c.Len() || bytes > c.o.Bytes || c.o.Entries > 0 && entries > c.o.Entries {
			t.Fatalf("%s: %d entries of %d bytes, counted %d and %d", c.o.Name, entries, bytes, c.Len(), c.Bytes())
		}
		if c.groups != nil && grouped != entries {
			t.Fatalf("%s: %d entries are in groups, of %d", c.o.Name, grouped, entries)
		}
		total += bytes
	}
	if got := pool.bytes.Load(); got != total || total > pool.Bound() {
		t.Fatalf("%d bytes in all caches, counted %d, of at most %d", total, got, pool.Bound())
	}
}

// TestTenantDrivesOutItsOwn: however much one tenant adds, others keep what is less than their share.
func TestTenantDrivesOutItsOwn(t *testing.T) {
	c := New(nil, Options[string, string]{Bytes: 100_000, Tenant: tenantOf, Cost: texts})
	c.Add("quiet/1", "x")
	loud := 0
	for ; c.shelf(fmt.Sprint(loud)) == c.shelf("quiet"); loud++ { // tenants share shelves by chance
	}
	for i := range 10_000 {
		c.Add(fmt.Sprintf("%d/%d", loud, i), "x")
	}
	if _, found := c.Get("quiet/1"); !found {
		t.Error("the entry of another tenant is gone")
	}
	if c.Len() < 100 {
		t.Errorf("%d entries: the tenant with entries may use what is free", c.Len())
	}
}

// TestFullestCacheGivesWay: a flood for one cache takes from others only until they are as full.
func TestFullestCacheGivesWay(t *testing.T) {
	pool := NewPool(100_000)
	quiet := New(pool, Options[string, string]{Name: "quiet", Bytes: 100_000, Cost: texts})
	for i := range 100 {
		quiet.Add(fmt.Sprint(i), strings.Repeat("x", 500))
	}
	before := quiet.Bytes()
	flooded := New(pool, Options[string, string]{Name: "flooded", Bytes: 20_000, Cost: texts})
	for i := range 10_000 {
		flooded.Add(fmt.Sprint(i), "x")
	}
	if got := quiet.Bytes(); got != before {
		t.Errorf("the quiet cache has %d bytes of %d left, though the other one had to give way", got, before)
	}
	if got := flooded.Bytes(); got < 10_000 {
		t.Errorf("the flooded cache uses %d bytes of those that are free", got)
	}
	if usages := fmt.Sprint(pool.Usages()); !strings.HasPrefix(usages, "[{flooded ") || !strings.Contains(usages, fmt.Sprintf("{quiet %d 100}", before)) {
		t.Errorf("usages are %s", usages)
	}
}

// TestSweptByTime: entries leave though nothing is added or read, and maps shrink.
func TestSweptByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := NewPool(1 << 30)
		c := New(pool, Options[string, string]{Bytes: 1 << 30, Life: time.Minute, Idle: time.Hour, Tenant: tenantOf})
		for i := range 10_000 {
			c.Add(fmt.Sprint(i%100, "/", i), "")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = pool.Run(ctx) })
		<-time.After(30 * time.Second)
		c.Add("a/late", "")
		<-time.After(time.Minute)
		synctest.Wait()
		if _, found := c.Get("a/late"); found || c.Len() > 1 {
			t.Errorf("%d entries are left", c.Len())
		}
		<-time.After(time.Minute)
		synctest.Wait()
		for i := range c.shelves {
			if c.shelves[i].entries != nil {
				t.Error("the map of an empty shelf is kept")
			}
		}
		cancel()
		running.Wait()
	})
}

// TestUsedEntryLeavesInTime: use does not keep what is too old.
func TestUsedEntryLeavesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := NewPool(1 << 20)
		c := New(pool, Options[string, int]{Bytes: 1 << 20, Life: time.Minute})
		c.Add("used", 1)
		for range 5 {
			<-time.After(10 * time.Second)
			if _, found := c.Get("used"); !found {
				t.Error("it is gone before its time")
			}
			c.Add("other", 2)
		}
		<-time.After(10 * time.Second)
		if _, found := c.Get("used"); found {
			t.Error("it counts longer than its time")
		}
		idle := New(pool, Options[string, int]{Bytes: 1 << 20, Idle: time.Minute})
		idle.Add("used", 1)
		for range 5 {
			<-time.After(50 * time.Second)
			pool.Sweep()
			if _, found := idle.Get("used"); !found {
				t.Error("an entry in use was swept")
			}
		}
	})
}

// TestMapFitsItsEntries: a map that was large gives its memory back.
func TestMapFitsItsEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(nil, Options[int, int]{Bytes: 1 << 30, Idle: time.Minute})
		for i := range 2000 {
			c.Add(i, i)
		}
		<-time.After(30 * time.Second)
		for i := range 100 {
			c.Get(i)
		}
		<-time.After(30 * time.Second)
		before := c.shelves[0].entries
		c.sweep()
		if c.Len() != 100 || c.shelves[0].entries == before || c.shelves[0].most != 100 {
			t.Errorf("%d entries in a map for %d", c.Len(), c.shelves[0].most)
		}
		for i := range 100 {
			if v, found := c.Get(i); !found || v != i {
				t.Errorf("entry %d: %d, %t", i, v, found)
			}
		}
		c.Remove(0)
		if c.Len() != 99 || c.Bytes() != 99*c.fixed {
			t.Errorf("%d entries of %d bytes after a removal", c.Len(), c.Bytes())
		}
	})
}

// TestEstimate: an estimate of half of what entries take would be no bound.
func TestEstimate(t *testing.T) {
	const n = 20_000
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	type large struct{ a, b, c string }
	check := func(t *testing.T, bytes func() int64, fill func(i int), keep any) {
		t.Helper()
		before := heap()
		for i := range n {
			fill(i)
		}
		took, estimate := heap()-before, bytes()
		if float64(estimate) < 0.8*float64(took) || float64(estimate) > 2*float64(took) {
			t.Errorf("%d bytes for each entry, estimated as %d", took/n, estimate/n)
		}
		runtime.KeepAlive(keep)
	}
	t.Run("texts", func(t *testing.T) {
		c := New(nil, Options[string, string]{Bytes: 1 << 40, Cost: texts})
		check(t, c.Bytes, func(i int) { c.Add(fmt.Sprintf("%064d", i), strings.Repeat("v", 32)) }, c)
	})
	t.Run("small", func(t *testing.T) {
		c := New(nil, Options[int, int]{Bytes: 1 << 40})
		check(t, c.Bytes, func(i int) { c.Add(i, i) }, c)
	})
	t.Run("groups", func(t *testing.T) {
		c := New(nil, Options[large, struct{}]{
			Bytes: 1 << 40, Cost: func(k large, _ struct{}) int { return len(k.a) + len(k.b) + len(k.c) },
			Group: func(k large) string { return k.a },
		})
		check(t, c.Bytes, func(i int) {
			c.Add(large{fmt.Sprintf("namespace/stream%d", i/4), strings.Repeat("u", 36), fmt.Sprintf("%071d", i)}, struct{}{})
		}, c)
	})
}

// TestConcurrentUse is for the race detector: caches of one pool that push each other out.
func TestConcurrentUse(t *testing.T) {
	pool := NewPool(20_000)
	var users sync.WaitGroup
	for n := range 4 {
		c := New(pool, Options[string, string]{Name: fmt.Sprint(n), Bytes: 15_000, Tenant: tenantOf, Cost: texts})
		for range 2 {
			users.Go(func() {
				for i := range 2000 {
					c.GetOrAdd(fmt.Sprintf("%d/%d", i%7, i), "value")
					c.Get(fmt.Sprintf("%d/%d", i%7, i/2))
				}
			})
		}
		users.Go(func() {
			for range 50 {
				pool.Sweep()
				pool.Usages()
			}
		})
	}
	users.Wait()
	if got := pool.bytes.Load(); got > pool.Bound() || got < pool.Bound()/2 {
		t.Errorf("the caches hold %d bytes of %d", got, pool.Bound())
	}
}
