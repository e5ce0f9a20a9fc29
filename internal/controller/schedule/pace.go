package schedule

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

const (
	// leastPerMinute is the cap on checks per minute where few tags are scheduled.
	leastPerMinute = 60
	// headroom is how many times the demand the cap is: what was missed while the server was
	// stopped is made up for beside what comes due.
	headroom = 2
)

// demand is how often entries come due, in billionths of a check per minute. Whole numbers add up
// to zero again.
type demand int64

func demandOf(interval time.Duration) demand {
	return demand(1e9 * time.Minute.Seconds() / interval.Seconds())
}

// perMinute is how many checks there are per minute, rounded up.
func (d demand) perMinute() int { return int(math.Ceil(float64(d) / 1e9)) }

// capFor is how many checks may be made per minute: what is configured or, where that is 0, what
// the demand needs. 0 is without bound.
func (o Options) capFor(d demand) int {
	switch {
	case o.MaxPerMinute < 0:
		return 0
	case o.MaxPerMinute > 0:
		return o.MaxPerMinute
	}
	return max(leastPerMinute, headroom*d.perMinute())
}

// newLimiter is a limiter with a cap.
func newLimiter(perMinute int) *rate.Limiter {
	if perMinute == 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perMinute)/60, 2*perMinute)
}

// setCap makes the cap that of a limiter; twice as many checks may come at once.
func setCap(limit *rate.Limiter, perMinute int) {
	if perMinute == 0 {
		limit.SetLimit(rate.Inf)
		return
	}
	limit.SetBurst(2 * perMinute)
	limit.SetLimit(rate.Limit(perMinute) / 60)
}
