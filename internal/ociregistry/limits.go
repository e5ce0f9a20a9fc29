package ociregistry

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// retryAfter is the Retry-After of a rejected request.
const retryAfter = time.Second

// limiter bounds the concurrent requests of a kind.
type limiter struct {
	kind    string        // in metrics
	slots   chan struct{} // nil is without limit
	waiting atomic.Int64
	inQueue int64
	maxWait time.Duration
}

func newLimiter(kind string, l Limit) *limiter {
	lim := &limiter{kind: kind, inQueue: int64(max(l.MaxInQueue, 0)), maxWait: l.MaxWaitInQueue}
	if l.MaxRunning > 0 {
		lim.slots = make(chan struct{}, l.MaxRunning)
	}
	return lim
}

// enter waits for a slot; the caller must call leave to free it. The error is a rejection, or
// that of ctx.
func (l *limiter) enter(ctx context.Context) (leave func(), err error) {
	running := requestsInFlight.WithLabelValues(l.kind)
	if l.slots == nil {
		running.Inc()
		return running.Dec, nil
	}
	select {
	case l.slots <- struct{}{}:
	default:
		if err := l.queue(ctx); err != nil {
			return nil, err
		}
	}
	running.Inc()
	return func() { running.Dec(); <-l.slots }, nil
}

// queue waits until a slot is free.
func (l *limiter) queue(ctx context.Context) error {
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.inQueue {
		return l.refuse("too many requests are queued")
	}
	waiting := requestsWaiting.WithLabelValues(l.kind)
	waiting.Inc()
	defer waiting.Dec()
	var tired <-chan time.Time
	if l.maxWait > 0 {
		timer := time.NewTimer(l.maxWait)
		defer timer.Stop()
		tired = timer.C
	}
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-tired:
		return l.refuse("the registry is busy")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *limiter) refuse(why string) error {
	requestsRefused.WithLabelValues(l.kind).Inc()
	return &Error{
		Code: CodeTooManyRequests, Message: why, RetryAfter: retryAfter,
		Status: http.StatusTooManyRequests,
	}
}
