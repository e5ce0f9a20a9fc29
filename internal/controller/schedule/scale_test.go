package schedule

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/component-base/metrics/testutil"

	"weir.dev/weir/internal/controller/controllertest"
	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/stream"
)

// fleet is a server with many scheduled streams: the schedule without its informer.
type fleet struct {
	options  Options
	interval string
	streams  int
	progress memoryProgress
	recorder *events.FakeRecorder

	mu     sync.Mutex
	checks map[string][]time.Time
	fail   func(stream string) error
}

func newFleet(streams int) *fleet {
	return &fleet{options: DefaultOptions(), streams: streams, recorder: events.NewFakeRecorder(1000), checks: map[string][]time.Time{}}
}

func (f *fleet) stream(_, name string) (*imagev1.ImageStream, error) {
	return controllertest.ImageStream(name, scheduled("a", fmt.Sprintf("q%d.io/x:1", crc32.ChecksumIEEE([]byte(name))%20), f.interval)), nil
}

func (f *fleet) post(_ context.Context, isi *imagev1.ImageStreamImport, _ importrequest.Why) (*imagev1.ImageStreamImport, error) {
	<-time.After(200 * time.Millisecond) // of the bubble's clock
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(isi.Name); err != nil {
			return nil, err
		}
	}
	f.checks[isi.Name] = append(f.checks[isi.Name], time.Now())
	return isi, nil
}

// runFor is a server that is started, runs for a while and is stopped; it returns what it tracked.
func (f *fleet) runFor(t *testing.T, d time.Duration) {
	t.Helper()
	registerMetrics()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	r := newRun(f.options, effects{
		stream: f.stream, post: f.post, now: time.Now, recorder: f.recorder, random: func() float64 { return 0 },
	}, load(ctx, &f.progress, time.Now))
	defer r.close()
	for i := range f.streams {
		s, _ := f.stream("", fmt.Sprintf("s%d", i))
		r.resume(keyOf(s), f.options.Intervals().Slots(s))
	}
	var parts sync.WaitGroup
	for _, part := range []func(){func() { r.work(ctx) }, func() { r.keepProgress(ctx, &f.progress) }, func() { r.watchLag(ctx) }} {
		parts.Go(part)
	}
	parts.Wait()
}

func (f *fleet) missing(least int) (n int, one string) {
	for i := range f.streams {
		if name := fmt.Sprintf("s%d", i); len(f.checks[name]) < least {
			n, one = n+1, name
		}
	}
	return n, one
}

// Sixty checks a minute reach 900 streams in a quarter of an hour. The cap follows from what is
// scheduled, so that five thousand are reached in it as well.
func TestFiveThousandStreamsKeepTheirInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(5000)
		f.runFor(t, 46*time.Minute)
		if n, one := f.missing(3); n > 0 {
			t.Errorf("%d of 5000 streams, %s among them, were not checked in each of three intervals", n, one)
		}
		for name, checks := range f.checks {
			for i := 1; i < len(checks); i++ {
				if gap := checks[i].Sub(checks[i-1]); gap > 16*time.Minute {
					t.Fatalf("%s was checked after %v", name, gap)
				}
			}
		}
		select {
		case event := <-f.recorder.Events:
			t.Errorf("an Event without cause: %s", event)
		default:
		}
	})
}

// A server that falls behind and is stopped before it has been through all streams goes on where
// it was: no stream is left out, however often that happens.
func TestRestartsReachEveryStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(3000)
		f.options.MaxPerMinute = 60 // of the 200 that are needed
		for range 12 {
			f.runFor(t, 5*time.Minute)
			pass(30 * time.Second)
		}
		if n, one := f.missing(1); n > 0 {
			t.Errorf("%d of 3000 streams, %s among them, were never checked in an hour", n, one)
		}
	})
}

// What came due while the server was stopped is checked when it is back, also if it is stopped at
// the same time every day.
func TestStopsAtTheSameTimeOfDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(200)
		f.interval = "24h"
		for range 3 {
			f.runFor(t, 16*time.Hour)
			pass(8 * time.Hour)
		}
		if n, one := f.missing(2); n > 0 {
			t.Errorf("%d of 200 streams, %s among them, were not checked twice in three days", n, one)
		}
		for name, checks := range f.checks {
			if len(checks) > 3 {
				t.Errorf("%s was checked %d times in three days", name, len(checks))
			}
		}
		if f.progress.saves > 3*16*60*2+3 {
			t.Errorf("the progress was written %d times", f.progress.saves)
		}
	})
}

// A restart does not check again what was checked.
func TestRestartRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(300)
		for range 9 {
			f.runFor(t, 5*time.Minute)
		}
		for name, checks := range f.checks {
			if len(checks) > 4 {
				t.Errorf("%s was checked %d times in three intervals", name, len(checks))
			}
		}
	})
}

func TestFallingBehindIsToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(2000)
		f.options.MaxPerMinute = 60
		f.runFor(t, 2*time.Hour)
		var told []string
		for len(f.recorder.Events) > 0 {
			told = append(told, <-f.recorder.Events)
		}
		if len(told) < 2 || len(told) > 8 {
			t.Fatalf("%d Events in two hours: %q", len(told), told)
		}
		for _, want := range []string{"Warning " + ReasonBehind, "late", "raise schedule.maxPerMinute: it allows 60 imports per minute, the scheduled tags need 134"} {
			if !strings.Contains(told[0], want) {
				t.Errorf("Event %q lacks %q", told[0], want)
			}
		}
		if v, err := testutil.GetGaugeMetricValue(behindSeconds); err != nil || v != 0 {
			t.Errorf("a stopped controller is %v behind, %v", v, err)
		}
	})
}

// A check that fails for a while is owed since its time, which is lag, and holds up nothing else.
func TestFailedChecksAreOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(1)
		f.interval = "1h"
		f.fail = func(string) error { return errors.New("the API cannot be reached") }
		f.runFor(t, 90*time.Minute)
		if late := time.Since(f.progress.until); late > time.Minute {
			t.Errorf("the progress is %v old", late)
		}
		if len(f.recorder.Events) == 0 {
			t.Error("no Event although the check is late by most of its interval")
		}
	})
}

func TestProgressInAConfigMap(t *testing.T) {
	client := fake.NewSimpleClientset()
	p := NewProgress(client)
	if until, err := p.Load(t.Context()); err != nil || !until.IsZero() {
		t.Errorf("nothing saved: %v, %v", until, err)
	}
	for _, want := range []time.Time{noon, noon.Add(time.Hour)} {
		if err := p.Save(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if until, err := p.Load(t.Context()); err != nil || !until.Equal(want) {
			t.Errorf("got %v, %v, want %v", until, err, want)
		}
	}
	if got := load(t.Context(), p, func() time.Time { return noon }); !got.Equal(noon) {
		t.Errorf("a time to come counts as %v, want now", got)
	}
	maps := client.CoreV1().ConfigMaps(progressNamespace)
	found, err := maps.Get(t.Context(), progressName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found.Data[progressKey] = "yesterday"
	if _, err := maps.Update(t.Context(), found, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Load(t.Context()); err == nil || !strings.Contains(err.Error(), progressNamespace+"/"+progressName) {
		t.Errorf("text that is no time: %v", err)
	}
}

// Without its progress the schedule works, after some attempts.
func TestProgressThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewSimpleClientset()
		attempts := 0
		client.PrependReactor("get", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
			attempts++
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, progressName, nil)
		})
		if until := load(t.Context(), NewProgress(client), time.Now); !until.IsZero() || attempts != loadAttempts {
			t.Errorf("until %v after %d attempts", until, attempts)
		}
	})
}

// BenchmarkAgenda measures a check without its import, with 50,000 streams.
func BenchmarkAgenda(b *testing.B) {
	a, quarter := newAgenda(), stream.Slot{Interval: 15 * time.Minute, Groups: 1}
	for i := range 50000 {
		a.set(types.NamespacedName{Namespace: "ns", Name: fmt.Sprint(i)}, map[stream.Slot][]string{quarter: {"a"}}, at(noon))
	}
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			now, _ := a.soonest()
			e := a.take(now)
			next := e.slot.Next(e.key, now)
			a.putBack(e, next, next)
		}
	})
	b.Run("progress", func(b *testing.B) {
		for b.Loop() {
			a.checkedUntil(noon)
		}
	})
	b.Run("lag", func(b *testing.B) {
		for b.Loop() {
			a.behind(noon.Add(time.Hour), noon)
		}
	})
}
