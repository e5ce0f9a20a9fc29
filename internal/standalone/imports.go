package standalone

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/upstream"
	"weir.dev/weir/internal/upstream/clusterrules"
)

// imports is what asks other registries: one client for the process, so that
// its budgets hold for everything that asks.
type imports struct {
	client   *upstream.Client
	importer *importer.Importer
	conf     *upstream.RegistriesConf
	node     *upstream.NodeCredentials
}

func newImports(o *Options, r *registry, pool *caches.Pool) (*imports, error) {
	i := &imports{}
	options, err := o.Config.UpstreamOptions()
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if o.Config.Imports.Addresses.DenyLoopback == nil {
		options.Addresses.DenyLoopback = o.reachableFromElsewhere()
	}
	options.Addresses.AllowPorts = r.addresses()
	var errs []error
	if options.RootCAs, err = upstream.LoadCAs(o.ImportCADir); err != nil {
		errs = append(errs, fmt.Errorf("--import-ca-dir: %w", err))
	}
	if o.RegistriesConf != "" {
		if i.conf, err = upstream.ReadRegistriesConf(o.RegistriesConf); err != nil {
			errs = append(errs, fmt.Errorf("--registries-conf: %w", err))
		}
	}
	node, warnings, err := o.Config.NodeCredentials()
	if err != nil {
		errs = append(errs, fmt.Errorf("--config: %w", err))
	}
	logWarnings("an entry of the node's credentials is left out", warnings)
	i.node = node
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	options.Observer, options.Caches = observeRequests(), pool
	if i.client, err = upstream.NewClient(options); err != nil {
		return nil, fmt.Errorf("making the client of other registries: %w", err)
	}
	allBudgets.add(i.client)
	rules, left := upstream.NewRules(i.conf, upstream.ClusterObjects{})
	logWarnings("a registry rule is left out", left)
	i.client.SetRules(rules)
	importing := o.Config.ImporterOptions(importer.FromClient(i.client))
	importing.Caches = pool
	i.importer = importer.New(importing)
	return i, nil
}

// close gives up the connections to other registries.
func (i *imports) close() {
	allBudgets.remove(i.client)
	i.client.Close()
}

// followRules keeps the rules in step with the host's custom resources until ctx
// ends.
func (i *imports) followRules(ctx context.Context, loopback *rest.Config) error {
	dynamicClient, err := dynamic.NewForConfig(loopback)
	if err != nil {
		return fmt.Errorf("making the client of registry rules: %w", err)
	}
	discoveryClient, err := discovery.NewDiscoveryClientForConfig(loopback)
	if err != nil {
		return fmt.Errorf("making the client of registry rules: %w", err)
	}
	watcher, err := clusterrules.New(clusterrules.Options{
		Dynamic:   dynamicClient,
		Discovery: discoveryClient,
		Conf:      i.conf,
		OnChange: func(rules *upstream.Rules, warnings []upstream.Warning) {
			logWarnings("a registry rule is left out", warnings)
			i.client.SetRules(rules)
		},
	})
	if err != nil {
		return err
	}
	watcher.Run(ctx)
	return nil
}

func logWarnings(what string, warnings []upstream.Warning) {
	for _, w := range warnings {
		klog.InfoS(what, "warning", w.String())
	}
}
