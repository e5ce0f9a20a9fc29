package streams

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// turns has the pushes of this process into one stream move its tags one after the other.
// All at once they would undo one another's work and try again, each round for the good
// of one of them. Pushes through other replicas are left to that.
type turns struct {
	mu      sync.Mutex
	streams map[types.NamespacedName]*turn
}

type turn struct {
	taken chan struct{} // of one
	users int
}

func newTurns() *turns { return &turns{streams: map[types.NamespacedName]*turn{}} }

// take waits for the turn at a stream. The error is that of ctx; without one, done must
// be called.
func (t *turns) take(ctx context.Context, id types.NamespacedName) (done func(), err error) {
	t.mu.Lock()
	its := t.streams[id]
	if its == nil {
		its = &turn{taken: make(chan struct{}, 1)}
		t.streams[id] = its
	}
	its.users++
	t.mu.Unlock()
	select {
	case its.taken <- struct{}{}:
		return func() { <-its.taken; t.leave(id, its) }, nil
	case <-ctx.Done():
		t.leave(id, its)
		return nil, ctx.Err()
	}
}

func (t *turns) leave(id types.NamespacedName, its *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if its.users--; its.users == 0 {
		delete(t.streams, id)
	}
}
