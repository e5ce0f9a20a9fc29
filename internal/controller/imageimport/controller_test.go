package imageimport

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/controller/controllertest"
	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

func TestImportsWhatSpecAsksFor(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		reference := controllertest.Tag("r", "q.io/x:r")
		reference.Reference = true
		h.Apply(controllertest.ImageStream("s", controllertest.Tag("a", "q.io/x:1"), controllertest.Tag("b", "q.io/y:1"), reference))
		pass(time.Second)

		posts := h.Posts()
		if len(posts) != 1 || !slices.Equal(posts[0].Tags, []string{"a", "b"}) || posts[0].Why != importrequest.WhySpec {
			t.Fatalf("imports: %+v, want one of a and b", posts)
		}
		s := h.stream("s")
		if s.Generation != 2 || *stream.SpecTag(s, "a").Generation != 2 || stream.LatestEvent(s, "a").Generation != 2 {
			t.Errorf("generations of stream, tag and event: %d %d %d, want 2", s.Generation, *stream.SpecTag(s, "a").Generation, stream.LatestEvent(s, "a").Generation)
		}
		h.change("s", func(s *imagev1.ImageStream) { stream.SpecTag(s, "a").ImportPolicy.Insecure = true })
		pass(time.Hour)
		if got := len(h.Posts()); got != 1 {
			t.Errorf("%d imports after a change that asks for none, want 1", got)
		}
		h.change("s", func(s *imagev1.ImageStream) { *stream.SpecTag(s, "b").Generation = 0 })
		pass(time.Second)
		if posts := h.Posts(); len(posts) != 2 || !slices.Equal(posts[1].Tags, []string{"b"}) {
			t.Errorf("imports after b was asked for again: %+v", posts)
		}
		if len(h.events.events) > 0 {
			t.Errorf("events without any failure: %v", h.events.events)
		}
	})
}

func TestBacksOffFromErrorsOfTheWhole(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.Refuse(apierrors.NewConflict(imageapi.Resource("imagestreams"), "s", errors.New("busy")))
		h.Apply(controllertest.ImageStream("s", controllertest.Tag("a", "q.io/x:1")))
		pass(time.Second)
		if got := len(h.Posts()); got < 9 || got > 11 { // 1+2+4+…+512 ms
			t.Errorf("%d attempts in the first second, want about 10", got)
		}
		h.Refuse(nil)
		pass(2 * time.Second)
		if stream.LatestEvent(h.stream("s"), "a") == nil {
			t.Error("not imported after the conflicts ended")
		}
	})
}

// TestNumberOfImports counts the imports of a stream with one tag, after it was created and,
// a second later, changed.
func TestNumberOfImports(t *testing.T) {
	spec := func(change func(*imagev1.ImageStream)) func(*harness) {
		return func(h *harness) { h.change("s", change) }
	}
	throttled := func(string) (string, *metav1.Status) {
		return "", controllertest.Failure(metav1.StatusReasonInternalError, "toomanyrequests", 600)
	}
	for _, test := range []struct {
		name     string
		upstream controllertest.Upstream
		latency  time.Duration
		refusal  error
		disabled bool
		then     func(h *harness)
		want     map[time.Duration]int // since the creation
	}{
		{name: "the server has no such stream", refusal: apierrors.NewNotFound(imageapi.Resource("imagestreams"), "s"), want: map[time.Duration]int{time.Hour: 1}},
		{name: "deleted during the import", upstream: unavailable, latency: time.Minute, then: func(h *harness) { h.Delete("ns", "s") }, want: map[time.Duration]int{time.Hour: 1}},
		{name: "retries disabled", upstream: missing, disabled: true, want: map[time.Duration]int{24 * time.Hour: 1}},
		{name: "the registry asks for a pause", upstream: throttled, want: map[time.Duration]int{599 * time.Second: 1, 602 * time.Second: 2, 1197 * time.Second: 2}},
		{name: "tag removed", upstream: unavailable, then: spec(func(s *imagev1.ImageStream) { stream.RemoveSpecTag(s, "a") }), want: map[time.Duration]int{24 * time.Hour: 1}},
		{name: "tag is a reference now", upstream: unavailable, then: spec(func(s *imagev1.ImageStream) { stream.SpecTag(s, "a").Reference = true }), want: map[time.Duration]int{24 * time.Hour: 1}},
		{name: "tag from elsewhere now", upstream: func(ref string) (string, *metav1.Status) {
			if ref == "good.io/x:1" {
				return sound(ref)
			}
			return unavailable(ref)
		}, then: spec(func(s *imagev1.ImageStream) { stream.SpecTag(s, "a").From.Name = "good.io/x:1" }), want: map[time.Duration]int{2 * time.Second: 2, 24 * time.Hour: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *harness) {
				if test.upstream != nil {
					h.SetUpstream(test.latency, test.upstream)
				}
				h.Refuse(test.refusal)
				begin := time.Now()
				h.Apply(controllertest.ImageStream("s", controllertest.Tag("a", "q.io/x:1")))
				pass(time.Second)
				if test.then != nil {
					test.then(h)
				}
				for _, at := range slices.Sorted(maps.Keys(test.want)) {
					pass(at - time.Since(begin))
					if got := len(h.Posts()); got != test.want[at] {
						t.Errorf("%d imports after %v, want %d", got, at, test.want[at])
					}
				}
				if test.disabled && h.StatusWrites() != 0 {
					t.Errorf("%d status writes with retries disabled", h.StatusWrites())
				}
			}, func(o *Options) { o.Retry.Disabled = test.disabled })
		})
	}
}

func TestRetriesUntilItSucceeds(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		pending := gauge(t)
		h.SetUpstream(0, unavailable)
		begin := time.Now()
		h.Apply(controllertest.ImageStream("s", controllertest.Tag("a", "q.io/x:1"), controllertest.Tag("b", "q.io/x:2")))
		pass(time.Second)
		retry, ok := stream.RetryOf(h.stream("s"), "a")
		if !ok || retry.Attempt != 1 || retry.Next.Sub(begin) < 5*time.Second || retry.Next.Sub(begin) > 7*time.Second {
			t.Fatalf("after the first failure: %+v %v, want attempt 1 and about 5s", retry, ok)
		}
		if got := gauge(t) - pending; got != 2 {
			t.Errorf("%v tags pending, want 2", got)
		}
		written := h.Writes()
		pass(time.Minute) // attempts at about 5, 15 and 35 s
		if got := len(h.Posts()); got != 4 {
			t.Errorf("%d imports within a minute, want 4", got)
		}
		if got := h.Writes() - written; got != 3 {
			t.Errorf("%d writes for 3 identical failures of two tags, want 3", got)
		}
		generation := h.stream("s").Generation
		if generation != 2 {
			t.Errorf("identical failures took the stream to generation %d, want 2", generation)
		}
		h.SetUpstream(0, sound)
		pass(2 * time.Minute)
		s := h.stream("s")
		if stream.LatestEvent(s, "a") == nil || len(stream.StatusTag(s, "a").Conditions) > 0 {
			t.Errorf("tag a after upstream was mended: %+v", stream.StatusTag(s, "a"))
		}
		posts, writes := len(h.Posts()), h.Writes()
		pass(24 * time.Hour)
		if len(h.Posts()) != posts || h.Writes() != writes {
			t.Error("work goes on after success")
		}
		if got := gauge(t) - pending; got != 0 {
			t.Errorf("%v tags pending after success, want 0", got)
		}
		for reason, want := range map[string]int{ReasonImportFailed: 2, ReasonImportSucceeded: 2, ReasonImportRetry: 2 * 3 /* attempts 1, 2, 4 */} {
			if got := h.events.of(reason); len(got) != want {
				t.Errorf("%d events %s, want %d: %v", len(got), reason, want, got)
			}
		}
	})
}

func TestRetryGoesOnWhenTheFailureChanges(t *testing.T) {
	failing(t, unavailable, func(t *testing.T, h *harness) {
		h.SetUpstream(0, missing)
		pass(8 * time.Second)
		s := h.stream("s")
		if retry, _ := stream.RetryOf(s, "a"); retry.Attempt != 2 {
			t.Errorf("attempt %d, want 2; tag is %+v", retry.Attempt, stream.StatusTag(s, "a"))
		}
		if s.Generation != 3 {
			t.Errorf("stream at generation %d, want 3 as in the reference", s.Generation)
		}
		if got := h.events.of(ReasonImportFailed); len(got) != 1 {
			t.Errorf("failures told: %v, want one", got)
		}
	})
}

func TestRetryBeginsAnewWhenAskedForAgain(t *testing.T) {
	failing(t, missing, func(t *testing.T, h *harness) {
		pass(10 * time.Minute)
		if retry, _ := stream.RetryOf(h.stream("s"), "a"); retry.Attempt < 3 {
			t.Fatalf("attempt %d after ten minutes", retry.Attempt)
		}
		h.change("s", func(s *imagev1.ImageStream) { *stream.SpecTag(s, "a").Generation = 0 })
		pass(time.Second)
		s := h.stream("s")
		if retry, _ := stream.RetryOf(s, "a"); retry.Attempt != 1 {
			t.Errorf("attempt %d after the tag was asked for again, want 1", retry.Attempt)
		}
		if stream.ObservedGeneration(s, "a") < *stream.SpecTag(s, "a").Generation {
			t.Error("the tag looks as if it were still being imported")
		}
	})
}

func TestRestartGoesOnWhereConditionsSay(t *testing.T) {
	failing(t, missing, func(t *testing.T, h *harness) {
		pass(time.Hour)
		h.stop()
		before, _ := stream.RetryOf(h.stream("s"), "a")
		posts, events := len(h.Posts()), len(h.events.events)
		h.run()
		pass(time.Second)
		if after, _ := stream.RetryOf(h.stream("s"), "a"); after != before {
			t.Errorf("retry after a restart: %+v, before: %+v", after, before)
		}
		if len(h.Posts()) != posts || len(h.events.events) != events {
			t.Error("a restart asks upstream or tells news at once")
		}
		pass(time.Until(before.Next) + time.Second)
		if after, _ := stream.RetryOf(h.stream("s"), "a"); after.Attempt != before.Attempt+1 {
			t.Errorf("attempt %d after the due time, want %d", after.Attempt, before.Attempt+1)
		}
	})
}

func TestRetryLeavesImportsAlone(t *testing.T) {
	failing(t, unavailable, func(t *testing.T, h *harness) {
		// The import of b takes longer than all the pauses of a that come due meanwhile.
		h.SetUpstream(time.Minute, func(ref string) (string, *metav1.Status) {
			if ref == "q.io/x:1" {
				return unavailable(ref)
			}
			return controllertest.Image(ref), nil
		})
		h.change("s", func(s *imagev1.ImageStream) { stream.SetSpecTag(s, controllertest.Tag("b", "q.io/x:2")) })
		pass(61 * time.Second)
		posts := h.Posts()[1:]
		if len(posts) != 2 || posts[0].Why != importrequest.WhySpec || posts[1].Why != importrequest.WhyRetry {
			t.Fatalf("imports: %+v, want that of b and a retry of a", posts)
		}
		if wait := posts[1].At.Sub(posts[0].At); wait < time.Minute {
			t.Errorf("a was retried %v into the import of b, want after it", wait)
		}
		if stream.LatestEvent(h.stream("s"), "b") == nil {
			t.Error("b was not imported by its first import")
		}
	})
}

func TestSlowRetryHoldsUpNoNewTag(t *testing.T) {
	failing(t, unavailable, func(t *testing.T, h *harness) {
		h.SetUpstream(time.Hour, unavailable)
		pass(10 * time.Second) // a's retry hangs now
		h.SetUpstream(0, sound)
		h.change("s", func(s *imagev1.ImageStream) { stream.SetSpecTag(s, controllertest.Tag("b", "q.io/x:2")) })
		pass(time.Second)
		if stream.LatestEvent(h.stream("s"), "b") == nil {
			t.Error("b waits for the retry of a")
		}
		pass(2 * time.Hour) // the retry of a lost a conflict and comes back
		if stream.LatestEvent(h.stream("s"), "a") == nil {
			t.Error("a was given up")
		}
	})
}

func TestNotesAreNotLost(t *testing.T) {
	failing(t, missing, func(t *testing.T, h *harness) {
		h.readOnly.Store(true)
		pass(30 * time.Minute)
		if got := len(h.Posts()); got != 2 {
			t.Errorf("%d imports, want 2: upstream must not pay for notes that cannot be written", got)
		}
		h.readOnly.Store(false)
		pass(20 * time.Minute)
		s := h.stream("s")
		if retry, ok := stream.RetryOf(s, "a"); !ok || retry.Attempt != len(h.Posts()) {
			t.Errorf("after %d imports: %+v", len(h.Posts()), stream.StatusTag(s, "a"))
		}
	})
}

func TestRefusedRetryCountsAsFailure(t *testing.T) {
	failing(t, missing, func(t *testing.T, h *harness) {
		h.Refuse(apierrors.NewInvalid(imageapi.Kind("ImageStream"), "s", nil))
		pass(5 * time.Minute)
		if got := len(h.Posts()); got < 3 || got > 5 {
			t.Errorf("%d imports in five minutes, want the slow back-off's 4", got)
		}
		if retry, _ := stream.RetryOf(h.stream("s"), "a"); retry.Attempt != len(h.Posts()) {
			t.Errorf("attempt %d after %d imports", retry.Attempt, len(h.Posts()))
		}
	})
}

func TestStopGivesUpWhatIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.SetUpstream(time.Hour, missing)
		h.Apply(controllertest.ImageStream("s", controllertest.Tag("a", "q.io/x:1")))
		pass(time.Minute)
		begin := time.Now()
		h.stop()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
		h.SetUpstream(0, sound)
		h.run()
		pass(time.Second)
		if stream.LatestEvent(h.stream("s"), "a") == nil {
			t.Error("the import was not made up for after the restart")
		}
	})
}

func TestEventsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		dropped := counter(t)
		h.SetUpstream(0, func(string) (string, *metav1.Status) {
			return "", controllertest.Failure(metav1.StatusReasonNotFound, strings.Repeat("ü", 3000), 0)
		})
		for i := range 30 {
			h.Apply(controllertest.ImageStream(fmt.Sprintf("s%d", i), controllertest.Tag("a", "q.io/x:1")))
		}
		pass(time.Second)
		h.events.mu.Lock()
		defer h.events.mu.Unlock()
		if got := len(h.events.events); got < 10 || got > 12 {
			t.Errorf("%d events at once, want the burst of 10", got)
		}
		if counter(t)-dropped < 40 {
			t.Errorf("%v events counted as dropped, want most of 60", counter(t)-dropped)
		}
		for _, e := range h.events.events {
			if len(e) > 1024 {
				t.Errorf("an event of %d bytes", len(e))
			}
		}
	}, func(o *Options) { o.EventsPerSecond = 1 })
}

func refusedBy(secret string) controllertest.Upstream {
	return func(string) (string, *metav1.Status) {
		return "", controllertest.Failure(metav1.StatusReasonUnauthorized, "you may not have access"+secret, 0)
	}
}

// A person who mends a pull secret does not have to wait for the pauses of the tags that
// failed for it.
func TestChangedSecretRetriesRefusedTags(t *testing.T) {
	bubble(t, func(t *testing.T, h *harness) {
		h.WriteSecret("ns", "pull")
		h.SetUpstream(0, func(spec string) (string, *metav1.Status) {
			if spec == "q.io/missing:1" {
				return missing(spec)
			}
			return refusedBy("")(spec)
		})
		h.Apply(controllertest.ImageStream("s", controllertest.Tag("a", "q.io/private:1"), controllertest.Tag("b", "q.io/missing:1")))
		pass(10 * time.Second)
		if got := len(h.Posts()); got != 1 {
			t.Fatalf("%d imports before the secret changed, want one", got)
		}
		h.WriteSecret("other", "pull")
		pass(10 * time.Second)
		if got := len(h.Posts()); got != 1 {
			t.Fatalf("a secret of another namespace: %d imports", got)
		}
		for range 100 { // a client that writes it again and again
			h.WriteSecret("ns", "pull")
			pass(10 * time.Millisecond)
		}
		pass(4 * time.Second)
		posts := h.Posts()
		if len(posts) != 2 || !slices.Equal(posts[1].Tags, []string{"a"}) {
			t.Fatalf("imports %+v, want another one of the refused tag", posts)
		}
		if retry, _ := stream.RetryOf(h.stream("s"), "a"); retry.Attempt != 2 {
			t.Errorf("after it: %+v", retry)
		}
		h.SetUpstream(0, sound)
		h.WriteSecret("ns", "pull")
		pass(10 * time.Second)
		if slices.ContainsFunc(h.Posts()[2:], func(p controllertest.Post) bool { return slices.Contains(p.Tags, "a") }) {
			t.Errorf("imports within the interval of a namespace: %+v", h.Posts())
		}
		pass(secretInterval - 10*time.Second)
		if stream.LatestEvent(h.stream("s"), "a") == nil {
			t.Error("not imported after the secret was right")
		}
	})
}

func TestRefusals(t *testing.T) {
	for message, want := range map[string]bool{
		"denied: no": true, "received unexpected HTTP status: 403 Forbidden": true, "timed out": false,
		"not found; the registry refused the credentials of secret a/b: correct them": true,
	} {
		if got := isRefusal(metav1.StatusReasonInternalError, message); got != want {
			t.Errorf("%q: %t", message, got)
		}
	}
	if !isRefusal(metav1.StatusReasonUnauthorized, "") || isRefusal(metav1.StatusReasonNotFound, "denied") {
		t.Error("reasons are told apart wrongly")
	}
}

func TestSecretMetadataKeepsNoSecret(t *testing.T) {
	kept, err := SecretMetadata(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: "pull", ResourceVersion: "7", Annotations: map[string]string{"last-applied": "password"}, Labels: map[string]string{"l": "password"},
	}})
	if err != nil || strings.Contains(fmt.Sprint(kept), "password") || kept.(metav1.Object).GetResourceVersion() != "7" {
		t.Errorf("%v, %v", kept, err)
	}
}
