package outbound

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"weir.dev/weir/internal/upstream"
)

// maxHosts bounds the hosts that metrics tell apart; the rest is "other".
const maxHosts = 200

var (
	upstreamRequests = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "upstream", Name: "requests_total",
		Help:           "Requests to other registries by host, kind (ping, token, head, manifest, blob, tags) and outcome (Success or the kind of failure).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"registry", "kind", "outcome"})
	upstreamDuration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: "weir", Subsystem: "upstream", Name: "request_duration_seconds",
		Help:           "Time from sending a request to another registry to its last byte, without the wait for the host's budget.",
		Buckets:        []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		StabilityLevel: metrics.ALPHA,
	}, []string{"registry", "kind"})
	registerMetrics = sync.OnceFunc(func() {
		legacyregistry.MustRegister(upstreamRequests, upstreamDuration)
	})
)

// observeRequests counts requests to other registries.
func observeRequests() func(upstream.Observation) {
	registerMetrics()
	hosts := &boundedLabels{seen: map[string]bool{}}
	return func(o upstream.Observation) {
		host := hosts.label(o.Host)
		upstreamRequests.WithLabelValues(host, string(o.Kind), o.Outcome).Inc()
		upstreamDuration.WithLabelValues(host, string(o.Kind)).Observe(o.Duration.Seconds())
	}
}

// boundedLabels keeps anyone who imports from ever new hosts from filling the
// memory with their metrics.
type boundedLabels struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (b *boundedLabels) label(value string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen[value] {
		return value
	}
	if len(b.seen) >= maxHosts {
		return "other"
	}
	b.seen[value] = true
	return value
}

// budgets exports the budgets of the hosts of all clients of this process, read when
// metrics are read.
type budgets struct {
	metrics.BaseStableCollector
	mu      sync.Mutex
	clients map[*upstream.Client]struct{}
}

var (
	inFlightDesc = metrics.NewDesc("weir_upstream_requests_in_flight", "Requests to a registry that are under way.", []string{"registry"}, nil, metrics.ALPHA, "")
	waitingDesc  = metrics.NewDesc("weir_upstream_requests_waiting", "Requests that wait for the budget of their registry.", []string{"registry"}, nil, metrics.ALPHA, "")
	limitDesc    = metrics.NewDesc("weir_upstream_requests_limit", "Requests that a registry may have under way at a time.", []string{"registry"}, nil, metrics.ALPHA, "")
	rateDesc     = metrics.NewDesc("weir_upstream_rate_limit", "Requests per second that a registry is asked at most with one credential since it answered 429, of several the lowest; 0 is without limit.", []string{"registry"}, nil, metrics.ALPHA, "")
	pausedDesc   = metrics.NewDesc("weir_upstream_paused_credentials", "Credentials, the want of one included, with which a registry is sent nothing for now because it answered 429.", []string{"registry"}, nil, metrics.ALPHA, "")
	pauseDesc    = metrics.NewDesc("weir_upstream_pause_seconds", "Time to the end of the longest of these pauses.", []string{"registry"}, nil, metrics.ALPHA, "")

	allBudgets      = &budgets{clients: map[*upstream.Client]struct{}{}}
	registerBudgets = sync.OnceFunc(func() { legacyregistry.CustomMustRegister(allBudgets) })
)

func (b *budgets) add(c *upstream.Client) {
	registerBudgets()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clients[c] = struct{}{}
}

func (b *budgets) remove(c *upstream.Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.clients, c)
}

// DescribeWithStability implements metrics.StableCollector.
func (*budgets) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range []*metrics.Desc{inFlightDesc, waitingDesc, limitDesc, rateDesc, pausedDesc, pauseDesc} {
		ch <- d
	}
}

// CollectWithStability implements metrics.StableCollector. Of several clients with one
// host, which only tests have, the first counts.
func (b *budgets) CollectWithStability(ch chan<- metrics.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := map[string]bool{}
	for c := range b.clients {
		for _, host := range c.Budgets() {
			if told[host.Host] || len(told) >= maxHosts {
				continue
			}
			told[host.Host] = true
			for _, gauge := range []struct {
				desc  *metrics.Desc
				value float64
			}{
				{inFlightDesc, float64(host.InFlight)}, {waitingDesc, float64(host.Waiting)}, {limitDesc, float64(host.Limit)},
				{rateDesc, host.Rate}, {pausedDesc, float64(host.Paused)}, {pauseDesc, host.PausedFor.Seconds()},
			} {
				ch <- metrics.NewLazyConstMetric(gauge.desc, metrics.GaugeValue, gauge.value, host.Host)
			}
		}
	}
}
