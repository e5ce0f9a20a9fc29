package schedule

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"golang.org/x/time/rate"

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/stream"
)

const (
	// recheck bounds every wait, so that a changed clock takes effect.
	recheck = time.Minute
	// backOff is the pause after a check that failed as a whole; it doubles up to the interval.
	backOff = time.Second
)

// run is the state of one call of Controller.Run.
type run struct {
	options Options
	effects
	start time.Time
	// since is the progress when the run began, see Progress; zero if it is not known.
	since time.Time
	limit *rate.Limiter
	slots *importrequest.HostSlots

	mu     sync.Mutex
	agenda *agenda
	closed bool
	// sooner wakes the waiting goroutine when the agenda's first entry changes.
	sooner chan struct{}
}

func newRun(o Options, e effects, since time.Time) *run {
	r := &run{
		options: o, effects: e, start: e.now(), since: since,
		limit: newLimiter(o.capFor(0)), slots: importrequest.NewHostSlots(o.Workers), agenda: newAgenda(), sooner: make(chan struct{}, 1),
	}
	r.pace()
	return r
}

// pace adapts the cap to the demand.
func (r *run) pace() {
	perMinute := r.options.capFor(r.agenda.demand)
	setCap(r.limit, perMinute)
	capPerMinute.Set(float64(perMinute))
}

// set updates the agenda for a stream.
func (r *run) set(key types.NamespacedName, slots map[stream.Slot][]string) {
	r.change(func() { r.agenda.set(key, slots, func(stream.Slot) time.Time { return r.now() }) })
}

// resume is set for a stream that exists at the start: checks that came due since r.since are due
// at once. That time is not limited, so that a server that is behind and is restarted still
// reaches all streams.
func (r *run) resume(key types.NamespacedName, slots map[stream.Slot][]string) {
	now := r.now()
	r.change(func() {
		r.agenda.set(key, slots, func(stream.Slot) time.Time {
			if r.since.IsZero() {
				return now
			}
			return r.since
		})
	})
}

// change updates the agenda and the gauge, and wakes the waiting goroutine if necessary.
func (r *run) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	size, demand := r.agenda.size, r.agenda.demand
	first, _ := r.agenda.soonest()
	f()
	groupsTracked.Add(float64(r.agenda.size - size))
	if r.agenda.demand != demand {
		r.pace()
	}
	if now, ok := r.agenda.soonest(); ok && !now.Equal(first) {
		select {
		case r.sooner <- struct{}{}:
		default:
		}
	}
}

// close subtracts the entries of this run from the gauge.
func (r *run) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	groupsTracked.Add(-float64(r.agenda.size))
	r.closed = true
}

// work runs due checks until ctx ends, and returns after all checks. Due checks wait, in
// order, for the rate cap and for a worker.
func (r *run) work(ctx context.Context) {
	var checks sync.WaitGroup
	defer checks.Wait()
	workers := make(chan struct{}, r.options.Workers)
	allowed := false // by the rate cap, for the next check
	for r.waitDue(ctx) {
		if !allowed && r.limit.Wait(ctx) != nil {
			return
		}
		allowed = true
		select {
		case workers <- struct{}{}:
		case <-ctx.Done():
			return
		}
		e := r.take()
		if e == nil { // deleted meanwhile
			<-workers
			continue
		}
		allowed = false
		checks.Go(func() {
			defer func() { <-workers }()
			r.check(ctx, e)
		})
	}
}

// waitDue waits until an entry is due. It returns false if ctx ended.
func (r *run) waitDue(ctx context.Context) bool {
	for ctx.Err() == nil {
		wait := r.untilDue()
		if wait <= 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-r.sooner:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return false
}

func (r *run) untilDue() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	due, ok := r.agenda.soonest()
	if !ok {
		return recheck
	}
	return min(due.Sub(r.now()), recheck)
}

func (r *run) take() *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.agenda.take(r.now())
}

// check imports the tags of an entry and puts it back for its next slot.
func (r *run) check(ctx context.Context, e *entry) {
	logger := klog.FromContext(ctx).WithValues("imageStream", klog.KRef(e.key.Namespace, e.key.Name))
	err := r.reimport(klog.NewContext(ctx, logger), e)
	now := r.now()
	due := e.slot.Next(e.key, now)
	owed, failures := due, e.failures // which only this check writes
	switch {
	case err == nil || apierrors.IsNotFound(err): // the deletion of a stream removes it from the agenda
		failures = 0
	case ctx.Err() != nil:
		return
	default:
		failures++
		pause := backOff << min(failures-1, 20)
		pause = pause/2 + time.Duration(r.random()*float64(pause/2))
		if again := now.Add(pause); again.Before(due) {
			owed, due = e.owed, again
		}
		logger.V(2).Info("Scheduled import failed as a whole", "err", err, "failures", failures, "next", due)
	}
	r.change(func() {
		e.failures = failures
		r.agenda.putBack(e, owed, due)
	})
}

// errNoSlot means that the maximum of checks of a registry is in flight. It counts as a
// failed check, with back-off.
var errNoSlot = errors.New("too many concurrent checks of the registry")

// reimport posts imports for the tags in the entry's slot: one for each registry, so that a
// registry that hangs does not delay tags of another.
func (r *run) reimport(ctx context.Context, e *entry) error {
	s, err := r.stream(e.key.Namespace, e.key.Name)
	if err != nil {
		return err
	}
	now := r.now()
	need := stream.ImportNeed{Tags: dueTags(s, r.options.Intervals().Slots(s)[e.slot], now, e.slot.Interval)}
	var posts errgroup.Group
	for _, host := range importrequest.Hosts(s, need) {
		if !r.slots.Acquire(host) {
			posts.Go(func() error { return errNoSlot })
			continue
		}
		isi := importrequest.Build(s, importrequest.OfHost(s, need, host))
		lag.Observe(now.Sub(later(e.owed, r.start)).Seconds())
		posts.Go(func() error {
			defer r.slots.Release(host)
			_, err := r.post(ctx, isi, importrequest.WhySchedule)
			return err
		})
	}
	return posts.Wait()
}
