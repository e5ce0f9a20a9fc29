package schedule

import (
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

const (
	// ReasonBehind is the reason of the Kubernetes Event (Warning) on the image stream with the
	// most delayed check, when checks fall behind.
	ReasonBehind = "ScheduledImportsBehind"
	// warnEvery is the least time between two warnings, over all streams.
	warnEvery = 15 * time.Minute
	// toleratedLag is the smallest lag that causes a warning.
	toleratedLag = time.Minute
)

// lateness describes how far the checks are behind.
type lateness struct {
	entry *entry // the one that has waited longest
	lag   time.Duration
	late  int // entries that are due
}

// serious reports whether checks fall behind: the most delayed one is late by half of its interval.
func (l lateness) serious() bool {
	return l.entry != nil && l.lag >= max(l.entry.slot.Interval/2, toleratedLag)
}

// behind returns the lateness. Checks that came due before the start count from the start: downtime
// of the server is not lag.
func (a *agenda) behind(now, start time.Time) lateness {
	var l lateness
	for _, entries := range a.byStream {
		for _, e := range entries {
			lag := now.Sub(later(e.owed, start))
			if lag <= 0 {
				continue
			}
			l.late++
			if lag > l.lag || l.entry == nil {
				l.entry, l.lag = e, lag
			}
		}
	}
	return l
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// watchLag updates the gauge of the lag until ctx ends, and warns when checks fall behind.
func (r *run) watchLag(ctx context.Context) {
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	defer behindSeconds.Set(0)
	var warned time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := r.now()
		r.mu.Lock()
		l, size, d := r.agenda.behind(now, r.start), r.agenda.size, r.agenda.demand
		r.mu.Unlock()
		behindSeconds.Set(l.lag.Seconds())
		if !l.serious() || !warned.IsZero() && now.Sub(warned) < warnEvery {
			continue
		}
		warned = now
		advice := r.options.advice(d)
		klog.FromContext(ctx).Error(nil, "Scheduled imports fall behind", "lag", l.lag.Round(time.Second), "late", l.late, "groups", size, "advice", advice)
		if s, err := r.stream(l.entry.key.Namespace, l.entry.key.Name); err == nil {
			on := &corev1.ObjectReference{APIVersion: imagev1.GroupVersion.String(), Kind: "ImageStream", Namespace: s.Namespace, Name: s.Name, UID: s.UID}
			r.recorder.Eventf(on, nil, corev1.EventTypeWarning, ReasonBehind, "Import",
				"the check of scheduled tags is %v late, and %d of %d checks of all streams are due: %s", l.lag.Round(time.Second), l.late, size, advice)
		}
	}
}

// advice returns a text that names the setting to change.
func (o Options) advice(d demand) string {
	if most := o.capFor(d); most > 0 && most < d.perMinute() {
		return fmt.Sprintf("raise schedule.maxPerMinute: it allows %d imports per minute, the scheduled tags need %d", most, d.perMinute())
	}
	return fmt.Sprintf("the scheduled tags need %d imports per minute, and registries respond too slowly for %d workers: raise schedule.workers or use longer intervals", d.perMinute(), o.Workers)
}
