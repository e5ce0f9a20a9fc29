package stream

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestSlots(t *testing.T) {
	s := streamOf(
		docker("a", "q.io/x:1", scheduled), intervalTag("b", "5m", true), docker("c", "q.io/x:3", scheduled),
		docker("d", "q.io/x@"+id('a'), scheduled, generation(2)), docker("not-scheduled", "q.io/x:4"), docker("bad", "A B", scheduled))
	quarter, five := Slot{Interval: 15 * time.Minute, Groups: 1}, Slot{Interval: 5 * time.Minute, Groups: 1}
	want := map[Slot][]string{quarter: {"a", "c", "d"}, five: {"b"}}
	if diff := cmp.Diff(want, intervals.Slots(s)); diff != "" {
		t.Error(diff)
	}
	s.Status.Tags = []imagev1.NamedTagEventList{{Tag: "d", Items: []imagev1.TagEvent{{Image: "sha256:a", Generation: 2}}}}
	want[quarter] = []string{"a", "c"}
	if diff := cmp.Diff(want, intervals.Slots(s)); diff != "" {
		t.Error("after the digest was imported:", diff)
	}
}

func TestSlotsOfManyTags(t *testing.T) {
	s := streamOf()
	for i := range 400 {
		SetSpecTag(s, docker(fmt.Sprintf("t%03d", i), "q.io/x:1", scheduled))
	}
	slots := intervals.Slots(s)
	if len(slots) != 8 {
		t.Fatalf("%d groups for 400 tags, want 8", len(slots))
	}
	due := map[time.Time]bool{}
	tags := 0
	for at, names := range slots {
		if len(names) < 25 || len(names) > 100 {
			t.Errorf("group %d has %d tags, want about 50", at.Group, len(names))
		}
		tags += len(names)
		due[at.Next(types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, noon)] = true
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
	at := Slot{Interval: 15 * time.Minute, Groups: 1}
	perMinute := map[time.Duration]int{}
	for i := range 3000 {
		key := types.NamespacedName{Namespace: "ns", Name: fmt.Sprintf("s%d", i)}
		due := at.Next(key, noon)
		if !due.After(noon) || due.After(noon.Add(at.Interval)) {
			t.Fatalf("%s is due at %v, want within an interval", key, due)
		}
		if again := at.Next(key, noon.Add(due.Sub(noon)/2)); !again.Equal(due) {
			t.Fatalf("%s is due at %v, and seen later at %v: a restart moves it", key, due, again)
		}
		if next := at.Next(key, due); next.Sub(due) != at.Interval {
			t.Fatalf("%s comes back after %v, want %v", key, next.Sub(due), at.Interval)
		}
		perMinute[due.Sub(noon).Truncate(time.Minute)]++
	}
	for minute, n := range perMinute {
		if n < 120 || n > 280 {
			t.Errorf("%d of 3000 are due in minute %v, want about 200", n, minute)
		}
	}
}
