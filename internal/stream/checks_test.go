package stream

import (
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// checkCase is a stream with the scheduled tag a, and when it is checked. Times that are zero are
// absent.
type checkCase struct {
	until, now, changed, created time.Time
	head, failed, retry          time.Time
	last, next                   time.Time
}

func (c *checkCase) stream(t *testing.T) *imagev1.ImageStream {
	t.Helper()
	status := history("a", event("q.io/x@"+id('a'), id('a'), 1, metav1.NewTime(c.head)))
	if !c.failed.IsZero() {
		status.Conditions = []imagev1.TagEventCondition{failed("Unauthorized", "no", 2, metav1.NewTime(c.failed))}
	}
	s := withStatus(streamOf(docker("a", "q.io/x:1", scheduled, generation(2))), status)
	s.CreationTimestamp = metav1.NewTime(c.created)
	if !c.retry.IsZero() && !SetRetry(s, "a", Retry{Attempt: 2, Next: c.retry}, metav1.NewTime(c.failed)) {
		t.Fatal("no retry")
	}
	return s
}

func utc(checks map[string]Check) map[string]Check {
	for tag, c := range checks {
		c.Last, c.Next = c.Last.UTC(), c.Next.UTC()
		checks[tag] = c
	}
	return checks
}

func TestChecks(t *testing.T) {
	slot := Slot{Interval: 15 * time.Minute, Groups: 1}
	turn := slot.Next(types.NamespacedName{Namespace: "p", Name: "s"}, at(60).Time)
	before, next := turn.Add(-15*time.Minute), turn.Add(15*time.Minute)
	long := turn.Add(-100 * time.Hour)
	base := func() checkCase {
		return checkCase{until: turn.Add(2 * time.Minute), now: turn.Add(2 * time.Minute), changed: long, head: long, last: turn, next: next}
	}
	for name, change := range map[string]func(*checkCase){
		"on time":                          func(*checkCase) {},
		"the turn is not over":             func(c *checkCase) { c.until = turn.Add(-time.Second); c.last, c.next = before, turn },
		"far behind":                       func(c *checkCase) { c.now = turn.Add(10 * time.Hour) },
		"progress from a clock set back":   func(c *checkCase) { c.until = c.now.Add(time.Hour) },
		"progress unknown":                 func(c *checkCase) { c.until, c.last = time.Time{}, long },
		"the tag changed and was imported": func(c *checkCase) { c.changed = turn.Add(time.Minute); c.head = c.changed; c.last = c.changed },
		"the tag changed and was not":      func(c *checkCase) { c.changed = turn.Add(time.Minute); c.last = time.Time{} },
		"the stream is new":                func(c *checkCase) { c.created, c.last = turn.Add(time.Minute), time.Time{} },
		"a retry before the next turn": func(c *checkCase) {
			c.failed, c.retry = before, turn.Add(5*time.Minute).Truncate(time.Second)
			c.last, c.next = before, c.retry
		},
		"a retry after the next turn":         func(c *checkCase) { c.failed, c.retry = before, next.Add(time.Minute); c.last = before },
		"a retry that no controller attended": func(c *checkCase) { c.failed, c.retry = long, before; c.last = long },
	} {
		t.Run(name, func(t *testing.T) {
			c := base()
			change(&c)
			got := intervals.Checks(c.stream(t), c.until, c.now, map[string]time.Time{"a": c.changed})
			equal(t, "checks", map[string]Check{"a": {Interval: slot.Interval, Last: c.last.UTC(), Next: c.next.UTC()}}, utc(got))
		})
	}
}
