// Package standalone composes all components in one process, for `weir serve` and for tests: etcd,
// the control plane, the image API, the controllers, the registry.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	cliflag "k8s.io/component-base/cli/flag"

	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/controller/manager"
	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/host"
	"weir.dev/weir/internal/outbound"
	"weir.dev/weir/internal/registryserver"
)

// Options are the flags of `weir serve`.
type Options struct {
	// DataDir holds everything that is written.
	DataDir string
	// ConfigFile is the configuration file, "" for none; what it says is in Config.
	ConfigFile string
	// Config are the settings that have no flag. When ConfigFile is set it is
	// read into here.
	Config *config.Configuration
	// Outbound are the flags of the client of other registries.
	Outbound outbound.Options
	// Controllers are the controllers to run.
	Controllers manager.Selection
	// Election chooses the process that runs them; the identity is that of the data folder.
	Election manager.Election
	// InternalHostname and ExternalHostname are host[:port] of the integrated
	// registry, as seen by workloads and from outside.
	InternalHostname string
	ExternalHostname string
	// ImageAPI is false for a control plane whose image API runs in a process of its own.
	ImageAPI bool
	// Registry are the flags of the integrated registry.
	Registry *registryserver.Options
	// Host are the flags of the control plane.
	Host *host.Options
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	return &Options{DataDir: "weir-data", Config: config.Default(), ImageAPI: true, Controllers: manager.Selection{"*"}, Election: manager.DefaultElection(""), Registry: registryserver.NewOptions(), Host: host.NewOptions()}
}

// AddFlags adds Weir's own flags first, Kubernetes' after them.
func (o *Options) AddFlags(fss *cliflag.NamedFlagSets) {
	fs := fss.FlagSet("weir")
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir, "Folder for everything this process writes: etcd, keys and certificates, "+host.KubeconfigName+".")
	fs.StringVar(&o.ConfigFile, "config", o.ConfigFile, "Configuration file (YAML) for what has no flag: see docs/operate/configuration.md.")
	fs.BoolVar(&o.ImageAPI, "image-api", o.ImageAPI, "Serve the image API. Without it, weir apiserver serves it in a process of its own, with the same --etcd-servers: see --aggregated-service.")
	o.Outbound.AddFlags(fs)
	fs.StringSliceVar((*[]string)(&o.Controllers), "controllers", []string(o.Controllers), "Controllers to run: '*' is all, 'NAME' is that one, '-NAME' is all but that one, 'none' is none. They are: "+strings.Join(manager.Names(), ", ")+".")
	fs.StringVar(&o.InternalHostname, "internal-registry-hostname", o.InternalHostname, "host[:port] of the integrated registry, shown in status.dockerImageRepository; by default the address it is served at.")
	fs.StringVar(&o.ExternalHostname, "external-registry-hostname", o.ExternalHostname, "host[:port] of the integrated registry as seen from outside, shown in status.publicDockerImageRepository.")
	o.Election.AddFlags(fss.FlagSet("leader election"))
	o.Registry.AddFlags(fss)
	o.Host.AddFlags(fss)
}

// complete reads the configuration file and fills in what follows from other
// settings.
func (o *Options) complete() error {
	if o.DataDir == "" {
		return errors.New("--data-dir must name a folder")
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w", o.DataDir, err)
	}
	o.DataDir, o.Host.DataDir = dir, dir
	var errs []error
	if o.ConfigFile != "" {
		if o.Config, err = config.Load(o.ConfigFile); err != nil {
			return fmt.Errorf("--config: %w", err)
		}
	}
	if o.InternalHostname != "" {
		errs = append(errs, named("--internal-registry-hostname", o.InternalHostname, config.CheckHostname(o.InternalHostname)))
		o.Config.Registry.InternalHostname = o.InternalHostname
	}
	if o.ExternalHostname != "" {
		errs = append(errs, named("--external-registry-hostname", o.ExternalHostname, config.CheckHostname(o.ExternalHostname)))
		o.Config.Registry.ExternalHostnames = []string{o.ExternalHostname}
	}
	errs = append(errs, o.Controllers.Validate()...)
	errs = append(errs, o.Registry.Validate()...)
	errs = append(errs, o.Host.Validate()...)
	return utilerrors.NewAggregate(errs)
}

// named puts the flag and its value before a mistake in it.
func named(flag, value string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", flag, value, err)
}

// reachableFromElsewhere reports whether anything is served at another address than
// loopback.
func (o *Options) reachableFromElsewhere() bool {
	return !o.Host.ControlPlane.SecureServing.BindAddress.IsLoopback() || o.Registry.Enabled && !o.Registry.BindAddress.IsLoopback()
}

// embedsEtcd reports whether no etcd was named.
func (o *Options) embedsEtcd() bool {
	return len(o.Host.ControlPlane.Etcd.StorageConfig.Transport.ServerList) == 0
}

// reachEtcd reports an etcd of --etcd-servers that does not answer, sooner than the servers
// that use it would and by its flag.
func (o *Options) reachEtcd(ctx context.Context) error {
	t := o.Host.ControlPlane.Etcd.StorageConfig.Transport
	external := etcd.External{Servers: t.ServerList, CAFile: t.TrustedCAFile, CertFile: t.CertFile, KeyFile: t.KeyFile}
	if err := external.Reach(ctx); err != nil {
		return fmt.Errorf("the etcd at --etcd-servers %s does not answer; see also --etcd-cafile, --etcd-certfile and --etcd-keyfile: %w",
			strings.Join(t.ServerList, ","), err)
	}
	return nil
}
