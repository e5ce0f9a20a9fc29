package upstream

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// BudgetSnapshot describes the budget of one upstream host at one moment.
type BudgetSnapshot struct {
	// Host is host[:port].
	Host string
	// InFlight requests are being answered, Waiting ones wait for their turn.
	InFlight, Waiting int
	// Limit is the largest number of requests in flight.
	Limit int
	// Rate is in requests per second; 0 means not limited.
	Rate float64
	// PausedFor is how long the host asked to be left alone from now on.
	PausedFor time.Duration
	// Downloads of blobs are under way, WaitingDownloads ones wait for their turn.
	Downloads, WaitingDownloads int
	// DownloadLimit is the largest number of downloads under way.
	DownloadLimit int
}

// budgets holds one budget per host and forgets idle hosts, the longest unused first.
type budgets struct {
	opts      BudgetOptions
	downloads DownloadOptions
	mu        sync.Mutex
	byID      map[string]*list.Element
	used      *list.List // of *hostBudget, the last used in front
}

func newBudgets(opts BudgetOptions, downloads DownloadOptions) *budgets {
	return &budgets{opts: opts, downloads: downloads, byID: map[string]*list.Element{}, used: list.New()}
}

// acquire waits for a turn with a host. On success the caller must release it.
func (b *budgets) acquire(ctx context.Context, name string) (*hostBudget, *Error) {
	h := b.enter(name)
	defer h.count(&h.waiting, -1)
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// enter counts a waiter in while the list is held, so that a budget somebody
// is about to use cannot be forgotten.
func (b *budgets) enter(name string) *hostBudget {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.byID[name]
	if ok {
		b.used.MoveToFront(e)
	} else {
		b.evict()
		e = b.used.PushFront(newHostBudget(name, b.opts, b.downloads))
		b.byID[name] = e
	}
	h := e.Value.(*hostBudget)
	h.count(&h.waiting, 1)
	return h
}

// evict makes room for one more host. Busy and paused hosts stay: forgetting
// one would forget what it asked for.
func (b *budgets) evict() {
	now := time.Now()
	for e := b.used.Back(); e != nil && b.used.Len() >= b.opts.Hosts; {
		h, previous := e.Value.(*hostBudget), e.Prev()
		if h.idle(now) {
			delete(b.byID, h.name)
			b.used.Remove(e)
		}
		e = previous
	}
}

func (b *budgets) snapshot() []BudgetSnapshot {
	b.mu.Lock()
	hosts := make([]*hostBudget, 0, b.used.Len())
	for e := b.used.Front(); e != nil; e = e.Next() {
		hosts = append(hosts, e.Value.(*hostBudget))
	}
	b.mu.Unlock()
	now := time.Now()
	all := make([]BudgetSnapshot, len(hosts))
	for i, h := range hosts {
		all[i] = h.snapshot(now)
	}
	slices.SortFunc(all, func(x, y BudgetSnapshot) int { return cmp.Compare(x.Host, y.Host) })
	return all
}

// hostBudget bounds what one host is asked: a number of requests in flight,
// and, once it answered 429, a rate. The rate is halved by a 429 and grows
// back slowly (additive increase, multiplicative decrease); after the pause
// that the host asked for, everything goes through that rate.
type hostBudget struct {
	name  string
	opts  BudgetOptions
	slots *semaphore.Weighted
	pace  *rate.Limiter
	// downloads bounds the bodies under way, apart from requests: a long download
	// holds up the next one, never a question.
	downloads downloads

	mu       sync.Mutex
	inFlight int
	waiting  int
	paused   time.Time // until when
	slowed   time.Time // last decrease
	grown    time.Time // last increase
	window   time.Time // start of the second being counted
	counted  int       // requests in it
	previous int       // requests in the second before
}

func newHostBudget(name string, opts BudgetOptions, bodies DownloadOptions) *hostBudget {
	return &hostBudget{
		name: name, opts: opts,
		slots:     semaphore.NewWeighted(int64(opts.Concurrency)),
		pace:      rate.NewLimiter(rate.Inf, 1),
		downloads: newDownloads(bodies),
	}
}

// acquire waits for a turn: at most until the context ends, and at most
// MaxWait. When it is clear from the start that the wait would be longer, it
// does not wait at all.
func (h *hostBudget) acquire(ctx context.Context) *Error {
	deadline := time.Now().Add(h.opts.MaxWait)
	wait, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for {
		if err := h.await(ctx, wait, h.pause(), deadline); err != nil {
			return err
		}
		if err := h.slots.Acquire(wait, 1); err != nil {
			return h.givenUp(ctx, 0)
		}
		turn := h.pace.Reserve()
		if err := h.await(ctx, wait, turn.Delay(), deadline); err != nil {
			turn.Cancel()
			h.slots.Release(1)
			return err
		}
		// Another answer may have asked for a pause meanwhile: queue up behind it,
		// so that the turns after it are spread again.
		if h.pause() == 0 {
			h.begin()
			return nil
		}
		h.slots.Release(1)
	}
}

// await sleeps for d unless that would end after the deadline.
func (h *hostBudget) await(ctx, wait context.Context, d time.Duration, deadline time.Time) *Error {
	if d <= 0 {
		return nil
	}
	if time.Until(deadline) < d {
		return h.givenUp(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-wait.Done():
		return h.givenUp(ctx, d)
	}
}

// givenUp is the error of a turn that did not come.
func (h *hostBudget) givenUp(ctx context.Context, after time.Duration) *Error {
	if ctx.Err() != nil {
		return canceled(ctx.Err())
	}
	text := fmt.Sprintf("too many requests to %s are waiting", h.name)
	if h.pause() > 0 {
		// How long is in RetryAfter; the text stays the same while the pause shrinks, for
		// statuses with it are stored.
		text = h.name + " answered that it gets too many requests and asked to be left alone for now"
	}
	return &Error{Code: CodeTooManyRequests, RetryAfter: after, Text: text}
}

func (h *hostBudget) count(n *int, by int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*n += by
}

// begin counts a request into the current second.
func (h *hostBudget) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight++
	h.roll(time.Now())
	h.counted++
}

// roll moves the window on when its second is over.
func (h *hostBudget) roll(now time.Time) {
	switch since := now.Sub(h.window); {
	case since >= 2*time.Second:
		h.previous, h.counted, h.window = 0, 0, now
	case since >= time.Second:
		h.previous, h.counted, h.window = h.counted, 0, h.window.Add(time.Second)
	}
}

// release ends a turn. asked is the pause a 429 asked for (0 when it named
// none), negative when the answer was no 429; well says that the host answered.
func (h *hostBudget) release(asked time.Duration, well bool) {
	h.slots.Release(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inFlight--
	now := time.Now()
	switch {
	case asked >= 0:
		h.slow(now, asked)
	case well:
		h.recover(now)
	}
}

// slow halves the rate. The refusals of requests that were under way together
// are one signal, so within a second it is done once.
func (h *hostBudget) slow(now time.Time, asked time.Duration) {
	if asked == 0 {
		asked = unsaidRetryAfter
	}
	if until := now.Add(asked); until.After(h.paused) {
		h.paused = until
	}
	if now.Sub(h.slowed) < time.Second {
		return
	}
	h.roll(now)
	current := float64(h.pace.Limit())
	if h.pace.Limit() == rate.Inf {
		current = float64(max(h.counted, h.previous, 1))
	}
	h.pace.SetLimitAt(now, rate.Limit(max(current/2, h.opts.MinRate)))
	h.slowed, h.grown = now, now
}

// recover lets a limited rate grow, for seconds with a success only.
func (h *hostBudget) recover(now time.Time) {
	if h.pace.Limit() == rate.Inf || now.Before(h.paused) || now.Sub(h.grown) < time.Second {
		return
	}
	h.grown = now
	next := float64(h.pace.Limit()) + h.opts.RecoverPerSecond
	if next >= h.opts.MaxRate {
		h.pace.SetLimitAt(now, rate.Inf)
		return
	}
	h.pace.SetLimitAt(now, rate.Limit(next))
}

// pause is how long the host is still to be left alone.
func (h *hostBudget) pause() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(time.Until(h.paused), 0)
}

func (h *hostBudget) idle(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.inFlight == 0 && h.waiting == 0 && h.downloads.idle() && !now.Before(h.paused)
}

func (h *hostBudget) snapshot(now time.Time) BudgetSnapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := BudgetSnapshot{
		Host: h.name, InFlight: h.inFlight, Waiting: h.waiting, Limit: h.opts.Concurrency,
		PausedFor: max(h.paused.Sub(now), 0),
		Downloads: h.downloads.running, WaitingDownloads: h.downloads.waiting, DownloadLimit: h.downloads.opts.Concurrency,
	}
	if limit := h.pace.Limit(); limit != rate.Inf {
		s.Rate = float64(limit)
	}
	return s
}
