package schedule

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

const (
	// leastPerMinute is the minimum of the computed cap on checks per minute.
	leastPerMinute = 60
	// headroom is the ratio of the cap to the demand, so that checks missed during downtime are
	// caught up beside those that come due.
	headroom = 2
)

// demand is how often entries come due, in billionths of a check per minute. Whole numbers add up
// to zero again.
type demand int64

func demandOf(interval time.Duration) demand {
	return demand(1e9 * time.Minute.Seconds() / interval.Seconds())
}

// perMinute returns the checks per minute, rounded up.
func (d demand) perMinute() int { return int(math.Ceil(float64(d) / 1e9)) }

// capFor returns the maximum of checks per minute: the configured one or, if that is 0, one
// computed from the demand. 0 is without bound.
func (o Options) capFor(d demand) int {
	switch {
	case o.MaxPerMinute < 0:
		return 0
	case o.MaxPerMinute > 0:
		return o.MaxPerMinute
	}
	return max(leastPerMinute, headroom*d.perMinute())
}

// newLimiter returns a limiter with a cap.
func newLimiter(perMinute int) *rate.Limiter {
	if perMinute == 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perMinute)/60, 2*perMinute)
}

// setCap sets the cap of a limiter, with bursts of twice as many checks.
func setCap(limit *rate.Limiter, perMinute int) {
	if perMinute == 0 {
		limit.SetLimit(rate.Inf)
		return
	}
	limit.SetBurst(2 * perMinute)
	limit.SetLimit(rate.Limit(perMinute) / 60)
}
