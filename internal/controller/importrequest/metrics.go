package importrequest

import (
	"strconv"
	"sync"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"weir.dev/weir/internal/reference"
)

// The two counters have the names and labels that OpenShift's dashboards use.
var (
	successes = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "openshift",
		Subsystem:      "imagestreamcontroller",
		Name:           "success_count",
		Help:           "Images and repositories imported, by whether their tag is scheduled and by registry.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"scheduled", "registry"})
	failures = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "openshift",
		Subsystem:      "imagestreamcontroller",
		Name:           "error_count",
		Help:           "Failed imports of images and repositories, by whether their tag is scheduled, by registry and by reason.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"scheduled", "registry", "reason"})
	durations = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "import_duration_seconds",
		Help:           "Duration of import requests to the API, by trigger (why) and by result of the request as a whole.",
		Buckets:        []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		StabilityLevel: metrics.ALPHA,
	}, []string{"why", "result"})

	register sync.Once
	hosts    = boundedLabels{limit: maxRegistries, other: "other", known: map[string]struct{}{}}
	reasons  = boundedLabels{limit: maxReasons, other: "other", known: map[string]struct{}{}}
)

const (
	// maxRegistries bounds the registries with a separate label value; users choose their
	// names.
	maxRegistries = 200
	maxReasons    = 50
)

// registerMetrics registers the metrics, once per process.
func registerMetrics() {
	register.Do(func() { legacyregistry.MustRegister(successes, failures, durations) })
}

// boundedLabels passes the first limit values of a label and maps the rest to one.
type boundedLabels struct {
	limit int
	other string
	mu    sync.Mutex
	known map[string]struct{}
}

func (b *boundedLabels) value(v string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.known[v]; ok {
		return v
	}
	if len(b.known) >= b.limit {
		return b.other
	}
	b.known[v] = struct{}{}
	return v
}

func registryLabel(pullSpec string) string {
	ref, err := reference.Parse(pullSpec)
	if err != nil {
		return hosts.other
	}
	return hosts.value(ref.WithDefaults().Registry)
}

func observe(why Why, took time.Duration, err error) {
	result := "answered"
	if err != nil {
		result = reasons.value(reasonOf(err))
	}
	durations.WithLabelValues(string(why), result).Observe(took.Seconds())
}

// count counts the results of a completed import: each tag of a repository whose tags could be
// listed, otherwise the repository.
func count(isi, answer *imagev1.ImageStreamImport) {
	for i := range min(len(isi.Spec.Images), len(answer.Status.Images)) {
		spec := &isi.Spec.Images[i]
		countOne(spec.ImportPolicy.Scheduled, spec.From.Name, &answer.Status.Images[i].Status)
	}
	spec, status := isi.Spec.Repository, answer.Status.Repository
	if spec == nil || status == nil {
		return
	}
	for i := range status.Images {
		countOne(spec.ImportPolicy.Scheduled, spec.From.Name, &status.Images[i].Status)
	}
	if len(status.Images) == 0 {
		countOne(spec.ImportPolicy.Scheduled, spec.From.Name, &status.Status)
	}
}

// countFailed counts everything in an import as failed.
func countFailed(isi *imagev1.ImageStreamImport, err error) {
	status := &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReason(reasonOf(err))}
	for i := range isi.Spec.Images {
		countOne(isi.Spec.Images[i].ImportPolicy.Scheduled, isi.Spec.Images[i].From.Name, status)
	}
	if r := isi.Spec.Repository; r != nil {
		countOne(r.ImportPolicy.Scheduled, r.From.Name, status)
	}
}

func countOne(scheduled bool, pullSpec string, status *metav1.Status) {
	label, registry := strconv.FormatBool(scheduled), registryLabel(pullSpec)
	if status.Status == metav1.StatusFailure {
		failures.WithLabelValues(label, registry, reasons.value(string(status.Reason))).Inc()
		return
	}
	successes.WithLabelValues(label, registry).Inc()
}

// reasonOf returns the reason of an API error, and Unreachable for other errors (broken
// connections).
func reasonOf(err error) string {
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	return "Unreachable"
}
