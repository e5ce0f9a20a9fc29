package ociregistry

import (
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
)

// The metrics of all Handlers of the process.
var (
	requestsTotal = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry", Name: "requests_total",
		Help:           "Requests to the registry by route, method and status code; code is aborted for responses that were cut off.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"route", "method", "code"})
	requestDuration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: "weir", Subsystem: "registry", Name: "request_duration_seconds",
		Help:           "Time from the header of a request to the last byte of its response.",
		Buckets:        []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		StabilityLevel: metrics.ALPHA,
	}, []string{"route", "method"})
	receivedBytes = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry", Name: "received_bytes_total",
		Help:           "Bytes of request bodies received.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"route"})
	sentBytes = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry", Name: "sent_bytes_total",
		Help:           "Bytes of response bodies sent.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"route"})
	requestsInFlight = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "registry", Name: "requests_in_flight",
		Help:           "Requests in flight, by kind (read, write).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"kind"})
	requestsWaiting = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "registry", Name: "requests_waiting",
		Help:           "Requests queued by the concurrency limit, by kind.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"kind"})
	requestsRefused = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry", Name: "requests_refused_total",
		Help:           "Requests answered 429 because of the concurrency limit of their kind, or for memory.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"kind"})
	memoryHeld = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "registry", Name: "content_held_bytes",
		Help:           "Memory reserved for manifests, configurations, signatures and lists of requests in flight.",
		StabilityLevel: metrics.ALPHA,
	})
	uploadsTotal = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry", Name: "uploads_total",
		Help:           "Uploads of blobs by outcome: started, completed (also in one request), mounted, canceled, or rejected for their digest.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"outcome"})
	uploadsRefused = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry", Name: "uploads_refused_total",
		Help:           "Uploads rejected because the user or the namespace (bound) has the maximum number of unfinished uploads.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"bound"})
	manifestReads = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry", Name: "manifest_reads_total",
		Help:           "Manifests read, by source (memory, storage, upstream).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"from"})
	keptImages = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry", Name: "kept_images_total",
		Help:           "Images kept on import (complete), and pulled images that could not be kept completely (failed).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"outcome"})
	registerMetrics = sync.OnceFunc(func() {
		legacyregistry.MustRegister(requestsTotal, requestDuration, receivedBytes, sentBytes, requestsInFlight,
			requestsWaiting, requestsRefused, memoryHeld, uploadsRefused, uploadsTotal, manifestReads, keptImages)
	})
)

// methodLabel maps unknown methods to one label value.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return method
	}
	return "other"
}

// observe counts and logs a finished exchange.
func (x *exchange) observe() {
	took := x.Now().Sub(x.started)
	route, method := x.at.resource.String(), methodLabel(x.r.Method)
	code := "aborted"
	if !x.w.aborted {
		code = codeLabel(x.w.status)
	}
	requestsTotal.WithLabelValues(route, method, code).Inc()
	requestDuration.WithLabelValues(route, method).Observe(took.Seconds())
	if x.body.read > 0 {
		receivedBytes.WithLabelValues(route).Add(float64(x.body.read))
	}
	if x.w.sent > 0 {
		sentBytes.WithLabelValues(route).Add(float64(x.w.sent))
	}
	if x.AccessLog != nil {
		x.AccessLog.Write(x.entry(took))
	}
	if !klog.V(2).Enabled() {
		return
	}
	// Do not log the query or headers, which may hold credentials.
	user := ""
	if x.caller.User != nil {
		user = x.caller.User.GetName()
	}
	klog.V(2).InfoS("Registry", "request", x.requestName(), "user", user, "remote", x.r.RemoteAddr,
		"method", x.r.Method, "route", route, "repository", x.at.name, "reference", x.at.reference,
		"status", code, "received", x.body.read, "sent", x.w.sent, "duration", took)
}

// codeLabel returns a status code as text, without an allocation for common codes.
func codeLabel(status int) string {
	switch status {
	case http.StatusOK, 0: // net/http sends 200 for a handler that writes nothing
		return "200"
	case http.StatusNotModified:
		return "304"
	case http.StatusUnauthorized:
		return "401"
	case http.StatusNotFound:
		return "404"
	}
	return strconv.Itoa(status)
}

// admitScraper admits requests for the metrics that present the metrics secret, which belongs
// to no user.
func (x *exchange) admitScraper() error {
	secret, shown := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer ")
	if shown && !x.MetricsOff && subtle.ConstantTimeCompare([]byte(secret), []byte(x.MetricsSecret)) == 1 {
		return nil
	}
	e := NewError(CodeUnauthorized, "access denied: the metrics require the metrics secret")
	if x.MetricsOff {
		e = NewError(CodeUnauthorized, "access denied: the metrics are disabled")
	}
	e.Challenge = x.Access.Challenge(x.r, "")
	return e
}

// getMetrics serves only the registry's metrics. The right to read these does not include the
// metrics of an API server in the same process.
func (x *exchange) getMetrics() error {
	promhttp.HandlerFor(prometheus.GathererFunc(gatherOurs), promhttp.HandlerOpts{}).ServeHTTP(&x.w, x.r)
	return nil
}

func gatherOurs() ([]*dto.MetricFamily, error) {
	all, err := legacyregistry.DefaultGatherer.Gather()
	ours := all[:0]
	for _, family := range all {
		name := family.GetName()
		if strings.HasPrefix(name, "weir_") || strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			ours = append(ours, family)
		}
	}
	return ours, err
}
