package stream

import (
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
)

func failingStream(specGeneration, failureGeneration int64) *imagev1.ImageStream {
	tag := history("a")
	tag.Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", failureGeneration, at(1))}
	return withStatus(streamOf(docker("a", "q.io/x:1", generation(specGeneration))), tag)
}

func TestSetRetry(t *testing.T) {
	s := failingStream(3, 3)
	first, second := Retry{Attempt: 1, Next: at(6).Time}, Retry{Attempt: 2, Next: at(8).Time}

	if !SetRetry(s, "a", first, at(5)) {
		t.Fatal("the first attempt is no change")
	}
	want := imagev1.TagEventCondition{
		Type: "weir.dev/ImportRetry", Status: corev1.ConditionTrue, LastTransitionTime: at(5), Reason: "BackOff",
		Message: "attempt 1 to import failed; the next is due at 2026-11-21T00:06:00Z", Generation: 3,
	}
	equal(t, "conditions", []imagev1.TagEventCondition{failed("NotFound", "gone", 3, at(1)), want}, StatusTag(s, "a").Conditions)
	if SetRetry(s, "a", first, at(7)) {
		t.Error("the same attempt is a change")
	}

	if !SetRetry(s, "a", second, at(7)) {
		t.Fatal("the second attempt is no change")
	}
	want.Message = "attempt 2 to import failed; the next is due at 2026-11-21T00:08:00Z"
	equal(t, "the series goes on since its first attempt", want, StatusTag(s, "a").Conditions[1])
	if got, ok := RetryOf(s, "a"); !ok || got != second {
		t.Errorf("read back: %v, %t", got, ok)
	}

	SpecTag(s, "a").Generation = generationOf(4)
	if got, ok := RetryOf(s, "a"); ok {
		t.Errorf("the spec moved on, still read: %v", got)
	}
	if SetRetry(s, "a", second, at(7)) {
		t.Error("generation 4 has not failed yet")
	}
	StatusTag(s, "a").Conditions[0].Generation = 4
	if !SetRetry(s, "a", first, at(9)) || StatusTag(s, "a").Conditions[1].LastTransitionTime != at(9) {
		t.Errorf("a new series begins anew: %v", StatusTag(s, "a").Conditions)
	}

	if !clearRetry(s, "a") || clearRetry(s, "a") {
		t.Error("the retry is cleared once")
	}
	equal(t, "conditions", []imagev1.TagEventCondition{failed("NotFound", "gone", 4, at(1))}, StatusTag(s, "a").Conditions)
}

func TestSetRetryNeedsAFailure(t *testing.T) {
	retry := Retry{Attempt: 1, Next: at(6).Time}
	succeeded := withStatus(streamOf(docker("a", "q.io/x:1", generation(3))), history("a", event("r", "i", 3, at(1))))
	unspecified := failingStream(3, 3)
	RemoveSpecTag(unspecified, "a")
	for name, s := range map[string]*imagev1.ImageStream{
		"succeeded": succeeded, "no spec tag": unspecified, "failed before": failingStream(4, 3), "empty": streamOf(),
		"no status": streamOf(docker("a", "q.io/x:1", generation(3))), "no generation": streamOf(docker("a", "q.io/x:1")),
	} {
		before := s.DeepCopy()
		if SetRetry(s, "a", retry, at(5)) {
			t.Errorf("%s: noted", name)
		}
		equal(t, name, before, s)
		if got, ok := RetryOf(s, "a"); ok || clearRetry(s, "a") {
			t.Errorf("%s: read back %v", name, got)
		}
	}
	// An import refused as a whole fails one generation ahead, see RecordRefusal.
	if !SetRetry(failingStream(3, 4), "a", retry, at(5)) {
		t.Error("a refused import is not retried")
	}
}

func TestClearRetryLeavesNoEmptyList(t *testing.T) {
	s := failingStream(3, 3)
	SetRetry(s, "a", Retry{Attempt: 1, Next: at(6).Time}, at(5))
	StatusTag(s, "a").Conditions = StatusTag(s, "a").Conditions[1:]
	if !clearRetry(s, "a") || StatusTag(s, "a").Conditions != nil {
		t.Errorf("left: %v", StatusTag(s, "a").Conditions)
	}
}

func TestParseRetryRefuses(t *testing.T) {
	for _, message := range []string{
		"", "attempt ", "attempt 1", "attempt 1 to import failed; the next is due at ", "attempt 0 to import failed; the next is due at 2026-11-21T00:06:00Z",
		"attempt -1 to import failed; the next is due at 2026-11-21T00:06:00Z", "attempt x to import failed; the next is due at 2026-11-21T00:06:00Z",
		"attempt 99999999999999999999 to import failed; the next is due at 2026-11-21T00:06:00Z", "attempt 1 to import failed; the next is due at noon",
		"attempt +1 to import failed; the next is due at 2026-11-21T00:06:00Z", "attempt 1 to import failed; the next is due at 2026-11-21T01:06:00+01:00",
		"try 1 to import failed; the next is due at 2026-11-21T00:06:00Z",
	} {
		if got, ok := parseRetry(message); ok {
			t.Errorf("%q is %v", message, got)
		}
	}
}

func FuzzParseRetry(f *testing.F) {
	f.Add(Retry{Attempt: 1, Next: time.Unix(1800000000, 0)}.message())
	f.Add("attempt 2 to import failed; the next is due at 2026-11-21T00:06:00.5+01:00")
	f.Add("attempt +7 to import failed; the next is due at 9999-12-31T23:59:59-23:59")
	f.Add("")
	f.Fuzz(func(t *testing.T, message string) {
		if retry, ok := parseRetry(message); ok && retry.message() != message {
			t.Fatalf("%q is %v, which is written %q", message, retry, retry.message())
		}
	})
}

func FuzzRetryMessage(f *testing.F) {
	f.Add(1, int64(1800000000))
	f.Add(1<<40, int64(0))
	f.Fuzz(func(t *testing.T, attempt int, next int64) {
		// Times that RFC 3339 can write: years 0 to 9999.
		if attempt < 1 || next < -62167219200 || next > 253402300799 {
			return
		}
		retry := Retry{Attempt: attempt, Next: time.Unix(next, 0).UTC()}
		if again, ok := parseRetry(retry.message()); !ok || again != retry {
			t.Fatalf("%v is written %q and read %v, %t", retry, retry.message(), again, ok)
		}
	})
}
