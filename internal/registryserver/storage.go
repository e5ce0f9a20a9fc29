package registryserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/drivers"
)

const (
	// storageCheck is the name of the check of /readyz that fails while the registry's storage
	// cannot be used.
	storageCheck = "weir-storage"
	// storageStartTimeout bounds the check at the start, and storageTimeout those that follow
	// every storageInterval.
	storageStartTimeout = 20 * time.Second
	storageTimeout      = 10 * time.Second
	storageInterval     = 15 * time.Second
)

// openNames looks into the storage and records the registry's names there, which shows at the
// start whether it can be read and written: a wrong bucket or key would otherwise be found by
// the first push. Storage that does not answer keeps the registry from starting, since without
// the names of earlier starts tag events would be misunderstood. Full storage does not.
func (r *Registry) openNames(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storageStartTimeout)
	defer cancel()
	err := r.store.Check(ctx)
	if err == nil {
		err = r.rememberNames(ctx)
	}
	if errors.Is(err, blobstore.ErrFull) {
		klog.FromContext(ctx).Error(err, "The registry's storage is full: its names were not recorded there", "storage", r.describe())
		return nil
	}
	return r.storageFailure(err)
}

// storageFailure names the storage that an error is about.
func (r *Registry) storageFailure(err error) error {
	if err == nil {
		return nil
	}
	return &storageError{storage: r.describe(), cause: err}
}

// storageError is storage that cannot be used.
type storageError struct {
	storage string
	cause   error
}

// Error names the storage, in one line.
func (e *storageError) Error() string {
	return fmt.Sprintf("the registry's %s cannot be used (registry.storage): %s", e.storage, drivers.OneLine(e.cause))
}

// Unwrap is the cause.
func (e *storageError) Unwrap() error { return e.cause }

func (r *Registry) describe() string {
	storage := &r.settings().Registry.Storage
	return drivers.Describe(storage.Driver, storage.Parameters, r.config.DataDir)
}

// storageHealth is whether the registry's storage answers, as a check of /readyz.
type storageHealth struct{ last atomic.Pointer[storageError] }

// Name implements healthz.HealthChecker.
func (*storageHealth) Name() string { return storageCheck }

// Check implements healthz.HealthChecker.
func (h *storageHealth) Check(*http.Request) error {
	if err := h.last.Load(); err != nil {
		return err
	}
	return nil
}

// watchStorage looks into the storage until ctx ends, and logs when it ceases to answer and
// when it answers again.
func (r *Registry) watchStorage(ctx context.Context) error {
	ticks := time.NewTicker(storageInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
			r.lookIntoStorage(ctx)
		}
	}
}

func (r *Registry) lookIntoStorage(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, storageTimeout)
	defer cancel()
	err := r.store.Check(looking)
	if ctx.Err() != nil {
		return // it is stopping
	}
	if err == nil {
		if r.health.last.Swap(nil) != nil {
			klog.FromContext(ctx).Info("The registry's storage answers again", "storage", r.describe())
		}
		return
	}
	failed := &storageError{storage: r.describe(), cause: err}
	if r.health.last.Swap(failed) == nil {
		klog.FromContext(ctx).Error(failed, "The registry's storage does not answer: pushes and pulls fail")
	}
}
