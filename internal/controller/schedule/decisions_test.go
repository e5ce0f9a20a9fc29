package schedule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

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

func TestSlots(t *testing.T) {
	imported := scheduled("d", "q.io/x@sha256:"+strings.Repeat("a", 64), "")
	imported.Generation = new(int64(2))
	s := controllertest.ImageStream("s",
		scheduled("a", "q.io/x:1", ""), scheduled("b", "q.io/x:2", "5m"), scheduled("c", "q.io/x:3", ""), imported,
		controllertest.Tag("not-scheduled", "q.io/x:4"), scheduled("bad", "A B", ""))
	quarter, five := slot{interval: 15 * time.Minute, groups: 1}, slot{interval: 5 * time.Minute, groups: 1}
	want := map[slot][]string{quarter: {"a", "c", "d"}, five: {"b"}}
	if diff := cmp.Diff(want, DefaultOptions().slots(s), cmp.AllowUnexported(slot{})); diff != "" {
		t.Error(diff)
	}
	s.Status.Tags = []imagev1.NamedTagEventList{{Tag: "d", Items: []imagev1.TagEvent{{Image: "sha256:a", Generation: 2}}}}
	want[quarter] = []string{"a", "c"}
	if diff := cmp.Diff(want, DefaultOptions().slots(s), cmp.AllowUnexported(slot{})); diff != "" {
		t.Error("after the digest was imported:", diff)
	}
}

func TestSlotsOfManyTags(t *testing.T) {
	s := controllertest.ImageStream("s")
	for i := range 400 {
		stream.SetSpecTag(s, scheduled(fmt.Sprintf("t%03d", i), "q.io/x:1", ""))
	}
	slots := DefaultOptions().slots(s)
	if len(slots) != 8 {
		t.Fatalf("%d groups for 400 tags, want 8", len(slots))
	}
	due := map[time.Time]bool{}
	tags := 0
	for at, names := range slots {
		if len(names) < 25 || len(names) > 100 {
			t.Errorf("group %d has %d tags, want about 50", at.group, len(names))
		}
		tags += len(names)
		due[at.next(keyOf(s), noon)] = true
	}
	if tags != 400 || len(due) != 8 {
		t.Errorf("%d tags at %d times, want 400 at 8", tags, len(due))
	}
	times := slices.SortedFunc(maps.Keys(due), time.Time.Compare)
	for i := range 7 {
		if gap := times[i+1].Sub(times[i]); gap < 112*time.Second || gap > 113*time.Second {
			t.Errorf("groups are %v apart, want an eighth of the interval", gap)
		}
	}
}

func TestGroupsFor(t *testing.T) {
	for tags, want := range map[int]uint32{0: 1, 1: 1, 50: 1, 51: 2, 100: 2, 101: 4, 400: 8, 401: 16} {
		if got := groupsFor(tags); got != want {
			t.Errorf("groupsFor(%d) = %d, want %d", tags, got, want)
		}
	}
}

func TestNext(t *testing.T) {
	at := slot{interval: 15 * time.Minute, groups: 1}
	perMinute := map[time.Duration]int{}
	for i := range 3000 {
		key := types.NamespacedName{Namespace: "ns", Name: fmt.Sprintf("s%d", i)}
		due := at.next(key, noon)
		if !due.After(noon) || due.After(noon.Add(at.interval)) {
			t.Fatalf("%s is due at %v, want within an interval", key, due)
		}
		if again := at.next(key, noon.Add(due.Sub(noon)/2)); !again.Equal(due) {
			t.Fatalf("%s is due at %v, and seen later at %v: a restart moves it", key, due, again)
		}
		if next := at.next(key, due); next.Sub(due) != at.interval {
			t.Fatalf("%s comes back after %v, want %v", key, next.Sub(due), at.interval)
		}
		perMinute[due.Sub(noon).Truncate(time.Minute)]++
	}
	for minute, n := range perMinute {
		if n < 120 || n > 280 {
			t.Errorf("%d of 3000 are due in minute %v, want about 200", n, minute)
		}
	}
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

func at(when time.Time) func(slot) time.Time { return func(slot) time.Time { return when } }

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
			a.set(types.NamespacedName{Name: fmt.Sprint(i)}, map[slot][]string{{interval: test.interval, groups: 1}: {"a"}}, at(noon))
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
	quarter, five := slot{interval: 15 * time.Minute, groups: 1}, slot{interval: 5 * time.Minute, groups: 1}
	for i := range 100 {
		a.set(key(i), map[slot][]string{quarter: {"a"}, five: {"b"}}, at(noon))
	}
	if a.size != 200 {
		t.Fatalf("size %d, want 200", a.size)
	}
	for i := range 50 {
		a.set(key(i), map[slot][]string{five: {"b"}}, at(noon.Add(time.Hour)))
		a.set(key(i+50), nil, at(noon))
	}
	if a.size != 50 || len(a.byStream) != 50 {
		t.Fatalf("size %d of %d streams, want 50 of 50", a.size, len(a.byStream))
	}
	if e := a.take(noon); e != nil {
		t.Fatalf("taken before its time: %+v", e)
	}
	end := noon.Add(five.interval)
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
	a.set(taken[1].key, map[slot][]string{five: {"b", "c"}}, at(end))
	for _, e := range taken {
		a.putBack(e, end, end)
	}
	if len(a.byDue) != 49 || a.size != 49 {
		t.Errorf("%d entries back, size %d, want 49", len(a.byDue), a.size)
	}
}

func TestOptionsValidate(t *testing.T) {
	if errs := DefaultOptions().Validate(field.NewPath("schedule")); len(errs) > 0 {
		t.Errorf("the defaults are refused: %v", errs)
	}
	var paths []string
	for _, err := range (Options{Interval: -1}).Validate(field.NewPath("schedule")) {
		paths = append(paths, err.Field)
	}
	if got := strings.Join(paths, " "); got != "schedule.minimumInterval schedule.interval schedule.workers schedule.timeout" {
		t.Errorf("errors at %s", got)
	}
	if errs := (Options{Disabled: true}).Validate(nil); len(errs) > 0 {
		t.Errorf("a disabled controller needs no settings: %v", errs)
	}
}
