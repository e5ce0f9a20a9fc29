package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/quota/v1/evaluator/core"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
	tokens "k8s.io/kubernetes/pkg/serviceaccount"
)

const (
	resync            = 12 * time.Hour
	discoveryInterval = 30 * time.Second
	quotaResync       = 5 * time.Minute
	// workers per controller: this host serves one machine.
	workers = 3
)

// controllers are those parts of kube-controller-manager without which the
// resources of this host would be dead letters: namespaces that never go away,
// quotas that are never computed, roles that never aggregate.
type controllers struct {
	host      *Host
	config    *rest.Config
	client    kubernetes.Interface
	metadata  metadata.Interface
	discovery discovery.DiscoveryInterface
	// all serves typed informers where there are any and metadata-only ones
	// for every other resource.
	all     informerfactory.InformerFactory
	started chan struct{}
}

// addControllers has them start with the server and end before it: the hook
// before shutdown waits until each has returned.
func (h *Host) addControllers() error {
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	err := h.AddPostStartHook("weir-host-controllers", func(hook genericapiserver.PostStartHookContext) error {
		stop := context.AfterFunc(hook, cancel)
		running.Go(func() { <-ctx.Done(); stop() })
		return h.startControllers(ctx, &running)
	})
	return errors.Join(err, h.aggregator.GenericAPIServer.AddPreShutdownHook("weir-host-controllers", func() error {
		cancel()
		running.Wait()
		return nil
	}))
}

func (h *Host) startControllers(ctx context.Context, running *sync.WaitGroup) error {
	config := h.Loopback()
	rest.AddUserAgent(config, "weir-host-controllers")
	config.QPS = -1 // the server's own fairness decides, not a client's guess
	c := &controllers{host: h, config: config, started: make(chan struct{})}
	var err error
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("making the host controllers' client: %w", err)
	}
	if c.metadata, err = metadata.NewForConfig(config); err != nil {
		return fmt.Errorf("making the host controllers' metadata client: %w", err)
	}
	c.discovery = c.client.Discovery()
	metadataInformers := metadatainformer.NewSharedInformerFactory(c.metadata, resync)
	c.all = informerfactory.NewInformerFactory(h.informers, metadataInformers)

	var runs []func(context.Context)
	for name, add := range map[string]func(context.Context) ([]func(context.Context), error){
		"service accounts": c.serviceAccounts, "service account tokens": c.serviceAccountTokens, "namespaces": c.namespaces,
		"role aggregation": c.roleAggregation, "resource quotas": c.resourceQuotas, "garbage collection": c.garbageCollection,
		"client certificates": c.clientCertificates,
	} {
		more, err := add(ctx)
		if err != nil {
			return fmt.Errorf("starting the controller of %s: %w", name, err)
		}
		runs = append(runs, more...)
	}
	h.informers.Start(ctx.Done())
	metadataInformers.Start(ctx.Done())
	close(c.started)
	for _, run := range runs {
		running.Go(func() { run(ctx) })
	}
	running.Go(func() { <-ctx.Done(); metadataInformers.Shutdown() })
	return nil
}

func (c *controllers) serviceAccounts(ctx context.Context) ([]func(context.Context), error) {
	sa, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx),
		c.host.informers.Core().V1().ServiceAccounts(), c.host.informers.Core().V1().Namespaces(), c.client,
		serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, err
	}
	return []func(context.Context){func(ctx context.Context) { sa.Run(ctx, workers) }}, nil
}

// serviceAccountTokens fills secrets of type kubernetes.io/service-account-token.
func (c *controllers) serviceAccountTokens(ctx context.Context) ([]func(context.Context), error) {
	key, err := keyutil.PrivateKeyFromFile(c.host.options.ServiceAccountSigningKeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the key that signs tokens: %w", err)
	}
	generator, err := tokens.JWTTokenGenerator(tokens.LegacyIssuer, key)
	if err != nil {
		return nil, err
	}
	// Not the loopback client's authority: that one is of this process alone.
	authority, err := os.ReadFile(c.host.options.pki.path("ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("reading the authority that goes with tokens: %w", err)
	}
	tc, err := serviceaccount.NewTokensController(klog.FromContext(ctx),
		c.host.informers.Core().V1().ServiceAccounts(), c.host.informers.Core().V1().Secrets(), c.client,
		serviceaccount.TokensControllerOptions{TokenGenerator: generator, RootCA: authority})
	if err != nil {
		return nil, err
	}
	return []func(context.Context){func(ctx context.Context) { tc.Run(ctx, workers) }}, nil
}

func (c *controllers) namespaces(ctx context.Context) ([]func(context.Context), error) {
	n := namespace.NewNamespaceController(ctx, c.client, c.metadata, c.discovery.ServerPreferredNamespacedResources,
		c.host.informers.Core().V1().Namespaces(), quotaResync, corev1.FinalizerKubernetes)
	return []func(context.Context){func(ctx context.Context) { n.Run(ctx, workers) }}, nil
}

func (c *controllers) roleAggregation(context.Context) ([]func(context.Context), error) {
	a := clusterroleaggregation.NewClusterRoleAggregation(c.host.informers.Rbac().V1().ClusterRoles(), c.client.RbacV1())
	return []func(context.Context){func(ctx context.Context) { a.Run(ctx, 1) }}, nil
}

func (c *controllers) resourceQuotas(ctx context.Context) ([]func(context.Context), error) {
	lister := generic.ListerFuncForResourceFunc(c.all.ForResource)
	evaluators, err := core.NewEvaluators(lister, c.host.informers, servedVersions().ResourceEnabled)
	if err != nil {
		return nil, err
	}
	if more := c.host.extension.QuotaEvaluators; more != nil {
		evaluators = append(evaluators, more(lister)...)
	}
	q, err := resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               c.client.CoreV1(),
		ResourceQuotaInformer:     c.host.informers.Core().V1().ResourceQuotas(),
		ResyncPeriod:              func() time.Duration { return quotaResync },
		InformerFactory:           c.all,
		ReplenishmentResyncPeriod: func() time.Duration { return resync },
		DiscoveryFunc:             c.discovery.ServerPreferredNamespacedResources,
		IgnoredResourcesFunc:      quotainstall.DefaultIgnoredResources,
		InformersStarted:          c.started,
		Registry:                  generic.NewRegistry(evaluators),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
	if err != nil {
		return nil, err
	}
	return []func(context.Context){
		func(ctx context.Context) { q.Run(ctx, workers) },
		func(ctx context.Context) {
			q.Sync(ctx, c.discovery.ServerPreferredNamespacedResources, discoveryInterval)
		},
	}, nil
}

func (c *controllers) garbageCollection(ctx context.Context) ([]func(context.Context), error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.discovery))
	ignored := maps.Clone(garbagecollector.DefaultIgnoredResources())
	for _, resource := range c.host.extension.Uncollected {
		ignored[resource] = struct{}{}
	}
	graph := garbagecollector.NewDependencyGraphBuilder(ctx, c.metadata, meta.ResettableRESTMapper(mapper), ignored, c.all, c.started)
	collector, err := garbagecollector.NewComposedGarbageCollector(ctx, c.client, c.metadata, mapper, graph)
	if err != nil {
		return nil, err
	}
	return []func(context.Context){
		func(ctx context.Context) { collector.Run(ctx, workers, discoveryInterval) },
		func(ctx context.Context) { collector.Sync(ctx, c.discovery, discoveryInterval) },
	}, nil
}
