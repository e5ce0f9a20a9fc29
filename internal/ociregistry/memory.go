package ociregistry

import (
	"context"
	"sync"
	"time"
)

const (
	// uncounted is the content that a request may keep in memory without being counted: the
	// bound on connections bounds it.
	uncounted = 64 << 10
	// pushWeight is how many bytes in memory a byte of a pushed manifest is counted for: its
	// text, its parts, and the Image that is made of it.
	pushWeight = 4
	// memoryWait is how long a request waits for memory before it is answered 429.
	memoryWait = 10 * time.Second
)

// memory bounds the content that requests together keep in memory while they receive it, send
// it or wait: manifests, configurations, signatures and lists. Blobs pass through buffers and are
// not counted. No user gets more than a share, and no namespace more than two, so that a client
// that takes nothing of what it asks for stops no others. A share for users alone would not do: a
// tenant makes as many service accounts as it likes, all of them in its namespace. One share for a
// namespace would not either: one client could stop all pulls from a namespace of many users.
type memory struct {
	most, share int64

	mu         sync.Mutex
	held       int64
	users      map[string]int64
	namespaces map[string]int64
	freed      chan struct{} // closed when something is given back
}

// holder is the user of a request and the namespace of its repository, "" for none.
type holder struct{ user, namespace string }

// namespaceShares is how many shares the requests to one namespace get together.
const namespaceShares = 2

func newMemory(most, share int64) *memory {
	return &memory{most: most, share: share, users: map[string]int64{}, namespaces: map[string]int64{}, freed: make(chan struct{})}
}

// take takes bytes for a holder, at most a share: what is larger has to be possible alone. It waits
// for what others hold, unless the caller's request holds some already: two of these could wait for
// each other. taken is to be given back. The error is CodeTooManyRequests, or the end of ctx.
func (m *memory) take(ctx context.Context, of holder, n int64, wait bool) (taken int64, err error) {
	n = min(n, m.share)
	var expired <-chan time.Time
	for {
		freed, ok := m.tryTake(of, n)
		if ok {
			return n, nil
		}
		if !wait {
			return 0, refuseMemory()
		}
		if expired == nil {
			timer := time.NewTimer(memoryWait)
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-freed:
		case <-expired:
			return 0, refuseMemory()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func refuseMemory() error {
	requestsRefused.WithLabelValues("memory").Inc()
	e := NewError(CodeTooManyRequests, "too many large manifests or lists are received or sent at a time; try again, with fewer requests at a time")
	e.RetryAfter = retryAfter
	return e
}

// tryTake takes bytes, or returns the channel that is closed when some are given back.
func (m *memory) tryTake(of holder, n int64) (freed <-chan struct{}, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held+n > m.most || m.users[of.user]+n > m.share || m.namespaces[of.namespace]+n > namespaceShares*m.share {
		return m.freed, false
	}
	m.held += n
	m.users[of.user] += n
	m.namespaces[of.namespace] += n
	memoryHeld.Add(float64(n))
	return nil, true
}

func (m *memory) give(of holder, n int64) {
	if n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held -= n
	release(m.users, of.user, n)
	release(m.namespaces, of.namespace, n)
	memoryHeld.Add(float64(-n))
	close(m.freed)
	m.freed = make(chan struct{})
}

func release(held map[string]int64, name string, n int64) {
	if held[name] -= n; held[name] == 0 {
		delete(held, name)
	}
}

// hold counts content that the exchange is about to keep in memory, until its end or a call of
// holdOnly. The error is that of take.
func (x *exchange) hold(n int64) error {
	if n <= uncounted {
		return nil
	}
	return x.holdMore(n)
}

// holdAll is hold for all of what is collected in small pieces.
func (x *exchange) holdAll(n int64) error {
	if n <= uncounted || n <= x.held {
		return nil
	}
	return x.holdMore(n - x.held)
}

func (x *exchange) holdMore(n int64) error {
	taken, err := x.memory.take(x.context(), x.holder(), n, x.held == 0)
	x.held += taken
	return err
}

// holdOnly gives back what is held beyond some bytes.
func (x *exchange) holdOnly(n int64) {
	if x.held > n {
		x.memory.give(x.holder(), x.held-n)
		x.held = n
	}
}

func (x *exchange) holder() holder { return holder{x.callerName(), x.repo.Namespace} }

func (x *exchange) callerName() string {
	if x.caller.User == nil {
		return ""
	}
	return x.caller.User.GetName()
}
