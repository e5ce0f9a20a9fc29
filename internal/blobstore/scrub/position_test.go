package scrub

import (
	"testing"
	"time"

	"weir.dev/weir/internal/blobstore"
)

func TestPlan(t *testing.T) {
	const pause = 24 * time.Hour
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	begin := blobstore.ScrubPosition{RoundStarted: now}
	at := func(started, finished time.Duration) blobstore.ScrubPosition {
		return blobstore.ScrubPosition{RoundStarted: now.Add(started), Finished: now.Add(finished), After: "x"}
	}
	going := func(started time.Duration) blobstore.ScrubPosition {
		return blobstore.ScrubPosition{RoundStarted: now.Add(started), After: "x"}
	}
	for name, test := range map[string]struct {
		stored, want blobstore.ScrubPosition
		wait         time.Duration
	}{
		"the first":                  {blobstore.ScrubPosition{}, begin, 0},
		"in the middle":              {going(-time.Hour), going(-time.Hour), 0},
		"in the middle for long":     {going(-100 * time.Hour), going(-100 * time.Hour), 0},
		"of a clock that is early":   {going(time.Second), going(time.Second), 0},
		"of the future":              {going(25 * time.Hour), begin, 0},
		"finished":                   {at(-2*time.Hour, -time.Hour), at(-2*time.Hour, -time.Hour), 22 * time.Hour},
		"finished by an early clock": {at(time.Hour, 2*time.Hour), at(time.Hour, 2*time.Hour), 25 * time.Hour},
		"finished in the future":     {at(25*time.Hour, 26*time.Hour), begin, 0},
		"due":                        {at(-24*time.Hour, -time.Hour), begin, 0},
		"a round of days":            {at(-100*time.Hour, -time.Minute), begin, 0},
	} {
		if got, wait := plan(test.stored, now, pause); got != test.want || wait != test.wait {
			t.Errorf("%s: %+v in %s, want %+v in %s", name, got, wait, test.want, test.wait)
		}
	}
}

func TestAhead(t *testing.T) {
	first := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	second := first.Add(time.Hour)
	order := []blobstore.ScrubPosition{ // each is ahead of those before it
		{},
		{RoundStarted: first},
		{RoundStarted: first, After: "a"},
		{RoundStarted: first, After: "b"},
		{RoundStarted: first, After: "b", Finished: first},
		{RoundStarted: second},
	}
	for i, a := range order {
		for j, b := range order {
			if got := ahead(a, b); got != (i > j) {
				t.Errorf("%+v is ahead of %+v: %t", a, b, got)
			}
		}
	}
}
