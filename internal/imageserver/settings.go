package imageserver

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/apiserver"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/controller/schedule"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/stream"
)

// Parts are shared with the process that the image API runs in.
type Parts struct {
	// Settings are those of the configuration file.
	Settings *config.Configuration
	// Host configures a client of the Kubernetes around the image API.
	Host *rest.Config
	// Hosts are the names of the integrated registry.
	Hosts stream.Registries
	// Importer reads images of other registries, and Node are the credentials of the node.
	Importer *importer.Importer
	Node     *pullsecrets.NodeCredentials
	// Caches bound the memory of caches.
	Caches *caches.Pool
	// AccountIssuers are the issuers of the host's service account tokens.
	AccountIssuers []string
}

// APIConfig is the configuration of the image API without its storage, its informers and the
// generic part.
func (p Parts) APIConfig() (apiserver.Config, error) {
	allowed, err := p.Settings.AllowedRegistries()
	if err != nil {
		return apiserver.Config{}, fmt.Errorf("--config: %w", err)
	}
	checked, err := p.checkedUntil()
	if err != nil {
		return apiserver.Config{}, err
	}
	return apiserver.Config{
		Host:              p.Host,
		DefaultImportMode: p.Settings.Imports.Mode,
		Hosts:             p.Hosts,
		Allowed:           allowed,
		Importer:          p.Importer,
		ImportIntervals:   p.Settings.Schedule.Intervals(),
		CheckedUntil:      checked,
		MaxRepositoryTags: p.Settings.Imports.MaxImagesBulkImportedPerRepository,
		NodeCredentials:   p.Node,
		Caches:            p.Caches,
		RegistryKey:       apiserver.RegistryKey{MaxAge: p.Settings.Registry.Tokens.KeyMaxAge.Duration},
		AccountIssuers:    p.AccountIssuers,
	}, nil
}

// checkedUntil reads the progress of scheduled imports, nil if none are made. Another process may
// make them.
func (p Parts) checkedUntil() (func(context.Context) (time.Time, error), error) {
	if p.Settings.Schedule.Disabled {
		return nil, nil
	}
	client, err := kubernetes.NewForConfig(p.Host)
	if err != nil {
		return nil, fmt.Errorf("making the client of the progress of scheduled imports: %w", err)
	}
	return schedule.NewProgress(client).Load, nil
}
