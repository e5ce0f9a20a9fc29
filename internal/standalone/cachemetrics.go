package standalone

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"weir.dev/weir/internal/caches"
)

// pools exports the caches of all servers of this process when metrics are read.
type pools struct {
	metrics.BaseStableCollector
	mu  sync.Mutex
	all map[*caches.Pool]struct{}
}

var (
	cacheBytesDesc   = metrics.NewDesc("weir_cache_bytes", "Memory for the entries of a cache, by estimate.", []string{"cache"}, nil, metrics.ALPHA, "")
	cacheEntriesDesc = metrics.NewDesc("weir_cache_entries", "Entries of a cache.", []string{"cache"}, nil, metrics.ALPHA, "")
	cacheLimitDesc   = metrics.NewDesc("weir_cache_limit_bytes", "The most memory for the entries of all caches together.", nil, nil, metrics.ALPHA, "")

	allCaches      = &pools{all: map[*caches.Pool]struct{}{}}
	registerCaches = sync.OnceFunc(func() { legacyregistry.CustomMustRegister(allCaches) })
)

func (p *pools) add(pool *caches.Pool) {
	registerCaches()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[pool] = struct{}{}
}

func (p *pools) remove(pool *caches.Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, pool)
}

// DescribeWithStability implements metrics.StableCollector.
func (*pools) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range []*metrics.Desc{cacheBytesDesc, cacheEntriesDesc, cacheLimitDesc} {
		ch <- d
	}
}

// CollectWithStability implements metrics.StableCollector. Of several servers, which only tests have,
// the sums count.
func (p *pools) CollectWithStability(ch chan<- metrics.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	byName := map[string]caches.Usage{}
	var bound int64
	for pool := range p.all {
		bound += pool.Bound()
		for _, u := range pool.Usages() {
			sum := byName[u.Name]
			byName[u.Name] = caches.Usage{Name: u.Name, Bytes: sum.Bytes + u.Bytes, Entries: sum.Entries + u.Entries}
		}
	}
	for name, u := range byName {
		ch <- metrics.NewLazyConstMetric(cacheBytesDesc, metrics.GaugeValue, float64(u.Bytes), name)
		ch <- metrics.NewLazyConstMetric(cacheEntriesDesc, metrics.GaugeValue, float64(u.Entries), name)
	}
	ch <- metrics.NewLazyConstMetric(cacheLimitDesc, metrics.GaugeValue, float64(bound))
}
