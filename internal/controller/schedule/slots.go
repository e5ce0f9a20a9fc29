package schedule

import (
	"hash/fnv"
	"math/bits"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/stream"
)

// tagsPerGroup is about how many tags one import checks.
const tagsPerGroup = 50

// retryGrace is how late a retry may be before its tag is checked on schedule all the same.
const retryGrace = time.Minute

// slot is a place in the schedule that tags of one stream share.
type slot struct {
	interval time.Duration
	group    uint32 // of groups, from 0
	groups   uint32 // a power of two
}

// slots are the scheduled tags of a stream, sorted, by the slot they are checked in.
func (o Options) slots(s *imagev1.ImageStream) map[slot][]string {
	tags := map[time.Duration][]string{}
	for _, name := range stream.ScheduledTags(s) {
		interval := o.Intervals().Of(stream.SpecTag(s, name))
		tags[interval] = append(tags[interval], name)
	}
	slots := make(map[slot][]string, len(tags))
	for interval, names := range tags {
		groups := groupsFor(len(names))
		for _, name := range names {
			at := slot{interval: interval, group: uint32(hash(name)) & (groups - 1), groups: groups}
			slots[at] = append(slots[at], name)
		}
	}
	return slots
}

// groupsFor is a power of two, so that most tags stay where they are when it grows.
func groupsFor(tags int) uint32 {
	full := (tags + tagsPerGroup - 1) / tagsPerGroup
	if full <= 1 {
		return 1
	}
	return 1 << bits.Len(uint(full-1))
}

// next is the first time after a given one at which the slot of a stream is due. These
// times are an interval apart, at an offset that depends on the stream's name only, with
// the groups of a stream evenly in between.
func (at slot) next(key types.NamespacedName, after time.Time) time.Time {
	offset := time.Duration(hash(key.String())%uint64(at.interval)) + at.interval/time.Duration(at.groups)*time.Duration(at.group)
	offset %= at.interval
	due := after.Round(0).Truncate(at.interval).Add(offset)
	if !due.After(after) {
		due = due.Add(at.interval)
	}
	return due
}

// dueTags are those of tags that a check at now should ask for. A failed tag that is
// going to be retried within the interval is left to that; see package imageimport.
func dueTags(s *imagev1.ImageStream, tags []string, now time.Time, interval time.Duration) []string {
	var due []string
	for _, tag := range tags {
		retry, ok := stream.RetryOf(s, tag)
		if ok && retry.Next.After(now.Add(-retryGrace)) && !retry.Next.After(now.Add(interval)) {
			continue
		}
		due = append(due, tag)
	}
	return due
}

// hash is the same in every process.
func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // never fails
	x := h.Sum64()
	x ^= x >> 33 // FNV leaves its last bytes in the low bits alone
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}
