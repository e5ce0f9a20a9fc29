package imageimport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics/testutil"

	"weir.dev/weir/internal/controller/controllertest"
)

// written keeps events as "type reason note".
type written struct {
	mu     sync.Mutex
	events []string
}

func (w *written) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	on, about := regarding.(*corev1.ObjectReference), related.(*corev1.ObjectReference)
	w.events = append(w.events, fmt.Sprintf("%s %s %s/%s %s: ", kind, reason, on.Namespace, on.Name, about.Name)+fmt.Sprintf(note, args...))
}

func (w *written) of(reason string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.events), func(e string) bool { return strings.Fields(e)[1] != reason })
}

// harness is a controller over a world, inside a synctest bubble.
type harness struct {
	*controllertest.World
	t      *testing.T
	events *written
	c      *Controller
	stop   func()
	// readOnly has writes of statuses fail.
	readOnly atomic.Bool
}

func (h *harness) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.c.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("Run: %v", err)
		}
	})
}

// bubble runs f with a controller over a world whose informer runs, under a clock that leaps.
func bubble(t *testing.T, f func(t *testing.T, h *harness), change ...func(*Options)) {
	synctest.Test(t, func(t *testing.T) {
		w := controllertest.New()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Run(ctx)
		}()
		defer func() { cancel(); <-ended }()
		h := newHarness(t, w, change...)
		h.run()
		defer func() { h.stop() }()
		f(t, h)
	})
}

// failing is bubble with a stream s whose tag a, from q.io/x:1, has failed a second ago.
func failing(t *testing.T, u controllertest.Upstream, f func(t *testing.T, h *harness)) {
	bubble(t, func(t *testing.T, h *harness) {
		h.SetUpstream(0, u)
		h.Apply(controllertest.ImageStream("s", controllertest.Tag("a", "q.io/x:1")))
		pass(time.Second)
		f(t, h)
	})
}

func newHarness(t *testing.T, w *controllertest.World, change ...func(*Options)) *harness {
	o := DefaultOptions()
	for _, f := range change {
		f(&o)
	}
	h := &harness{World: w, t: t, events: &written{}}
	h.c = &Controller{options: o, informer: w.Informer, secrets: []cache.SharedIndexInformer{w.Secrets}, effects: effects{
		stream:  w.Stream,
		streams: w.StreamsOf,
		live:    w.Live,
		post:    w.Import,
		writeStatus: func(ctx context.Context, s *imagev1.ImageStream) (*imagev1.ImageStream, error) {
			if h.readOnly.Load() {
				return nil, apierrors.NewInternalError(errors.New("no quorum"))
			}
			return w.WriteStatus(ctx, s)
		},
		announce: newAnnouncer(h.events, o.EventsPerSecond),
		now:      time.Now,
		random:   func() float64 { return 0 },
	}}
	return h
}

func pass(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

func (h *harness) stream(name string) *imagev1.ImageStream {
	s, err := h.Stream("ns", name)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (h *harness) change(name string, f func(*imagev1.ImageStream)) {
	s := h.stream(name)
	f(s)
	h.Apply(s)
}

func unavailable(string) (string, *metav1.Status) {
	return "", controllertest.Failure(metav1.StatusReasonInternalError, "503 Service Unavailable", 0)
}

func sound(ref string) (string, *metav1.Status) { return controllertest.Image(ref), nil }

func missing(string) (string, *metav1.Status) {
	return "", controllertest.Failure(metav1.StatusReasonNotFound, "not found", 0)
}

func gauge(t *testing.T) float64 {
	registerMetrics()
	v, err := testutil.GetGaugeMetricValue(retriesPending)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func counter(t *testing.T) float64 {
	registerMetrics()
	v, err := testutil.GetCounterMetricValue(eventsDropped)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
