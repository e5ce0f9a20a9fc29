package registryserver

import (
	"context"
	"fmt"
	"time"

	"k8s.io/klog/v2"

	"weir.dev/weir/internal/stream"
)

// The registry records its host names in its storage, so that tag events with a former name
// are known to be about it. nameInterval is the time between two records. A tag event that
// is newer than the last record of a name by nameSlack is about the registry that has the
// name now.
const (
	nameInterval = 10 * time.Minute
	nameSlack    = 2 * nameInterval
)

// rememberNames records the names under which the registry is served.
func (r *Registry) rememberNames(ctx context.Context) (err error) {
	settings := &r.settings().Registry
	names := append([]string{settings.InternalHostname}, settings.ExternalHostnames...)
	if r.names, err = r.store.RememberNames(ctx, names, time.Now()); err != nil {
		return fmt.Errorf("recording the registry's names in its storage: %w", err)
	}
	return nil
}

// keepNames records the names until ctx ends.
func (r *Registry) keepNames(ctx context.Context) error {
	ticks := time.NewTicker(nameInterval)
	defer ticks.Stop()
	settings := &r.settings().Registry
	names := append([]string{settings.InternalHostname}, settings.ExternalHostnames...)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
			if _, err := r.store.RememberNames(ctx, names, time.Now()); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Error(err, "The registry's names could not be recorded in its storage, trying again", "in", nameInterval)
			}
		}
	}
}

// Hosts are the names of the integrated registry, with those that it had before.
func (r *Registry) Hosts() stream.Registries {
	hosts := r.settings().Registries()
	hosts.Remembered = map[string]time.Time{}
	for _, name := range r.names {
		if !hosts.Current().Has(name.Host) {
			hosts.Remembered[name.Host] = name.LastSeen.Add(nameSlack)
		}
	}
	return hosts
}
