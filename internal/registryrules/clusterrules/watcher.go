package clusterrules

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/registryrules"
)

// defaultInterval is the time between two reads of discovery.
const defaultInterval = 10 * time.Second

// goneAfter is how many times in a row discovery has to miss a resource before
// its objects are forgotten: a server that is just starting may not list
// everything yet, and that must not switch mirrors off.
const goneAfter = 2

// Discovery is the part of discovery.DiscoveryInterfaceWithContext needed here.
type Discovery interface {
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
}

// Options configure a Watcher.
type Options struct {
	// Dynamic and Discovery reach the cluster.
	Dynamic   dynamic.Interface
	Discovery Discovery
	// Conf is the registries.conf to join with; nil for none.
	Conf *registryrules.Conf
	// OnChange is called with new rules and what was left out in making them:
	// once when Run starts (then of Conf alone) and whenever they change.
	// Calls do not overlap.
	OnChange func(*registryrules.Rules, []registryrules.Warning)
	// Interval is the time between two reads of discovery; default 10 s.
	Interval time.Duration
	// EnforceAllowed is registryrules.ClusterObjects.EnforceAllowed.
	EnforceAllowed bool
}

// Watcher keeps rules in step with a cluster while Run runs.
type Watcher struct {
	opts    Options
	changed chan struct{} // of size one: any number of changes make one rebuild
	looked  atomic.Bool   // discovery answered for every resource at least once

	mu      sync.Mutex
	watches map[schema.GroupVersionResource]*watch
	missed  map[schema.GroupVersionResource]int
	known   map[schema.GroupVersionResource]bool
}

// New checks options; Run does the work.
func New(opts Options) (*Watcher, error) {
	if opts.Dynamic == nil || opts.Discovery == nil || opts.OnChange == nil {
		return nil, errors.New("cluster rules: Dynamic, Discovery and OnChange are required")
	}
	if opts.Interval <= 0 {
		opts.Interval = defaultInterval
	}
	return &Watcher{
		opts:    opts,
		changed: make(chan struct{}, 1),
		watches: map[schema.GroupVersionResource]*watch{},
		missed:  map[schema.GroupVersionResource]int{},
		known:   map[schema.GroupVersionResource]bool{},
	}, nil
}

// Run watches until the context ends; then every goroutine has ended too.
func (w *Watcher) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	defer w.stopAll()
	work.Go(func() { w.discover(ctx) })
	last := w.rebuild(nil)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
			last = w.rebuild(last)
		}
	}
}

// HasSynced reports whether the rules rest on everything the cluster has: which
// resources there are is known, and all of them have been listed.
func (w *Watcher) HasSynced() bool {
	if !w.looked.Load() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, watch := range w.watches {
		if !watch.informer.HasSynced() {
			return false
		}
	}
	return true
}

// notify requests a rebuild.
func (w *Watcher) notify() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// rebuild makes rules of what is known and hands them out if they differ.
func (w *Watcher) rebuild(last *registryrules.Rules) *registryrules.Rules {
	objects, warnings := w.objects()
	objects.EnforceAllowed = w.opts.EnforceAllowed
	rules, more := registryrules.New(w.opts.Conf, objects)
	if last != nil && rules.Equal(last) {
		return last
	}
	w.opts.OnChange(rules, append(warnings, more...))
	return rules
}

// discover looks which resources are there, at once and then regularly.
func (w *Watcher) discover(ctx context.Context) {
	ticker := time.NewTicker(w.opts.Interval)
	defer ticker.Stop()
	for {
		for version, resources := range watched {
			w.look(ctx, version, resources)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look asks discovery about one group version.
func (w *Watcher) look(ctx context.Context, version schema.GroupVersion, resources []resource) {
	list, err := w.opts.Discovery.ServerResourcesForGroupVersionWithContext(ctx, version.String())
	if ctx.Err() != nil {
		return
	}
	if err != nil && !apierrors.IsNotFound(err) {
		klog.FromContext(ctx).V(2).Info("Discovery failed; what is known stays", "groupVersion", version, "err", err)
		return
	}
	present := map[string]bool{}
	if err == nil && list != nil {
		for _, r := range list.APIResources {
			present[r.Name] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range resources {
		w.settle(ctx, version.WithResource(r.name), r, present[r.name])
	}
	if len(w.known) == resourceCount && w.looked.CompareAndSwap(false, true) {
		w.notify()
	}
}

// settle starts or ends the watch of a resource; w.mu is held.
func (w *Watcher) settle(ctx context.Context, gvr schema.GroupVersionResource, r resource, present bool) {
	w.known[gvr] = true
	running := w.watches[gvr]
	switch {
	case present:
		w.missed[gvr] = 0
		if running == nil && ctx.Err() == nil {
			w.watches[gvr] = startWatch(ctx, w.opts.Dynamic, gvr, r, w.notify)
		}
	case running != nil:
		if w.missed[gvr]++; w.missed[gvr] >= goneAfter {
			delete(w.watches, gvr)
			running.stop()
			w.notify()
		}
	}
}

func (w *Watcher) stopAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for gvr, running := range w.watches {
		delete(w.watches, gvr)
		running.stop()
	}
}
