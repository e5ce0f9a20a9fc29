package streams

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// streamLocks serializes the tag changes of this process per stream. Concurrent changes would
// conflict, and only one would succeed per round of retries. Pushes through other replicas still
// conflict.
type streamLocks struct {
	mu      sync.Mutex
	streams map[types.NamespacedName]*streamLock
}

type streamLock struct {
	taken chan struct{} // with capacity 1
	users int
}

func newStreamLocks() *streamLocks {
	return &streamLocks{streams: map[types.NamespacedName]*streamLock{}}
}

// lock locks a stream. The error is that of ctx; without an error, the caller must call done.
func (t *streamLocks) lock(ctx context.Context, id types.NamespacedName) (done func(), err error) {
	t.mu.Lock()
	its := t.streams[id]
	if its == nil {
		its = &streamLock{taken: make(chan struct{}, 1)}
		t.streams[id] = its
	}
	its.users++
	t.mu.Unlock()
	select {
	case its.taken <- struct{}{}:
		return func() { <-its.taken; t.release(id, its) }, nil
	case <-ctx.Done():
		t.release(id, its)
		return nil, ctx.Err()
	}
}

func (t *streamLocks) release(id types.NamespacedName, its *streamLock) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if its.users--; its.users == 0 {
		delete(t.streams, id)
	}
}
