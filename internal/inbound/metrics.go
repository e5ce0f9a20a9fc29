package inbound

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	connections = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "connections", Name: "open",
		Help:           "Open connections, by listener (api, registry).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"listener"})
	connectionsMax = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "connections", Name: "max",
		Help:           "Maximum number of connections of a listener, which follows from the limit of open files.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"listener"})
	connectionsClosed = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "connections", Name: "closed_for_room_total",
		Help:           "Idle connections that were closed for others, or rejected, because a listener was full.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"listener"})
	registerMetrics = sync.OnceFunc(func() {
		legacyregistry.MustRegister(connections, connectionsMax, connectionsClosed)
	})
)
