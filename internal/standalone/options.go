// Package standalone composes a whole Weir in one process: embedded etcd, the
// embedded control plane, the image API, the importers. It is what `weir serve`
// runs and what tests start.
package standalone

import (
	"errors"
	"fmt"
	"path/filepath"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	cliflag "k8s.io/component-base/cli/flag"

	"weir.dev/weir/internal/host"
)

// Options are the flags of `weir serve`.
type Options struct {
	// DataDir holds everything that is written.
	DataDir string
	Host    *host.Options
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	return &Options{DataDir: "weir-data", Host: host.NewOptions()}
}

// AddFlags adds Weir's own flags first, Kubernetes' after them.
func (o *Options) AddFlags(fss *cliflag.NamedFlagSets) {
	fs := fss.FlagSet("weir")
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir, "Folder for everything this process writes: etcd, keys and certificates, admin.kubeconfig.")
	o.Host.AddFlags(fss)
}

// Validate reports every mistake at once, each naming its flag.
func (o *Options) Validate() error {
	var errs []error
	if o.DataDir == "" {
		errs = append(errs, errors.New("--data-dir must name a folder"))
	}
	return utilerrors.NewAggregate(errs)
}

// complete fills in what follows from other settings.
func (o *Options) complete() error {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w", o.DataDir, err)
	}
	o.DataDir, o.Host.DataDir = dir, dir
	return nil
}

// embedsEtcd tells whether no etcd was named.
func (o *Options) embedsEtcd() bool {
	return len(o.Host.ControlPlane.Etcd.StorageConfig.Transport.ServerList) == 0
}
