package schedule

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

// The ConfigMap that keeps the progress.
const (
	progressNamespace = metav1.NamespaceSystem
	progressName      = "weir-schedule"
	// progressKey is the time, in RFC 3339, before which all due checks were made.
	progressKey = "checked-until"
)

const (
	// saveEvery is the pause between two writes of the progress.
	saveEvery = 30 * time.Second
	// loadAttempts is how often reading it is tried, a second apart.
	loadAttempts = 5
	// stopGrace is how long the last write may take.
	stopGrace = 5 * time.Second
)

// Progress stores the only persistent state of the schedule: the time before which all due checks
// were made. Checks start in the order of their due times, so this time determines which checks
// were missed, in one small object for any number of tags.
type Progress interface {
	// Load returns the time; the zero time if none was saved.
	Load(context.Context) (time.Time, error)
	Save(context.Context, time.Time) error
}

// configMapProgress stores the progress in a ConfigMap.
type configMapProgress struct{ host kubernetes.Interface }

// NewProgress returns a Progress in the ConfigMap of progressNamespace and progressName. The client
// needs the rights to get, create and patch it.
func NewProgress(host kubernetes.Interface) Progress { return configMapProgress{host} }

func (p configMapProgress) Load(ctx context.Context) (time.Time, error) {
	found, err := p.host.CoreV1().ConfigMaps(progressNamespace).Get(ctx, progressName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && found.Data[progressKey] == "" {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the progress of scheduled imports: %w", err)
	}
	until, err := time.Parse(time.RFC3339, found.Data[progressKey])
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the progress of scheduled imports from ConfigMap %s/%s: %w", progressNamespace, progressName, err)
	}
	return until, nil
}

func (p configMapProgress) Save(ctx context.Context, until time.Time) error {
	maps := p.host.CoreV1().ConfigMaps(progressNamespace)
	text := until.UTC().Format(time.RFC3339)
	patch := fmt.Appendf(nil, `{"data":{%q:%q}}`, progressKey, text)
	_, err := maps.Patch(ctx, progressName, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: progressName}, Data: map[string]string{progressKey: text},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("saving the progress of scheduled imports: %w", err)
	}
	return nil
}

// load reads the progress. Without it missed checks are not caught up.
func load(ctx context.Context, p Progress, now func() time.Time) time.Time {
	for attempt := 1; ; attempt++ {
		until, err := p.Load(ctx)
		if err == nil {
			if n := now(); until.After(n) { // the clock was set back
				return n
			}
			return until
		}
		if attempt == loadAttempts || ctx.Err() != nil {
			klog.FromContext(ctx).Error(err, "Reading the progress failed; checks missed during downtime wait for their next slot")
			return time.Time{}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// keepProgress saves the progress until ctx ends, and once more then.
func (r *run) keepProgress(ctx context.Context, p Progress) {
	saved := r.since
	save := func(ctx context.Context) {
		r.mu.Lock()
		tracked, until := r.agenda.size, r.agenda.checkedUntil(r.now()).Truncate(time.Second)
		r.mu.Unlock()
		if tracked == 0 || !until.After(saved) {
			return
		}
		if err := p.Save(ctx, until); err != nil {
			klog.FromContext(ctx).Error(err, "Saving the progress failed; a restart repeats checks made since")
			return
		}
		saved = until
	}
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			save(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
			defer cancel()
			save(last)
			return
		}
	}
}
