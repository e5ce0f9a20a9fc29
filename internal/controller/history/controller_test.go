package history

import (
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/component-base/metrics/testutil"

	"weir.dev/weir/internal/stream"
)

func ofSize(name string, bytes int) *imagev1.ImageStream {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, ResourceVersion: name + string(rune(bytes>>10))}}
	s.Annotations = map[string]string{"filler": strings.Repeat("x", bytes)}
	return s
}

func TestLevel(t *testing.T) {
	for size, want := range map[int]int{
		0: 0, stream.LargeBytes - 1: 0, stream.LargeBytes: 1, 2*stream.LargeBytes - 1: 1, 2 * stream.LargeBytes: 2, stream.MaxBytes: 3,
	} {
		if got := level(size); got != want {
			t.Errorf("level of %d is %d, want %d", size, got, want)
		}
	}
}

// TestLargeStreamsAreReported: once for each level that a stream reaches, and counted while they
// are large.
func TestLargeStreamsAreReported(t *testing.T) {
	registerMetrics()
	recorder := events.NewFakeRecorder(10)
	z := newSizes(recorder)
	handler := z.handler()
	said := func(want string) {
		t.Helper()
		var got string
		select {
		case got = <-recorder.Events:
		default:
		}
		if (got == "") != (want == "") || !strings.Contains(got, want) || got != "" && (!strings.Contains(got, "Warning "+ReasonLarge) || !strings.Contains(got, stream.AnnotationHistoryLimit)) {
			t.Errorf("Event %q, want %q", got, want)
		}
	}
	counted := func(streams, kib float64) {
		t.Helper()
		n, _ := testutil.GetGaugeMetricValue(largeStreams)
		b, _ := testutil.GetGaugeMetricValue(largeBytes)
		if n != streams || b < kib*1024 || b > (kib+1)*1024 {
			t.Errorf("%v large streams of %v bytes, want %v of %v KiB", n, b, streams, kib)
		}
	}
	small, large, larger, largest := ofSize("a", 200<<10), ofSize("a", 300<<10), ofSize("a", 400<<10), ofSize("a", 600<<10)
	handler.AddFunc(small)
	said("")
	counted(0, 0)
	handler.UpdateFunc(small, large)
	said("takes 300 KiB of 1536 KiB")
	counted(1, 300)
	handler.UpdateFunc(large, large) // a resync
	handler.UpdateFunc(large, larger)
	said("")
	handler.UpdateFunc(larger, largest)
	said("takes 600 KiB")
	handler.AddFunc(ofSize("b", 300<<10))
	said("takes 300 KiB")
	counted(2, 900)
	handler.UpdateFunc(largest, small)
	counted(1, 300)
	handler.DeleteFunc(cache.DeletedFinalStateUnknown{Obj: ofSize("b", 300<<10)})
	counted(0, 0)
	handler.UpdateFunc(small, large)
	said("takes 300 KiB")
	z.clear()
	counted(0, 0)
}

func TestEventsAreBounded(t *testing.T) {
	registerMetrics()
	recorder := events.NewFakeRecorder(1000)
	z := newSizes(recorder)
	for i := range 100 {
		z.observe(ofSize(string(rune('a'+i)), 300<<10))
	}
	if n := len(recorder.Events); n < eventsAtOnce || n > eventsAtOnce+5 {
		t.Errorf("%d Events at once, want about %d", n, eventsAtOnce)
	}
	z.clear()
}
