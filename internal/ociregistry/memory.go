package ociregistry

import (
	"context"
	"sync"
	"time"
)

const (
	// uncounted is how much content a request may hold without counting it. The limit on
	// connections bounds the total.
	uncounted = 64 << 10
	// pushWeight is how many bytes of memory each byte of a pushed manifest counts for: its text,
	// its parsed parts, and its Image.
	pushWeight = 4
	// memoryWait is how long a request waits for memory before it is answered 429.
	memoryWait = 10 * time.Second
)

// memory bounds the content that all requests hold in memory while they receive it, send it or
// wait: manifests, configurations, signatures and lists. Blobs pass through buffers and are not
// counted. A user gets at most one share and a namespace at most two, so that a client that
// does not read its responses cannot block others. A limit per user alone is not enough: a tenant
// can create any number of service accounts in its namespace. Nor is one share per namespace: one
// client could block all pulls from a namespace of many users.
type memory struct {
	most, share int64

	mu         sync.Mutex
	held       int64
	users      map[string]int64
	namespaces map[string]int64
	freed      chan struct{} // closed when memory is released
}

// holder is the user of a request and the namespace of its repository, "" for none.
type holder struct{ user, namespace string }

// namespaceShares is how many shares all requests to one namespace can hold together.
const namespaceShares = 2

func newMemory(most, share int64) *memory {
	return &memory{most: most, share: share, users: map[string]int64{}, namespaces: map[string]int64{}, freed: make(chan struct{})}
}

// take reserves bytes for a holder. A larger request than a share is cut to one, so that it can
// succeed at all. With wait it waits for other requests; a request that already holds memory must
// not, since two of these could deadlock. The caller must release taken bytes. The error is
// CodeTooManyRequests, or that of ctx.
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
	e := NewError(CodeTooManyRequests, "too many large manifests or lists are in transfer; retry with fewer concurrent requests")
	e.RetryAfter = retryAfter
	return e
}

// tryTake reserves bytes, or returns the channel that is closed when some are released.
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

// hold reserves memory for content of the exchange, until the exchange ends or holdOnly is
// called. The error is that of take.
func (x *exchange) hold(n int64) error {
	if n <= uncounted {
		return nil
	}
	return x.holdMore(n)
}

// holdAll is hold without the uncounted allowance, for content that is collected in small pieces.
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

// holdOnly releases all but n of the held bytes.
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
