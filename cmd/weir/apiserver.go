package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"

	"weir.dev/weir/internal/buildinfo"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/component"
	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/etcdroom"
	"weir.dev/weir/internal/hostclient"
	"weir.dev/weir/internal/imageserver"
	"weir.dev/weir/internal/inbound"
	"weir.dev/weir/internal/outbound"
)

func newAPIServerCommand() *cobra.Command {
	o := apiServerOptions{server: imageserver.NewOptions(), logs: logsapi.NewLoggingConfiguration()}
	cmd := &cobra.Command{
		Use:   "apiserver",
		Short: "Serve the image API in a process of its own",
		Long: `Serves the image API behind the aggregator of a Kubernetes API server, which authenticates and
authorizes its clients. weir serve serves it in its own process unless --image-api=false.

It keeps image streams in etcd: that of --etcd-servers, which may be the one of the API server. The names of
the registry, in its configuration file, have to be those that the registry has.`,
		Example: `  weir serve --image-api=false --etcd-servers=http://127.0.0.1:2379 --aggregated-service=kube-system/weir-apiserver=127.0.0.1:9443
  weir apiserver --kubeconfig weir-data/admin.kubeconfig --etcd-servers=http://127.0.0.1:2379 --apiservice=kube-system/weir-apiserver`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wantsHelp(cmd) {
				return nil
			}
			rest.SetDefaultWarningHandler(rest.NoWarnings{}) // no warnings about requests of this process
			buildinfo.RegisterMetric()
			if err := startLog(o.logs, cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil {
				return err
			}
			return o.run(genericapiserver.SetupSignalContext())
		},
	}
	var sections cliflag.NamedFlagSets
	fs := sections.FlagSet("weir")
	fs.StringVar(&o.configFile, "config", o.configFile, "Configuration file (YAML): see docs/operate/configuration.md. Sections of other components are not used.")
	o.host.AddFlags(fs)
	o.outbound.AddFlags(fs)
	o.server.AddFlags(&sections)
	logsapi.AddFlags(o.logs, sections.FlagSet("logs"))
	globalflag.AddGlobalFlags(sections.FlagSet("global"), cmd.Name(), logs.SkipLoggingConfigurationFlags())
	addSections(cmd, sections)
	return cmd
}

// apiServerOptions are the flags of weir apiserver.
type apiServerOptions struct {
	host       hostclient.Options
	configFile string
	outbound   outbound.Options
	server     *imageserver.Options
	logs       *logsapi.LoggingConfiguration
}

// complete checks the flags, and reads the configuration file and the kubeconfig.
func (o *apiServerOptions) complete() (*config.Configuration, *rest.Config, error) {
	var context error
	if o.host.Context != "" {
		context = errors.New("--context is not supported here: give a kubeconfig whose current context is the API server's, since reviews of tokens go to that one")
	}
	settings, err := loadSettings(o.configFile)
	host, hostErr := o.host.Config()
	return settings, host, utilerrors.NewAggregate([]error{context, err, hostErr, o.server.Validate()})
}

// run serves until ctx ends or a component fails.
func (o *apiServerOptions) run(ctx context.Context) (err error) {
	settings, host, err := o.complete()
	if err != nil {
		return err
	}
	files, err := inbound.Files()
	if err != nil {
		return err
	}
	t := o.server.Etcd.StorageConfig.Transport
	if err := (etcd.External{Servers: t.ServerList, CAFile: t.TrustedCAFile, CertFile: t.CertFile, KeyFile: t.KeyFile}).Reach(ctx); err != nil {
		return fmt.Errorf("the etcd at --etcd-servers %s does not answer; see also --etcd-cafile, --etcd-certfile and --etcd-keyfile: %w", strings.Join(t.ServerList, ","), err)
	}
	completed, err := o.server.Complete(imageserver.Deployment{
		Host: hostclient.For(host, "apiserver"), Kubeconfig: o.host.Kubeconfig, Room: etcdroom.Room{Cause: etcd.Cause}, MaxConnections: inbound.PerListener(files, 1),
	})
	if err != nil {
		return err
	}
	defer completed.Close()
	pool := caches.NewPool(settings.CacheBytes())
	o.outbound.Config, o.outbound.Caches, o.outbound.DenyLoopback = settings, pool, !o.server.Serving.BindAddress.IsLoopback()
	client, err := outbound.New(o.outbound)
	if err != nil {
		return err
	}
	defer client.Close()
	group := component.NewGroup()
	defer group.Stop()
	server, err := completed.New(imageserver.Parts{
		Settings: settings, Host: hostclient.For(host, "apiserver"), Hosts: settings.Registries(), Importer: client.Importer, Node: client.Node,
		Caches: pool, AccountIssuers: hostclient.AccountIssuers(ctx, host),
	}, group)
	if err != nil {
		return err
	}
	group.Start("caches", pool.Run)
	group.Start("registry rules", func(ctx context.Context) error {
		return client.FollowRules(ctx, hostclient.For(host, "registry-rules"))
	})
	group.Start("registration", server.RegisterAPIs)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(group.Context(), cancel)()
	return errors.Join(server.Run(ctx), group.Err())
}
