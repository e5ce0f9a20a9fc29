package stream

import (
	"hash/fnv"
	"math/bits"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"
)

// tagsPerSlot is about how many tags one import checks.
const tagsPerSlot = 50

// Slot is a place in the schedule that tags of one stream share.
type Slot struct {
	Interval time.Duration
	Group    uint32 // of groups, from 0
	Groups   uint32 // a power of two
}

// Slots are the scheduled tags of a stream, sorted, by the slot they are checked in.
func (i Intervals) Slots(s *imagev1.ImageStream) map[Slot][]string {
	tags := map[time.Duration][]string{}
	for _, name := range ScheduledTags(s) {
		interval := i.Of(SpecTag(s, name))
		tags[interval] = append(tags[interval], name)
	}
	slots := make(map[Slot][]string, len(tags))
	for interval, names := range tags {
		groups := groupsFor(len(names))
		for _, name := range names {
			at := Slot{Interval: interval, Group: uint32(spread(name)) & (groups - 1), Groups: groups}
			slots[at] = append(slots[at], name)
		}
	}
	return slots
}

// groupsFor is a power of two, so that most tags stay where they are when it grows.
func groupsFor(tags int) uint32 {
	full := (tags + tagsPerSlot - 1) / tagsPerSlot
	if full <= 1 {
		return 1
	}
	return 1 << bits.Len(uint(full-1))
}

// Next is the first time after a given one at which the slot of a stream is due. These
// times are an interval apart, at an offset that depends on the stream's name only, with
// the groups of a stream evenly in between.
func (at Slot) Next(stream types.NamespacedName, after time.Time) time.Time {
	offset := time.Duration(spread(stream.String())%uint64(at.Interval)) + at.Interval/time.Duration(at.Groups)*time.Duration(at.Group)
	offset %= at.Interval
	due := after.Round(0).Truncate(at.Interval).Add(offset)
	if !due.After(after) {
		due = due.Add(at.Interval)
	}
	return due
}

// spread is a hash that is the same in every process.
func spread(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // never fails
	x := h.Sum64()
	x ^= x >> 33 // FNV leaves its last bytes in the low bits alone
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}
