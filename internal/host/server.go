package host

import (
	"context"
	"fmt"
	"net/http"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	genericapifilters "k8s.io/apiserver/pkg/endpoints/filters"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	quota "k8s.io/apiserver/pkg/quota/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/util/notfoundhandler"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	aggregatorapiserver "k8s.io/kube-aggregator/pkg/apiserver"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"

	"weir.dev/weir/internal/auth/credential"
	"weir.dev/weir/internal/etcdroom"
	"weir.dev/weir/internal/inbound"
	"weir.dev/weir/internal/watchprogress"
	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// Extension is another API server in the chain of servers, behind the control
// plane's own and before custom resources, or in a process elsewhere, for which an APIService is
// registered.
type Extension struct {
	// GroupVersions are those that it serves, each with its place in discovery, as an
	// APIService's groupPriorityMinimum.
	GroupVersions map[schema.GroupVersion]int32
	// LongRunning marks requests exempt from the request deadline and from the
	// count of requests in flight, beside watches and proxies.
	LongRunning apirequest.LongRunningRequestCheck
	// QuotaEvaluators count the group's resources for quotas that name them in
	// words of their own, at admission (lister nil) and in the controller.
	QuotaEvaluators func(quota.ListerForResourceFunc) []quota.Evaluator
	// Uncollected are resources whose objects are never anybody's dependents, so
	// that garbage collection need not keep them in memory.
	Uncollected []schema.GroupResource
	// New makes the server, which hands requests for other groups to the delegate. Nil for one that
	// runs elsewhere.
	New func(Base, genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error)
}

// Base has the parts that an extension's server shares with the control plane.
type Base struct {
	// Config is a copy of the control plane's: authentication, authorization,
	// admission, audit, tracing, loopback client. Its RESTOptionsGetter is unset.
	Config genericapiserver.Config
	// Etcd are the options of the store, for a RESTOptionsGetter with the
	// extension's own codec.
	Etcd genericoptions.EtcdOptions
	// Room has stores answer 507 when etcd has no room.
	Room etcdroom.Room
	// Informers are the host's, started with it.
	Informers informers.SharedInformerFactory
}

// Host is a control plane ready to run.
type Host struct {
	options    *Completed
	extension  Extension
	aggregator *aggregatorapiserver.APIAggregator
	informers  informers.SharedInformerFactory
	loopback   *rest.Config
}

// New builds the chain aggregator → control plane → extension → custom resources.
func New(o *Completed, ext Extension) (*Host, error) {
	generic, sharedInformers, storageFactory, err := controlplaneapiserver.BuildGenericConfig(
		o.CompletedOptions,
		[]*runtime.Scheme{legacyscheme.Scheme, apiextensionsapiserver.Scheme, aggregatorscheme.Scheme},
		servedVersions(), generatedopenapi.GetOpenAPIDefinitions, nil)
	if err != nil {
		return nil, fmt.Errorf("configuring the control plane: %w", err)
	}
	generic.RESTOptionsGetter = o.room.Storage(watchprogress.Stores(generic.RESTOptionsGetter))
	generic.EffectiveVersion = versioned{generic.EffectiveVersion}
	generic.LongRunningFunc = anyOf(generic.LongRunningFunc, ext.LongRunning)
	noteCredentials(generic, ext.New == nil)
	if o.maxConnections > 0 {
		limitConnections(generic, o.maxConnections)
	}
	c := &chain{options: o, ext: ext, generic: generic, informers: sharedInformers, storage: storageFactory}
	aggregator, err := c.build()
	if err != nil {
		return nil, err
	}
	return &Host{options: o, extension: ext, aggregator: aggregator, informers: sharedInformers, loopback: generic.LoopbackClientConfig}, nil
}

// Loopback is a client config with every right, for the process's own use.
func (h *Host) Loopback() *rest.Config { return rest.CopyConfig(h.loopback) }

// AddPostStartHook runs f once the server serves; f must return soon and end
// what it starts when its context does.
func (h *Host) AddPostStartHook(name string, f genericapiserver.PostStartHookFunc) error {
	return h.aggregator.GenericAPIServer.AddPostStartHook(name, f)
}

// AddPreShutdownHook runs f when the server begins to stop, while it still serves.
func (h *Host) AddPreShutdownHook(name string, f genericapiserver.PreShutdownHookFunc) error {
	return h.aggregator.GenericAPIServer.AddPreShutdownHook(name, f)
}

// AddReadyzCheck makes /readyz wait for a part of the process.
func (h *Host) AddReadyzCheck(check healthz.HealthChecker) error {
	return h.aggregator.GenericAPIServer.AddReadyzChecks(check)
}

// Run serves until ctx ends, lets requests in flight finish within the bounds of
// --shutdown-* and returns.
func (h *Host) Run(ctx context.Context) error {
	if err := h.addControllers(); err != nil {
		return err
	}
	prepared, err := h.aggregator.PrepareRun()
	if err != nil {
		return fmt.Errorf("preparing the control plane: %w", err)
	}
	return prepared.Run(ctx)
}

// chain holds what the steps of building the servers share.
type chain struct {
	options   *Completed
	ext       Extension
	generic   *genericapiserver.Config
	informers informers.SharedInformerFactory
	storage   *serverstorage.DefaultStorageFactory
}

func (c *chain) build() (*aggregatorapiserver.APIAggregator, error) {
	resolver := c.options.services.resolver()
	quotas, err := quotaInitializer(c.informers, c.storage.APIResourceConfigSource, c.ext.QuotaEvaluators)
	if err != nil {
		return nil, err
	}
	native, initializers, err := controlplaneapiserver.CreateConfig(c.options.CompletedOptions, c.generic, c.informers, nil, c.storage, resolver, []admission.PluginInitializer{quotas})
	if err != nil {
		return nil, fmt.Errorf("configuring the control plane: %w", err)
	}
	authInfo := webhook.NewDefaultAuthenticationInfoResolverWrapper(native.ProxyTransport, native.Generic.EgressSelector, native.Generic.LoopbackClientConfig, native.Generic.TracerProvider)
	crds, err := controlplaneapiserver.CreateAPIExtensionsConfig(*native.Generic, c.informers, initializers, c.options.CompletedOptions, 1, resolver, authInfo)
	if err != nil {
		return nil, fmt.Errorf("configuring custom resources: %w", err)
	}
	crds.GenericConfig.RESTOptionsGetter = c.options.room.Storage(watchprogress.Stores(crds.GenericConfig.RESTOptionsGetter))
	crds.ExtraConfig.CRDRESTOptionsGetter = c.options.room.Storage(watchprogress.Stores(crds.ExtraConfig.CRDRESTOptionsGetter))
	aggregation, err := controlplaneapiserver.CreateAggregatorConfig(*native.Generic, c.options.CompletedOptions, c.informers, resolver, native.ProxyTransport, native.Extra.PeerProxy, initializers)
	if err != nil {
		return nil, fmt.Errorf("configuring aggregation: %w", err)
	}
	aggregation.GenericConfig.RESTOptionsGetter = c.options.room.Storage(watchprogress.Stores(aggregation.GenericConfig.RESTOptionsGetter))
	c.options.services.addInformers(c.informers)
	extensionBase := c.base(native.Generic)

	notFound := notfoundhandler.New(native.Generic.Serializer, genericapifilters.NoMuxAndDiscoveryIncompleteKey)
	crdServer, err := crds.Complete().New(genericapiserver.NewEmptyDelegateWithCustomHandler(notFound))
	if err != nil {
		return nil, fmt.Errorf("making the server of custom resources: %w", err)
	}
	next := crdServer.GenericAPIServer
	if c.ext.New != nil {
		if next, err = c.ext.New(extensionBase, next); err != nil {
			return nil, fmt.Errorf("making the server of the extension: %w", err)
		}
	}
	nativeServer, err := c.nativeServer(native.Complete(), next)
	if err != nil {
		return nil, err
	}
	priorities := controlplaneapiserver.DefaultGenericAPIServicePriorities()
	for groupVersion, priority := range c.ext.GroupVersions {
		priorities[groupVersion] = controlplaneapiserver.APIServicePriority{Group: priority, Version: 15}
	}
	crdsEnabled := crds.GenericConfig.MergedResourceConfig.ResourceEnabled(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"))
	aggregator, err := controlplaneapiserver.CreateAggregatorServer(aggregation.Complete(), nativeServer, crdServer.Informers.Apiextensions().V1().CustomResourceDefinitions(), crdsEnabled, priorities)
	if err != nil {
		return nil, fmt.Errorf("making the aggregator: %w", err)
	}
	return aggregator, nil
}

// base copies what the extension shares; hooks stay with the control plane, for
// each may be added to one server only.
func (c *chain) base(generic *genericapiserver.Config) Base {
	config := *generic
	config.PostStartHooks = map[string]genericapiserver.PostStartHookConfigEntry{}
	config.RESTOptionsGetter = nil
	etcd := *c.options.Etcd
	etcd.SkipHealthEndpoints = true // the control plane's own checks cover the store
	return Base{Config: config, Etcd: etcd, Room: c.options.room, Informers: c.informers}
}

func (c *chain) nativeServer(config controlplaneapiserver.CompletedConfig, next *genericapiserver.GenericAPIServer) (*genericapiserver.GenericAPIServer, error) {
	server, err := config.New("weir", next)
	if err != nil {
		return nil, fmt.Errorf("making the control plane: %w", err)
	}
	client, err := kubernetes.NewForConfig(config.Generic.LoopbackClientConfig)
	if err != nil {
		return nil, fmt.Errorf("making the control plane's client: %w", err)
	}
	providers, err := config.GenericStorageProviders(client.Discovery())
	if err != nil {
		return nil, fmt.Errorf("listing the control plane's resources: %w", err)
	}
	if err := server.InstallAPIs(withLocalResources(providers)...); err != nil {
		return nil, fmt.Errorf("installing the control plane's resources: %w", err)
	}
	return server.GenericAPIServer, nil
}

// noteCredentials keeps the credentials of requests to Weir's own group: authentication takes
// them away, and a password for the registry must not outlive them. A server elsewhere gets their end.
func noteCredentials(generic *genericapiserver.Config, elsewhere bool) {
	const path = "/apis/" + weirv1alpha1.GroupName + "/"
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
		if elsewhere {
			handler = credential.Forward(handler, path)
		}
		return credential.Note(build(handler, c), path)
	}
}

// limitConnections bounds the connections of the API's listener.
func limitConnections(generic *genericapiserver.Config, limit int) {
	l := inbound.Limit(generic.SecureServing.Listener, "api", limit)
	generic.SecureServing.Listener = l
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
		return l.Handler(build(handler, c))
	}
}

func anyOf(checks ...apirequest.LongRunningRequestCheck) apirequest.LongRunningRequestCheck {
	return func(r *http.Request, info *apirequest.RequestInfo) bool {
		for _, check := range checks {
			if check != nil && check(r, info) {
				return true
			}
		}
		return false
	}
}
