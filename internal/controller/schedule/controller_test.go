package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/component-base/metrics/testutil"

	"weir.dev/weir/internal/controller/controllertest"
	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

// harness is a controller over a world, inside a synctest bubble.
type harness struct {
	*controllertest.World
	t        *testing.T
	c        *Controller
	recorder *events.FakeRecorder
	progress *memoryProgress
	stop     func()
}

// memoryProgress keeps the progress over restarts of the controller.
type memoryProgress struct {
	mu    sync.Mutex
	until time.Time
	saves int
}

func (p *memoryProgress) Load(context.Context) (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until, nil
}

func (p *memoryProgress) Save(_ context.Context, until time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.saves = until, p.saves+1
	return nil
}

// bubble runs f with a world, its informer and a controller over both, under a clock
// that leaps.
func bubble(t *testing.T, change func(*Options), f func(h *harness)) {
	synctest.Test(t, func(t *testing.T) {
		w := controllertest.New()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Run(ctx)
		}()
		o := DefaultOptions()
		if change != nil {
			change(&o)
		}
		registerMetrics()
		h := &harness{World: w, t: t, recorder: events.NewFakeRecorder(100), progress: &memoryProgress{}}
		h.c = &Controller{options: o, informer: w.Informer, progress: h.progress, effects: effects{
			stream: w.Stream, post: w.Import, now: time.Now, recorder: h.recorder, random: func() float64 { return 0 },
		}}
		h.run()
		f(h)
		h.stop()
		cancel()
		<-ended
	})
}

func (h *harness) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.c.Run(ctx) }()
	h.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("Run: %v", err)
		}
	}
}

func pass(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

// imported puts a stream whose tags have been imported into the world.
func (h *harness) imported(name string, tags ...imagev1.TagReference) {
	h.t.Helper()
	h.Apply(controllertest.ImageStream(name, tags...))
	s, err := h.Stream("ns", name)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.Import(h.t.Context(), importrequest.Build(s, stream.ImportNeeds(s)), importrequest.WhySpec); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) scheduled() []controllertest.Post {
	return slices.DeleteFunc(h.Posts(), func(p controllertest.Post) bool { return p.Why != importrequest.WhySchedule })
}

func TestChecksTagsTogetherOnTheirInterval(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		h.imported("s", scheduled("a", "q.io/x:1", ""), scheduled("b", "q.io/x:2", ""), scheduled("c", "q.io/x:3", "5m"), controllertest.Tag("d", "q.io/x:4"))
		writes := h.Writes()
		pass(time.Hour)
		count := map[string]int{}
		for _, p := range h.scheduled() {
			count[fmt.Sprint(p.Tags)]++
		}
		if len(count) != 2 || count["[a b]"] != 4 || count["[c]"] != 12 {
			h.t.Errorf("checks in an hour: %v, want [a b] 4 times, [c] 12 times", count)
		}
		if got := h.Writes() - writes; got != 0 {
			h.t.Errorf("%d writes, want none while nothing moves", got)
		}
		h.SetUpstream(0, func(string) (string, *metav1.Status) { return "sha256:moved", nil })
		pass(15 * time.Minute)
		s, _ := h.Stream("ns", "s")
		for tag, want := range map[string]string{"a": "sha256:moved", "b": "sha256:moved", "c": "sha256:moved", "d": controllertest.Image("q.io/x:4")} {
			if got := stream.LatestEvent(s, tag).Image; got != want {
				h.t.Errorf("head of %s is %s, want %s", tag, got, want)
			}
		}
	})
}

func TestFollowsSpec(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		h.imported("s", scheduled("a", "q.io/x:1", ""))
		h.imported("gone", scheduled("a", "q.io/x:1", ""))
		pass(16 * time.Minute)
		if got := len(h.scheduled()); got < 2 {
			h.t.Fatalf("%d checks, want one of each stream at least", got)
		}
		s, _ := h.Stream("ns", "s")
		stream.SpecTag(s, "a").ImportPolicy.Scheduled = false
		h.Apply(s)
		h.Delete("ns", "gone")
		synctest.Wait()
		before := len(h.scheduled())
		pass(24 * time.Hour)
		if got := len(h.scheduled()); got != before {
			h.t.Errorf("%d checks of tags that are not scheduled", got-before)
		}
		stream.SpecTag(s, "a").ImportPolicy.Scheduled = true
		h.Apply(s)
		pass(15 * time.Minute)
		if got := len(h.scheduled()); got != before+1 {
			h.t.Errorf("%d checks within an interval after scheduling, want 1", got-before)
		}
	})
}

func TestConflictIsRepeatedSoon(t *testing.T) {
	bubble(t, nil, func(h *harness) {
		h.imported("s", scheduled("a", "q.io/x:1", "24h"))
		conflict := apierrors.NewConflict(imageapi.Resource("imagestream"), "s", errors.New("changed"))
		h.Refuse(conflict)
		h.OnPost(func(p controllertest.Post) {
			if len(h.scheduled()) == 3 {
				h.Refuse(nil)
			}
		})
		pass(24 * time.Hour)
		posts := h.scheduled()
		if len(posts) != 4 {
			h.t.Fatalf("%d checks, want 3 that fail and 1", len(posts))
		}
		if took := posts[3].At.Sub(posts[0].At); took > 10*time.Second {
			h.t.Errorf("the check was made up for after %v, want seconds", took)
		}
		pass(24 * time.Hour)
		if got := len(h.scheduled()); got != 5 {
			h.t.Errorf("%d checks a day later, want 5", got)
		}
	})
}

func TestRateCapAndOrder(t *testing.T) {
	bubble(t, func(o *Options) { o.MaxPerMinute, o.Interval.Duration = 10, 2*time.Minute }, func(h *harness) {
		for i := range 100 {
			h.imported(fmt.Sprintf("s%d", i), scheduled("a", "q.io/x:1", ""))
		}
		pass(time.Hour)
		posts := h.scheduled()
		if got := len(posts); got < 10*60 || got > 10*60+20 {
			h.t.Errorf("%d checks in an hour, want 600 and a burst of 20", got)
		}
		streams := map[string]int{}
		for _, p := range posts {
			streams[p.Name.Name]++
		}
		for name, n := range streams {
			if n < 5 || n > 7 {
				h.t.Errorf("%s was checked %d times, want 6: all wait alike", name, n)
			}
		}
	})
}

func TestWorkersAreBounded(t *testing.T) {
	bubble(t, func(o *Options) { o.MaxPerMinute, o.Workers = -1, 3 }, func(h *harness) {
		for i := range 20 {
			h.imported(fmt.Sprintf("s%d", i), scheduled("a", fmt.Sprintf("q%d.io/x:1", i), ""))
		}
		h.SetUpstream(time.Hour, func(ref string) (string, *metav1.Status) { return controllertest.Image(ref), nil })
		pass(30 * time.Minute)
		if got := len(h.scheduled()); got != 3 {
			h.t.Errorf("%d checks under way, want 3", got)
		}
		begin := time.Now()
		h.stop()
		if took := time.Since(begin); took > time.Second {
			h.t.Errorf("stopping took %v", took)
		}
		h.run()
	})
}

func TestOneRegistryLeavesRoomForOthers(t *testing.T) {
	bubble(t, func(o *Options) { o.MaxPerMinute, o.Workers = -1, 8 }, func(h *harness) {
		for i := range 20 {
			h.imported(fmt.Sprintf("slow%d", i), scheduled("a", "slow.io/x:1", ""))
		}
		h.SetUpstream(time.Hour, func(ref string) (string, *metav1.Status) { return controllertest.Image(ref), nil })
		pass(30 * time.Minute)
		if got := len(h.scheduled()); got != 2 {
			h.t.Errorf("%d checks of a registry that hangs, want a quarter of 8", got)
		}
		h.SetUpstream(0, func(ref string) (string, *metav1.Status) { return controllertest.Image(ref), nil })
		h.imported("other", scheduled("a", "other.io/x:1", ""))
		pass(20 * time.Minute)
		checked := false
		for _, p := range h.scheduled() {
			checked = checked || p.Name.Name == "other"
		}
		if !checked {
			h.t.Error("the tag of another registry was not checked meanwhile")
		}
	})
}

func TestTenThousandTags(t *testing.T) {
	bubble(t, func(o *Options) { o.MaxPerMinute = -1 }, func(h *harness) {
		before := gauge(h.t)
		for i := range 200 {
			s := controllertest.ImageStream(fmt.Sprintf("s%d", i))
			for j := range 50 {
				stream.SetSpecTag(s, scheduled(fmt.Sprintf("t%02d", j), "q.io/x:1", ""))
			}
			h.imported(s.Name, s.Spec.Tags...)
		}
		writes := h.Writes()
		synctest.Wait()
		if got := gauge(h.t) - before; got != 200 {
			h.t.Errorf("%v groups tracked, want 200", got)
		}
		pass(15 * time.Minute)
		tags := 0
		perMinute := map[time.Time]int{}
		for _, p := range h.scheduled() {
			tags += len(p.Tags)
			perMinute[p.At.Truncate(time.Minute)] += len(p.Tags)
		}
		if tags != 10000 {
			h.t.Errorf("%d tags checked in an interval, want each of 10000 once", tags)
		}
		for minute, n := range perMinute {
			if n > 1500 {
				h.t.Errorf("%d tags checked in the minute of %v, want about 667", n, minute)
			}
		}
		if got := h.Writes() - writes; got != 0 {
			h.t.Errorf("%d writes, want none", got)
		}
	})
}

func TestDisabled(t *testing.T) {
	bubble(t, func(o *Options) { o.Disabled = true }, func(h *harness) {
		h.imported("s", scheduled("a", "q.io/x:1", ""))
		pass(24 * time.Hour)
		if got := len(h.scheduled()); got != 0 {
			h.t.Errorf("%d checks by a disabled controller", got)
		}
	})
}

func TestStopLeavesTheGaugeAsItWas(t *testing.T) {
	before := gauge(t)
	bubble(t, nil, func(h *harness) {
		h.imported("s", scheduled("a", "q.io/x:1", ""), scheduled("b", "q.io/x:1", "5m"))
		synctest.Wait()
		if got := gauge(h.t) - before; got != 2 {
			h.t.Errorf("%v groups tracked, want 2", got)
		}
	})
	if got := gauge(t) - before; got != 0 {
		t.Errorf("%v groups tracked after the end", got)
	}
}

func gauge(t *testing.T) float64 {
	registerMetrics()
	v, err := testutil.GetGaugeMetricValue(groupsTracked)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
