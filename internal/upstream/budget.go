package upstream

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"weir.dev/weir/internal/pullsecrets"
)

// BudgetSnapshot describes the budget of one upstream host at one moment.
type BudgetSnapshot struct {
	// Host is host[:port].
	Host string
	// InFlight requests are being answered, Waiting ones wait for their turn.
	InFlight, Waiting int
	// Limit is the largest number of requests in flight.
	Limit int
	// Rate is the lowest one of a credential, in requests per second; 0 means that none is
	// limited.
	Rate float64
	// Paused is the number of credentials that the host is sent nothing with for now, the
	// want of one included. PausedFor is the longest of their pauses.
	Paused    int
	PausedFor time.Duration
	// Downloads of blobs are under way, WaitingDownloads ones wait for their turn.
	Downloads, WaitingDownloads int
	// DownloadLimit is the largest number of downloads under way.
	DownloadLimit int
}

// budgetOptions are the options of budgets.
type budgetOptions struct {
	HostOptions
	bounds
}

// budgets holds one budget per host and forgets idle hosts, the longest unused first.
type budgets struct {
	opts      budgetOptions
	downloads DownloadOptions
	mu        sync.Mutex
	byID      map[string]*list.Element
	used      *list.List // of *hostBudget, the last used in front
}

func newBudgets(opts budgetOptions, downloads DownloadOptions) *budgets {
	return &budgets{opts: opts, downloads: downloads, byID: map[string]*list.Element{}, used: list.New()}
}

// acquire waits for a turn with a host, with a credential or, for requests that are the
// same with any, with nil. On success the caller must release it.
func (b *budgets) acquire(ctx context.Context, name string, cred *pullsecrets.Credential) (*turn, *Error) {
	h := b.enter(name)
	defer h.count(&h.waiting, -1)
	return h.acquire(ctx, cred)
}

// enter counts a waiter in while the list is held, so that a budget that a request
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

// evict makes room for one more host. Busy hosts stay, and paused ones as long as there
// are others: forgetting one forgets its pause.
func (b *budgets) evict() {
	now := time.Now()
	for _, spare := range []func(*hostBudget) bool{func(h *hostBudget) bool { return h.idle() && !h.paused(now) }, (*hostBudget).idle} {
		for e := b.used.Back(); e != nil && b.used.Len() >= b.opts.hosts; {
			h, previous := e.Value.(*hostBudget), e.Prev()
			if spare(h) {
				delete(b.byID, h.name)
				b.used.Remove(e)
			}
			e = previous
		}
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

// hostBudget bounds the requests to one host: a number in flight with all
// credentials together, and with each credential a pace of its own.
type hostBudget struct {
	name  string
	opts  budgetOptions
	slots *semaphore.Weighted
	// downloads bounds the bodies under way, apart from requests: a long download
	// holds up the next one, never a question.
	downloads downloads

	mu       sync.Mutex
	inFlight int
	waiting  int
	paces    map[string]*pace // by Credential.identity
}

func newHostBudget(name string, opts budgetOptions, bodies DownloadOptions) *hostBudget {
	return &hostBudget{
		name: name, opts: opts,
		slots:     semaphore.NewWeighted(int64(opts.Concurrency)),
		downloads: newDownloads(bodies),
		paces:     map[string]*pace{},
	}
}

// turn is the place of one request in the budget of a host.
type turn struct {
	host *hostBudget
	pace *pace // nil for a request without one
	// probe: the request finds out whether the pause of its pace is over.
	probe bool
}

// acquire waits for a turn: at most until the context ends, and at most
// MaxWait. When it is clear from the start that the wait would be longer, it
// does not wait at all.
func (h *hostBudget) acquire(ctx context.Context, cred *pullsecrets.Credential) (*turn, *Error) {
	w := &waiter{host: h, ctx: ctx, cred: cred, deadline: time.Now().Add(h.opts.MaxWait.Duration)}
	var cancel context.CancelFunc
	w.limited, cancel = context.WithDeadline(ctx, w.deadline)
	defer cancel()
	t := &turn{host: h}
	if cred != nil {
		t.pace = h.paceOf(*cred)
	}
	for {
		if err := w.admit(t); err != nil {
			t.drop()
			return nil, err
		}
		if err := h.slots.Acquire(w.limited, 1); err != nil {
			t.drop()
			return nil, w.givenUp(0)
		}
		if t.begin() {
			return t, nil
		}
		h.slots.Release(1)
	}
}

func (h *hostBudget) count(n *int, by int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*n += by
}

// begin counts the request in; false when its pace was paused meanwhile.
func (t *turn) begin() bool {
	t.host.mu.Lock()
	defer t.host.mu.Unlock()
	if p := t.pace; p != nil {
		if !t.probe && !p.pause.IsZero() {
			return false
		}
		p.send(time.Now())
	}
	t.host.inFlight++
	return true
}

// release ends a turn. asked is the pause of a 429 (0 when it named
// none), negative when the answer was no 429; well reports whether the host answered.
func (t *turn) release(asked time.Duration, well bool) {
	h := t.host
	h.slots.Release(1)
	h.mu.Lock()
	h.inFlight--
	if p := t.pace; p != nil {
		now := time.Now()
		switch {
		case asked >= 0:
			p.slow(now, asked)
		case t.probe && well:
			p.pause = time.Time{}
			p.recover(now)
		case well:
			p.recover(now)
		}
	}
	h.mu.Unlock()
	t.drop()
}

// drop leaves the pace: the next request is the probe if this one was and found nothing
// out.
func (t *turn) drop() {
	if t.pace == nil {
		return
	}
	t.host.mu.Lock()
	defer t.host.mu.Unlock()
	if t.probe {
		t.probe = false
		close(t.pace.probe)
		t.pace.probe = nil
	}
	t.host.leavePace(t.pace)
}

func (h *hostBudget) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.inFlight == 0 && h.waiting == 0 && h.downloads.idle()
}

func (h *hostBudget) paused(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.paces {
		if p.pause.After(now) {
			return true
		}
	}
	return false
}

func (h *hostBudget) snapshot(now time.Time) BudgetSnapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := BudgetSnapshot{
		Host: h.name, InFlight: h.inFlight, Waiting: h.waiting, Limit: h.opts.Concurrency,
		Downloads: h.downloads.running, WaitingDownloads: h.downloads.waiting, DownloadLimit: h.downloads.opts.Concurrency,
	}
	for _, p := range h.paces {
		if limit := p.limiter.Limit(); limit != rate.Inf && (s.Rate == 0 || float64(limit) < s.Rate) {
			s.Rate = float64(limit)
		}
		if p.pause.After(now) {
			s.Paused++
			s.PausedFor = max(s.PausedFor, p.pause.Sub(now))
		}
	}
	return s
}
