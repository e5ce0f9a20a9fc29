package schedule

import (
	"fmt"
	"slices"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/controller/controllertest"
	"weir.dev/weir/internal/stream"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// scheduled makes a scheduled spec tag; interval may be empty.
func scheduled(name, from, interval string) imagev1.TagReference {
	tag := controllertest.Tag(name, from)
	tag.ImportPolicy.Scheduled = true
	if interval != "" {
		tag.Annotations = map[string]string{stream.AnnotationImportInterval: interval}
	}
	return tag
}

func TestDueTags(t *testing.T) {
	interval := 15 * time.Minute
	for name, test := range map[string]struct {
		retry time.Duration // from now, when a retry is due
		want  []string
	}{
		"a retry comes soon":              {10 * time.Minute, nil},
		"a retry comes at the end":        {interval, nil},
		"a retry is due":                  {-10 * time.Second, nil},
		"a retry comes too late":          {20 * time.Minute, []string{"a"}},
		"nobody does the retry, it seems": {-2 * time.Minute, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			tag := scheduled("a", "q.io/x:1", "")
			tag.Generation = new(int64(1))
			s := controllertest.ImageStream("s", tag)
			s.Status.Tags = []imagev1.NamedTagEventList{{Tag: "a", Conditions: []imagev1.TagEventCondition{
				{Type: imagev1.ImportSuccess, Status: corev1.ConditionFalse, Generation: 1},
			}}}
			if got := dueTags(s, []string{"a"}, noon, interval); !slices.Equal(got, []string{"a"}) {
				t.Fatalf("without a retry: %v", got)
			}
			stream.SetRetry(s, "a", stream.Retry{Attempt: 1, Next: noon.Add(test.retry)}, metav1.NewTime(noon))
			if got := dueTags(s, []string{"a"}, noon, interval); !slices.Equal(got, test.want) {
				t.Errorf("due tags: %v, want %v", got, test.want)
			}
		})
	}
}

func at(when time.Time) func(stream.Slot) time.Time {
	return func(stream.Slot) time.Time { return when }
}

func TestCapFollowsDemand(t *testing.T) {
	for name, test := range map[string]struct {
		max, streams int
		interval     time.Duration
		want         int
	}{
		"nothing scheduled":       {0, 0, 15 * time.Minute, 60},
		"what 60 suffice for":     {0, 400, 15 * time.Minute, 60},
		"the reference's bound":   {0, 900, 15 * time.Minute, 120},
		"many":                    {0, 5000, 15 * time.Minute, 668},
		"seldom":                  {0, 5000, 24 * time.Hour, 60},
		"often":                   {0, 5000, time.Minute, 10000},
		"configured":              {10, 5000, time.Minute, 10},
		"configured to be no cap": {-1, 5000, time.Minute, 0},
	} {
		a := newAgenda()
		for i := range test.streams {
			a.set(types.NamespacedName{Name: fmt.Sprint(i)}, map[stream.Slot][]string{{Interval: test.interval, Groups: 1}: {"a"}}, at(noon))
		}
		if got := (Options{MaxPerMinute: test.max}).capFor(a.demand); got != test.want {
			t.Errorf("%s: %d per minute, want %d", name, got, test.want)
		}
		for i := range test.streams {
			a.set(types.NamespacedName{Name: fmt.Sprint(i)}, nil, at(noon))
		}
		if a.demand != 0 {
			t.Errorf("%s: a demand of %d is left", name, a.demand)
		}
	}
}

func TestAgenda(t *testing.T) {
	a := newAgenda()
	key := func(i int) types.NamespacedName {
		return types.NamespacedName{Namespace: "ns", Name: fmt.Sprintf("s%d", i)}
	}
	quarter, five := stream.Slot{Interval: 15 * time.Minute, Groups: 1}, stream.Slot{Interval: 5 * time.Minute, Groups: 1}
	for i := range 100 {
		a.set(key(i), map[stream.Slot][]string{quarter: {"a"}, five: {"b"}}, at(noon))
	}
	if a.size != 200 {
		t.Fatalf("size %d, want 200", a.size)
	}
	for i := range 50 {
		a.set(key(i), map[stream.Slot][]string{five: {"b"}}, at(noon.Add(time.Hour)))
		a.set(key(i+50), nil, at(noon))
	}
	if a.size != 50 || len(a.byStream) != 50 {
		t.Fatalf("size %d of %d streams, want 50 of 50", a.size, len(a.byStream))
	}
	if e := a.take(noon); e != nil {
		t.Fatalf("taken before its time: %+v", e)
	}
	end := noon.Add(five.Interval)
	var last time.Time
	var taken []*entry
	for e := a.take(end); e != nil; e = a.take(end) {
		if e.due.Before(last) || e.slot != five {
			t.Fatalf("taken out of order or of another slot: %+v", e)
		}
		last = e.due
		taken = append(taken, e)
	}
	if len(taken) != 50 || a.size != 50 {
		t.Fatalf("%d taken, size %d, want 50 and 50", len(taken), a.size)
	}
	a.set(taken[0].key, nil, at(end)) // goes away while it is being checked
	a.set(taken[1].key, map[stream.Slot][]string{five: {"b", "c"}}, at(end))
	for _, e := range taken {
		a.putBack(e, end, end)
	}
	if len(a.byDue) != 49 || a.size != 49 {
		t.Errorf("%d entries back, size %d, want 49", len(a.byDue), a.size)
	}
}
