package inbound

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	connections = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "connections", Name: "open",
		Help:           "Connections that are open, by listener (api, registry).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"listener"})
	connectionsMax = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "connections", Name: "max",
		Help:           "Connections that a listener accepts, which follows from the limit of open files.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"listener"})
	connectionsClosed = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "connections", Name: "closed_for_room_total",
		Help:           "Connections without a request that were closed for others, or refused, since a listener was full.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"listener"})
	registerMetrics = sync.OnceFunc(func() {
		legacyregistry.MustRegister(connections, connectionsMax, connectionsClosed)
	})
)
