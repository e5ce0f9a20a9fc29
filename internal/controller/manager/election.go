package manager

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// DefaultLease is the Lease that processes of one API server share.
const DefaultLease = "weir-controllers"

// namespaceInterval is the time between two lookups of the namespace of the Lease, which a control
// plane creates a moment after its first start.
const namespaceInterval = 50 * time.Millisecond

// Election configures leader election by a Lease. Start from DefaultElection.
type Election struct {
	// Enabled is false for a process that runs the controllers without a Lease.
	Enabled bool
	// Namespace and Name are those of the Lease.
	Namespace, Name string
	// Identity is unique among the processes. A process that restarts with its former identity
	// does not wait for the expiry of its former Lease.
	Identity string
	// LeaseDuration is the time after which another process takes over an unrenewed Lease;
	// RenewDeadline is the time in which the holder must renew it, RetryPeriod the pause between
	// attempts.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
}

// DefaultElection returns an Election with the times of Kubernetes' components.
func DefaultElection(identity string) Election {
	return Election{
		Enabled: true, Namespace: metav1.NamespaceSystem, Name: DefaultLease, Identity: identity,
		LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
	}
}

func (e Election) validate() error {
	switch {
	case !e.Enabled:
		return nil
	case e.Namespace == "" || e.Name == "" || e.Identity == "":
		return errors.New("the Lease of the controllers needs a namespace, a name and an identity")
	case e.RetryPeriod <= 0 || e.RenewDeadline <= e.RetryPeriod || e.LeaseDuration <= e.RenewDeadline:
		return fmt.Errorf("--leader-elect-lease-duration %v must be longer than --leader-elect-renew-deadline %v, and that longer than --leader-elect-retry-period %v",
			e.LeaseDuration, e.RenewDeadline, e.RetryPeriod)
	}
	return nil
}

// lead runs work whenever this process holds the Lease, until ctx ends or work fails. It releases
// the Lease once work has ended. If another process takes the Lease over, both may work for a moment.
func (e Election) lead(ctx context.Context, host kubernetes.Interface, work func(context.Context) error) error {
	if !e.Enabled {
		return work(ctx)
	}
	if e.awaitNamespace(ctx, host) != nil {
		return nil // stopping
	}
	for ctx.Err() == nil {
		t := &term{ctx: ctx, work: work, ended: make(chan error, 1)}
		if err := t.run(e, host); err != nil {
			return err
		}
	}
	return nil
}

// awaitNamespace returns once the namespace of the Lease exists.
func (e Election) awaitNamespace(ctx context.Context, host kubernetes.Interface) error {
	return wait.PollUntilContextCancel(ctx, namespaceInterval, true, func(ctx context.Context) (bool, error) {
		_, err := host.CoreV1().Namespaces().Get(ctx, e.Namespace, metav1.GetOptions{})
		// Without the right to read it, proceed: the election logs its errors.
		return err == nil || apierrors.IsForbidden(err), nil
	})
}

// term is one candidacy for the Lease, and the work while it is held.
type term struct {
	ctx  context.Context
	work func(context.Context) error

	mu      sync.Mutex
	started bool
	over    bool // the Lease is no longer held
	ended   chan error
	// leave releases the Lease.
	leave context.CancelFunc
}

// run waits for the Lease and works until it is lost, ctx ends or work fails.
func (t *term) run(e Election, host kubernetes.Interface) error {
	electing, leave := context.WithCancel(context.WithoutCancel(t.ctx))
	defer leave()
	t.leave = leave
	defer context.AfterFunc(t.ctx, t.stop)()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name},
			Client:     host.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: e.Identity},
		},
		LeaseDuration: e.LeaseDuration, RenewDeadline: e.RenewDeadline, RetryPeriod: e.RetryPeriod,
		ReleaseOnCancel: true, Name: e.Name,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: t.lead, OnStoppedLeading: func() {}},
	})
	if err != nil {
		return fmt.Errorf("setting up leader election for the controllers: %w", err)
	}
	elector.Run(electing)
	t.mu.Lock()
	t.over = true
	started := t.started
	t.mu.Unlock()
	if !started {
		return nil
	}
	return <-t.ended
}

// stop ends the election, unless work has to end first.
func (t *term) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.started {
		t.leave()
	}
}

// lead works as long as leading and the term last.
func (t *term) lead(leading context.Context) {
	t.mu.Lock()
	t.started = !t.over
	t.mu.Unlock()
	if !t.started {
		return
	}
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	defer context.AfterFunc(leading, cancel)()
	t.ended <- t.work(ctx)
	t.leave()
}

// AddFlags adds the flags of these settings, named as in Kubernetes' components.
func (e *Election) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&e.Enabled, "leader-elect", e.Enabled, "Run the controllers only while this process holds a Lease, so that only one of several processes runs them. If false, do not run a second process with controllers against the same API.")
	fs.DurationVar(&e.LeaseDuration, "leader-elect-lease-duration", e.LeaseDuration, "The time after which another process takes over the controllers if the Lease is not renewed.")
	fs.DurationVar(&e.RenewDeadline, "leader-elect-renew-deadline", e.RenewDeadline, "The time in which the holder must renew the Lease before it stops its controllers.")
	fs.DurationVar(&e.RetryPeriod, "leader-elect-retry-period", e.RetryPeriod, "The pause between attempts to acquire or renew the Lease.")
	fs.StringVar(&e.Namespace, "leader-elect-resource-namespace", e.Namespace, "The namespace of the Lease.")
	fs.StringVar(&e.Name, "leader-elect-resource-name", e.Name, "The name of the Lease.")
}
