package upstream

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"weir.dev/weir/internal/pullsecrets"
)

// maxPaces bounds the credentials of one host that are remembered although nothing is
// asked with them.
const maxPaces = 256

// pace bounds the requests to one host with one credential, or with none:
// registries limit each login, and the address of anonymous clients. It is without bound
// until the host answers 429. Then nothing is sent for a pause, one request finds out
// whether that is over, and everything goes through a rate from then on. The rate is halved
// by a 429 and grows back slowly (additive increase, multiplicative decrease).
//
// The lock of its host guards it.
type pace struct {
	opts    budgetOptions
	key     string // Credential.identity
	users   int    // turns that are waited for or taken
	limiter *rate.Limiter

	// pause is until when nothing is sent; zero when there is no pause. It is over when a
	// probe has been answered, not when its time is.
	pause time.Time
	// probe is closed when the one request after a pause has been answered; nil when
	// there is none.
	probe    chan struct{}
	slowed   time.Time // last decrease
	grown    time.Time // last increase
	window   time.Time // start of the second being counted
	counted  int       // requests in it
	previous int       // requests in the second before
}

func newPace(key string, opts budgetOptions) *pace {
	return &pace{key: key, opts: opts, limiter: rate.NewLimiter(rate.Inf, 1)}
}

// paceOf enters the pace of a credential, which leavePace ends.
func (h *hostBudget) paceOf(cred pullsecrets.Credential) *pace {
	key := cred.Identity()
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.paces[key]
	if p == nil {
		h.forgetPaces(maxPaces - 1)
		p = newPace(key, h.opts)
		h.paces[key] = p
	}
	p.users++
	return p
}

// leavePace forgets a pace without users that has nothing to remember. h.mu is held.
func (h *hostBudget) leavePace(p *pace) {
	p.users--
	if p.users == 0 && p.pause.IsZero() && p.limiter.Limit() == rate.Inf {
		delete(h.paces, p.key)
	}
}

// forgetPaces leaves room: of those without users, the ones that were refused the longest
// ago go. h.mu is held.
func (h *hostBudget) forgetPaces(most int) {
	for len(h.paces) > most {
		var oldest *pace
		for _, p := range h.paces {
			if p.users == 0 && (oldest == nil || p.slowed.Before(oldest.slowed)) {
				oldest = p
			}
		}
		if oldest == nil {
			return
		}
		delete(h.paces, oldest.key)
	}
}

// slow begins a pause and halves the rate. The refusals of requests that were under way
// together are one signal, so within a second it is halved once.
func (p *pace) slow(now time.Time, asked time.Duration) {
	if asked == 0 {
		asked = unsaidRetryAfter
	}
	if until := now.Add(asked); until.After(p.pause) {
		p.pause = until
	}
	if now.Sub(p.slowed) < time.Second {
		return
	}
	p.roll(now)
	current := float64(p.limiter.Limit())
	if p.limiter.Limit() == rate.Inf {
		current = float64(max(p.counted, p.previous, 1))
	}
	p.limiter.SetLimitAt(now, rate.Limit(max(current/2, p.opts.minRate)))
	p.slowed, p.grown = now, now
}

// recover lets a limited rate grow, for seconds with a success only.
func (p *pace) recover(now time.Time) {
	if p.limiter.Limit() == rate.Inf || now.Before(p.pause) || now.Sub(p.grown) < time.Second {
		return
	}
	p.grown = now
	next := float64(p.limiter.Limit()) + p.opts.recoverPerSecond
	if next >= p.opts.maxRate {
		p.limiter.SetLimitAt(now, rate.Inf)
		return
	}
	p.limiter.SetLimitAt(now, rate.Limit(next))
}

// send counts a request into the current second.
func (p *pace) send(now time.Time) {
	p.roll(now)
	p.counted++
}

// roll moves the window on when its second is over.
func (p *pace) roll(now time.Time) {
	switch since := now.Sub(p.window); {
	case since >= 2*time.Second:
		p.previous, p.counted, p.window = 0, 0, now
	case since >= time.Second:
		p.previous, p.counted, p.window = p.counted, 0, p.window.Add(time.Second)
	}
}

// waiter is a request that waits for its turn.
type waiter struct {
	host     *hostBudget
	ctx      context.Context // of the request
	limited  context.Context // the same until the deadline
	deadline time.Time
	cred     *pullsecrets.Credential
}

// admit waits for the pace of a turn: for the end of a pause, or for the probe after it
// that another request is, and then for the rate. A turn that is the probe itself goes at once.
func (w *waiter) admit(t *turn) *Error {
	if t.pace == nil || t.probe {
		return nil
	}
	for {
		left, probed := w.claim(t)
		var err *Error
		switch {
		case left > 0:
			err = w.sleep(left)
		case probed != nil:
			err = w.wait(probed)
		case t.probe:
			return nil
		default:
			return w.reserve(t.pace.limiter)
		}
		if err != nil {
			return err
		}
	}
}

// claim returns what a turn has to wait for: the rest of a pause, or the answer to another
// request's probe. With neither the pace is open, or the turn has become the probe.
func (w *waiter) claim(t *turn) (left time.Duration, probed <-chan struct{}) {
	w.host.mu.Lock()
	defer w.host.mu.Unlock()
	p := t.pace
	switch left = time.Until(p.pause); {
	case p.pause.IsZero():
		return 0, nil
	case left > 0:
		return left, nil
	case p.probe != nil:
		return 0, p.probe
	}
	p.probe, t.probe = make(chan struct{}), true
	return 0, nil
}

// reserve waits for the rate.
func (w *waiter) reserve(limiter *rate.Limiter) *Error {
	turn := limiter.Reserve()
	err := w.sleep(turn.Delay())
	if err != nil {
		turn.Cancel()
	}
	return err
}

// sleep waits for d unless that would end after the deadline.
func (w *waiter) sleep(d time.Duration) *Error {
	if d <= 0 {
		return nil
	}
	if time.Until(w.deadline) < d {
		return w.givenUp(d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-w.limited.Done():
		return w.givenUp(d)
	}
}

func (w *waiter) wait(probed <-chan struct{}) *Error {
	select {
	case <-probed:
		return nil
	case <-w.limited.Done():
		return w.givenUp(0)
	}
}

// givenUp is the error of a turn that did not come. How long the pause is stands in
// RetryAfter only; the text stays the same while it shrinks, for statuses with it are stored.
func (w *waiter) givenUp(after time.Duration) *Error {
	if w.ctx.Err() != nil {
		return canceled(w.ctx.Err())
	}
	e := &Error{Code: CodeTooManyRequests, RetryAfter: after, Text: fmt.Sprintf("too many requests to %s are waiting", w.host.name)}
	if w.cred != nil && w.host.pausedFor(*w.cred) {
		e.Text = fmt.Sprintf("%s answered that it gets too many requests with %s; it is not asked again before the pause is over", w.host.name, w.cred.Description())
	}
	return e
}

// pausedFor reports whether nothing but a probe is sent with a credential.
func (h *hostBudget) pausedFor(cred pullsecrets.Credential) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.paces[cred.Identity()]
	return p != nil && !p.pause.IsZero()
}
