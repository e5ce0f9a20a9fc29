// Package component runs the components of a process: controllers, watchers, servers. They run
// beside each other until the process stops or the first of them fails, which ends the
// others: a process that goes on without one of its components would look well and not be.
package component

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"k8s.io/klog/v2"
)

// Group is a set of running components. It is safe for concurrent use.
type Group struct {
	running sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelCauseFunc
}

// errStopped is the cause of the end of a group that was stopped.
var errStopped = errors.New("the process is stopping")

// NewGroup makes a group without components.
func NewGroup() *Group {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Group{ctx: ctx, cancel: cancel}
}

// Start runs a component until it returns. It is expected to return nil once its context ends, and
// may do so earlier if nothing is left to do. An error before that ends the group.
func (g *Group) Start(name string, run func(context.Context) error) {
	g.running.Go(func() {
		if err := run(g.ctx); err != nil && g.ctx.Err() == nil {
			klog.ErrorS(err, "Component failed, the process ends", "component", name)
			g.cancel(fmt.Errorf("component %s failed: %w", name, err))
		}
	})
}

// Context ends with the group.
func (g *Group) Context() context.Context { return g.ctx }

// Err is the failure that ended the group, nil while it runs or after Stop.
func (g *Group) Err() error {
	if cause := context.Cause(g.ctx); !errors.Is(cause, errStopped) {
		return cause
	}
	return nil
}

// Stop ends all components and waits for them. It may be called again.
func (g *Group) Stop() {
	g.cancel(errStopped)
	g.running.Wait()
}

// Name is that of the group as a health check (healthz.HealthChecker).
func (*Group) Name() string { return "weir-components" }

// Check is the failure of a component.
func (g *Group) Check(*http.Request) error { return g.Err() }
