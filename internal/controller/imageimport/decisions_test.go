package imageimport

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/controller/controllertest"
	"weir.dev/weir/internal/stream"
)

func TestClassOf(t *testing.T) {
	for _, test := range []struct {
		reason  metav1.StatusReason
		message string
		want    retryClass
	}{
		{metav1.StatusReasonNotFound, "", retryLater},
		{metav1.StatusReasonUnauthorized, "", retryLater},
		{metav1.StatusReasonForbidden, "blocked", retryLater},
		{metav1.StatusReasonInvalid, "exceeds the maximum limit", retryLater},
		{metav1.StatusReasonInternalError, "q.io/x:1: received unexpected HTTP status: 503 Service Unavailable", retrySoon},
		{metav1.StatusReasonInternalError, "Internal error occurred: foo.bar: unable to parse docker reference", retryNever},
		{metav1.StatusReasonTooManyRequests, "", retrySoon},
		{"", "", retrySoon},
		{"SomethingNew", "", retrySoon},
	} {
		if got := classOf(test.reason, test.message); got != test.want {
			t.Errorf("classOf(%q, %q) = %d, want %d", test.reason, test.message, got, test.want)
		}
	}
}

func TestPause(t *testing.T) {
	o := DefaultOptions().Retry
	for _, test := range []struct {
		name     string
		attempts int
		class    retryClass
		asked    time.Duration
		random   float64
		want     time.Duration
	}{
		{"first, least", 1, retrySoon, 0, 0, 5 * time.Second},
		{"first, half", 1, retrySoon, 0, .5, 7500 * time.Millisecond},
		{"second doubles", 2, retrySoon, 0, 0, 10 * time.Second},
		{"fifth", 5, retrySoon, 0, 0, 80 * time.Second},
		{"slow first", 1, retryLater, 0, 0, 30 * time.Second},
		{"capped", 9, retrySoon, 0, 0, 15 * time.Minute},
		{"far beyond the cap", 1 << 40, retryLater, 0, 0, 15 * time.Minute},
		{"the registry asks for more", 1, retrySoon, time.Minute, 0, time.Minute},
		{"and gets some more", 1, retrySoon, time.Minute, .5, time.Minute + 3*time.Second},
		{"the registry asks for less", 3, retrySoon, time.Second, 0, 20 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := o.pause(test.attempts, test.class, test.asked, test.random); got != test.want {
				t.Errorf("pause = %v, want %v", got, test.want)
			}
		})
	}
}

// failed is a stream whose tags, at generation 3, were answered by a condition each.
func failed(conditions map[string]imagev1.TagEventCondition) *imagev1.ImageStream {
	s := controllertest.ImageStream("s")
	s.Generation = 3
	for tag, c := range conditions {
		spec := controllertest.Tag(tag, "q.io/x:"+tag)
		spec.Generation = new(int64(3))
		s.Spec.Tags = append(s.Spec.Tags, spec)
		c.Type = imagev1.ImportSuccess
		s.Status.Tags = append(s.Status.Tags, imagev1.NamedTagEventList{Tag: tag, Conditions: []imagev1.TagEventCondition{c}})
	}
	stream.Normalize(s)
	return s
}

func TestPlanRetries(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	failure := imagev1.TagEventCondition{Status: corev1.ConditionFalse, Reason: "NotFound", Generation: 3}
	one := func(change func(*imagev1.TagEventCondition)) *imagev1.ImageStream {
		c := failure
		change(&c)
		return failed(map[string]imagev1.TagEventCondition{"a": c})
	}
	asIs := func(*imagev1.TagEventCondition) {}
	retrying := func(next time.Time) *imagev1.ImageStream {
		s := one(asIs)
		stream.SetRetry(s, "a", stream.Retry{Attempt: 2, Next: next}, metav1.NewTime(now))
		return s
	}
	spec := func(change func(*imagev1.TagReference)) *imagev1.ImageStream {
		s := retrying(now)
		change(&s.Spec.Tags[0])
		return s
	}
	for _, test := range []struct {
		name   string
		stream *imagev1.ImageStream
		want   retryPlan
	}{
		{"new failure", one(asIs), retryPlan{Start: []string{"a"}}},
		{"refused as a whole", one(func(c *imagev1.TagEventCondition) { c.Generation = 4 }), retryPlan{Start: []string{"a"}}},
		{"success", one(func(c *imagev1.TagEventCondition) { c.Status = corev1.ConditionTrue }), retryPlan{}},
		{"spec has moved on", one(func(c *imagev1.TagEventCondition) { c.Generation = 2 }), retryPlan{}},
		{"never", one(func(c *imagev1.TagEventCondition) { c.Message = "x: unable to parse docker reference" }), retryPlan{}},
		{"waiting", retrying(now.Add(time.Minute)), retryPlan{Waiting: 1, Next: now.Add(time.Minute)}},
		{"due", retrying(now), retryPlan{Due: []string{"a"}}},
		{"overdue", retrying(now.Add(-time.Hour)), retryPlan{Due: []string{"a"}}},
		{"now a reference", spec(func(tag *imagev1.TagReference) { tag.Reference = true }), retryPlan{}},
		{"now of another kind", spec(func(tag *imagev1.TagReference) { tag.From.Kind = stream.KindImageStreamTag }), retryPlan{}},
		{"without a generation", spec(func(tag *imagev1.TagReference) { tag.Generation = nil }), retryPlan{}},
		{"unparsable", spec(func(tag *imagev1.TagReference) { tag.From.Name = "A B" }), retryPlan{}},
		{"removed from spec", func() *imagev1.ImageStream { s := retrying(now); s.Spec.Tags = nil; return s }(), retryPlan{}},
		{"nothing", controllertest.ImageStream("s"), retryPlan{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, planRetries(test.stream, now, nil)); diff != "" {
				t.Error(diff)
			}
		})
	}

	t.Run("several", func(t *testing.T) {
		s := failed(map[string]imagev1.TagEventCondition{"a": failure, "b": failure, "c": failure, "d": failure})
		stream.SetRetry(s, "a", stream.Retry{Attempt: 1, Next: now.Add(2 * time.Hour)}, metav1.NewTime(now))
		stream.SetRetry(s, "b", stream.Retry{Attempt: 1, Next: now.Add(time.Hour)}, metav1.NewTime(now))
		stream.SetRetry(s, "d", stream.Retry{Attempt: 1, Next: now}, metav1.NewTime(now))
		want := retryPlan{Start: []string{"c"}, Due: []string{"d"}, Waiting: 2, Next: now.Add(time.Hour)}
		if diff := cmp.Diff(want, planRetries(s, now, nil)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNotesApply(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	failure := imagev1.TagEventCondition{Status: corev1.ConditionFalse, Generation: 3}
	at := func(attempt int) *imagev1.ImageStream {
		s := failed(map[string]imagev1.TagEventCondition{"a": failure})
		if attempt > 0 {
			stream.SetRetry(s, "a", stream.Retry{Attempt: attempt, Next: now}, metav1.NewTime(now))
		}
		return s
	}
	for _, test := range []struct {
		name        string
		stream      *imagev1.ImageStream
		tag         string
		note        int
		want        []string
		wantAttempt int
	}{
		{"first", at(0), "a", 1, []string{"a"}, 1},
		{"first again", at(1), "a", 1, nil, 1},
		{"next", at(1), "a", 2, []string{"a"}, 2},
		{"a series that ended", at(0), "a", 2, nil, 0},
		{"another's turn", at(3), "a", 3, nil, 3},
		{"another tag", at(0), "b", 1, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := notes{test.tag: {Attempt: test.note, Next: now.Add(time.Minute)}}
			if got := n.apply(test.stream, now); !slices.Equal(got, test.want) {
				t.Errorf("noted %v, want %v", got, test.want)
			}
			if got, _ := stream.RetryOf(test.stream, "a"); got.Attempt != test.wantAttempt {
				t.Errorf("attempt is %d, want %d", got.Attempt, test.wantAttempt)
			}
		})
	}
}

func TestNewsOf(t *testing.T) {
	failure := imagev1.TagEventCondition{Status: corev1.ConditionFalse, Message: "no", Generation: 3}
	bad := failed(map[string]imagev1.TagEventCondition{"a": failure})
	waiting := failed(map[string]imagev1.TagEventCondition{"a": func() imagev1.TagEventCondition { c := failure; c.Generation = 2; return c }()})
	fresh := bad.DeepCopy()
	fresh.Status.Tags = nil
	good := bad.DeepCopy()
	good.Status.Tags = []imagev1.NamedTagEventList{{Tag: "a", Items: []imagev1.TagEvent{{Image: "sha256:1", Generation: 3}}}}
	gone := bad.DeepCopy()
	gone.Spec.Tags, gone.Status.Tags = nil, nil
	otherText := bad.DeepCopy()
	otherText.Status.Tags[0].Conditions[0].Message = "still no"

	failedNews := []news{{Tag: "a", Source: "q.io/x:a", Failure: "no"}}
	for _, test := range []struct {
		name          string
		before, after *imagev1.ImageStream
		want          []news
	}{
		{"failed", fresh, bad, failedNews},
		{"failed at once", nil, bad, failedNews},
		{"failed again after a new request", waiting, bad, failedNews},
		{"failed otherwise", bad, otherText, nil},
		{"still failed", bad, bad, nil},
		{"asked for anew", bad, waiting, nil},
		{"imported after a failure", bad, good, []news{{Tag: "a", Source: "q.io/x:a"}}},
		{"imported after a new request", waiting, good, []news{{Tag: "a", Source: "q.io/x:a"}}},
		{"imported", fresh, good, nil},
		{"removed", bad, gone, nil},
		{"new and good", nil, good, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, newsOf(test.before, test.after)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
