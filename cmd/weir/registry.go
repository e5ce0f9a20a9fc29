package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	cliflag "k8s.io/component-base/cli/flag"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/hostclient"
	"weir.dev/weir/internal/inbound"
	"weir.dev/weir/internal/outbound"
	"weir.dev/weir/internal/registryserver"
)

// registryProbesPort is where probes and metrics of weir registry are served by default.
const registryProbesPort = 10444

func newRegistryCommand() *cobra.Command {
	o := newComponentOptions(registryProbesPort)
	r := registryOptions{registry: registryserver.NewOptions(), dataDir: "weir-data"}
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Serve the registry in a process of its own",
		Long: `Serves the registry over the image streams of an API server: that of a kubeconfig or of the pod.
weir serve serves it in its own process unless --registry=false.

The names of the registry, in its configuration file, have to be those that the API server has. An
address other than loopback needs a certificate.`,
		Example: `  weir serve --registry=false --internal-registry-hostname 127.0.0.1:5000
  weir registry --kubeconfig weir-data/admin.kubeconfig`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wantsHelp(cmd) {
				return nil
			}
			if err := r.validate(); err != nil {
				return err
			}
			return o.run(cmd, r.run)
		},
	}
	var sections cliflag.NamedFlagSets
	fs := sections.FlagSet("weir")
	fs.StringVar(&r.dataDir, "data-dir", r.dataDir, "Folder of the registry's storage, if the configuration file names none.")
	r.outbound.AddFlags(fs)
	r.registry.AddFlags(&sections)
	o.addTo(cmd, sections)
	return cmd
}

// registryOptions are the flags of weir registry.
type registryOptions struct {
	registry *registryserver.Options
	outbound outbound.Options
	dataDir  string
}

func (o *registryOptions) validate() error {
	if !o.registry.Enabled {
		return errors.New("--registry=false leaves nothing to serve")
	}
	errs := o.registry.Validate()
	if o.registry.Secure() && o.registry.CertFile == "" {
		errs = append(errs, errors.New("--registry-tls-cert-file and --registry-tls-private-key-file are required at an address other than loopback"))
	}
	return utilerrors.NewAggregate(errs)
}

// run opens and starts the registry and what it sends to other registries with.
func (o *registryOptions) run(r running) error {
	files, err := inbound.Files()
	if err != nil {
		return err
	}
	dataDir, err := filepath.Abs(o.dataDir)
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w", o.dataDir, err)
	}
	pool := caches.NewPool(r.config.CacheBytes())
	r.group.Start("caches", pool.Run)
	registry, err := registryserver.Open(r.ctx, registryserver.Config{
		Options: o.registry, Settings: r.config, DataDir: dataDir, MaxConnections: inbound.PerListener(files, 1), Caches: pool,
	})
	if err != nil {
		return err
	}
	r.onStop(registry.Stop)
	r.addChecks(registry.Checks()...)
	o.outbound.Config, o.outbound.Caches = r.config, pool
	o.outbound.DenyLoopback, o.outbound.Own = !o.registry.BindAddress.IsLoopback(), registry.Addresses()
	client, err := outbound.New(o.outbound)
	if err != nil {
		return err
	}
	r.onStop(client.Close)
	r.group.Start("registry rules", func(ctx context.Context) error {
		return client.FollowRules(ctx, hostclient.For(r.host, "registry-rules"))
	})
	return registry.Start(r.group, registryserver.Host{
		Config: r.host, Upstream: client.Client, Node: client.Node, AccountIssuers: hostclient.AccountIssuers(r.ctx, r.host),
	})
}
