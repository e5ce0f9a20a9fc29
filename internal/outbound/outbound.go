// Package outbound provides what a process sends to other registries with: one client, so that its
// budgets hold for all that is sent, with the rules and credentials of the machine and the cluster,
// and the importer over it.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/pflag"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/registryrules"
	"weir.dev/weir/internal/registryrules/clusterrules"
	"weir.dev/weir/internal/upstream"
)

// Options say with what the client is made.
type Options struct {
	// Config is the configuration file.
	Config *config.Configuration
	// RegistriesConf is a containers registries.conf, "" for none.
	RegistriesConf string
	// CADir is a folder of authorities that registries are trusted by, "" for none.
	CADir string
	// DenyLoopback refuses loopback addresses unless the configuration says otherwise: the process
	// is reachable from elsewhere.
	DenyLoopback bool
	// Own are the addresses of the integrated registry, which are contacted all the same.
	Own []netip.AddrPort
	// Caches bound the memory of its caches.
	Caches *caches.Pool
}

// AddFlags adds the flags.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.RegistriesConf, "registries-conf", o.RegistriesConf, "A containers registries.conf (version 2) with the mirrors, rewrites and blocks that imports obey.")
	fs.StringVar(&o.CADir, "import-ca-dir", o.CADir, "Folder of PEM files with certificate authorities that registries are trusted by, beside the system's.")
}

// Outbound is the client of other registries and the importer over it.
type Outbound struct {
	Client   *upstream.Client
	Importer *importer.Importer
	// Node are the credentials of the node.
	Node *pullsecrets.NodeCredentials
	conf *registryrules.Conf
}

// New makes the client. It reads the files that the options name, and reports everything that is
// wrong with them.
func New(o Options) (*Outbound, error) {
	i := &Outbound{}
	options := o.Config.UpstreamOptions()
	if options.Addresses.DenyLoopback == nil {
		options.Addresses.DenyLoopback = &o.DenyLoopback
	}
	options.Addresses.AllowPorts = o.Own
	var err error
	var errs []error
	if options.RootCAs, err = upstream.LoadCAs(o.CADir); err != nil {
		errs = append(errs, fmt.Errorf("--import-ca-dir: %w", err))
	}
	if o.RegistriesConf != "" {
		if i.conf, err = registryrules.ReadConf(o.RegistriesConf); err != nil {
			errs = append(errs, fmt.Errorf("--registries-conf: %w", err))
		}
	}
	node, warnings, err := o.Config.NodeCredentials()
	if err != nil {
		errs = append(errs, fmt.Errorf("--config: %w", err))
	}
	logWarnings("an entry of the node's credentials is left out", warnings)
	i.Node = node
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	options.Observer, options.Caches = observeRequests(), o.Caches
	if i.Client, err = upstream.NewClient(options); err != nil {
		return nil, fmt.Errorf("making the client of other registries: %w", err)
	}
	allBudgets.add(i.Client)
	rules, left := registryrules.New(i.conf, registryrules.ClusterObjects{})
	logWarnings("a registry rule is left out", left)
	i.Client.SetRules(rules)
	importing := o.Config.Imports.Importer
	importing.Registries, importing.Caches = importer.FromClient(i.Client), o.Caches
	i.Importer = importer.New(importing)
	return i, nil
}

// Close gives up the connections to other registries.
func (i *Outbound) Close() {
	allBudgets.remove(i.Client)
	i.Client.Close()
}

// FollowRules keeps the rules in step with the host's custom resources until ctx
// ends.
func (i *Outbound) FollowRules(ctx context.Context, host *rest.Config) error {
	dynamicClient, err := dynamic.NewForConfig(host)
	if err != nil {
		return fmt.Errorf("making the client of registry rules: %w", err)
	}
	discoveryClient, err := discovery.NewDiscoveryClientForConfig(host)
	if err != nil {
		return fmt.Errorf("making the client of registry rules: %w", err)
	}
	watcher, err := clusterrules.New(clusterrules.Options{
		Dynamic:   dynamicClient,
		Discovery: discoveryClient,
		Conf:      i.conf,
		OnChange: func(rules *registryrules.Rules, warnings []registryrules.Warning) {
			logWarnings("a registry rule is left out", warnings)
			i.Client.SetRules(rules)
		},
	})
	if err != nil {
		return err
	}
	watcher.Run(ctx)
	return nil
}

func logWarnings[W fmt.Stringer](what string, warnings []W) {
	for _, w := range warnings {
		klog.InfoS(what, "warning", w.String())
	}
}
