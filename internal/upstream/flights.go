package upstream

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// flights does identical work once: callers that ask for a key while it is
// being worked on share the answer. The work belongs to all of them: it goes on
// when one gives up, and is cancelled when the last caller leaves.
type flights[V any] struct {
	mu     sync.Mutex
	flying map[string]*flight[V]
}

type flight[V any] struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int
	value   V
	err     error
}

// do works on a key, or joins who already does. The work runs with the values
// of the first caller's context but not with its cancellation; limit bounds it.
func (f *flights[V]) do(ctx context.Context, c *Client, key string, limit time.Duration, work func(context.Context) (V, error)) (V, error) {
	var zero V
	if err := ctx.Err(); err != nil {
		return zero, canceled(err)
	}
	fl := f.join(ctx, c, key, limit, work)
	if fl == nil {
		return zero, canceled(errClosed)
	}
	select {
	case <-fl.done:
		return fl.value, fl.err
	case <-ctx.Done():
		f.leave(key, fl)
		return zero, canceled(context.Cause(ctx))
	}
}

func (f *flights[V]) join(ctx context.Context, c *Client, key string, limit time.Duration, work func(context.Context) (V, error)) *flight[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.flying[key]; ok {
		fl.waiting++
		return fl
	}
	workCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(c.base, cancel)
	fl := &flight[V]{done: make(chan struct{}), cancel: cancel, waiting: 1}
	if f.flying == nil {
		f.flying = map[string]*flight[V]{}
	}
	f.flying[key] = fl
	started := c.start(func() {
		defer cancel()
		defer stop()
		fl.value, fl.err = guarded(workCtx, work)
		f.land(key, fl)
		close(fl.done)
	})
	if !started {
		cancel()
		delete(f.flying, key)
		return nil
	}
	return fl
}

// guarded turns a panic into the failure of this one piece of work: what it
// reads is foreign, and nothing above its goroutine could recover.
func guarded[V any](ctx context.Context, work func(context.Context) (V, error)) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Code: CodeProtocol, Text: "the answer could not be handled", Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	return work(ctx)
}

// land makes room for new work on the key, unless another call took it.
func (f *flights[V]) land(key string, fl *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flying[key] == fl {
		delete(f.flying, key)
	}
}

// leave counts a caller out; the last one cancels the work. The key is freed
// right away so that a later caller does not join work that is being cancelled.
func (f *flights[V]) leave(key string, fl *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.waiting--
	if fl.waiting > 0 {
		return
	}
	fl.cancel()
	if f.flying[key] == fl {
		delete(f.flying, key)
	}
}
