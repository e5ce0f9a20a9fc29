package imageserver

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/admission"
	admissioninitializer "k8s.io/apiserver/pkg/admission/initializer"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	apiregistrationclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/spec3"

	"weir.dev/weir/internal/apiserver"
	"weir.dev/weir/internal/auth/credential"
	"weir.dev/weir/internal/etcdroom"
	"weir.dev/weir/internal/inbound"
	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// Config is a configuration with nothing left to decide. Options.Complete makes it.
type Config struct {
	options   *Options
	generic   *genericapiserver.Config
	client    kubernetes.Interface
	informers informers.SharedInformerFactory
	host      *rest.Config
	room      etcdroom.Room
}

// Deployment says where an image API of its own process runs.
type Deployment struct {
	// Host configures a client of the API server that the aggregator belongs to, and Kubeconfig is
	// the file that it came from, "" for the pod's service account.
	Host       *rest.Config
	Kubeconfig string
	// Room reports whether etcd has room for more.
	Room etcdroom.Room
	// MaxConnections bounds the connections of clients.
	MaxConnections int
}

// Complete opens the port and reads what the options and the API server of the deployment give.
func (o *Options) Complete(d Deployment) (*Config, error) {
	if o.Authentication.RemoteKubeConfigFile == "" {
		o.Authentication.RemoteKubeConfigFile = d.Kubeconfig
	}
	if o.Authorization.RemoteKubeConfigFile == "" {
		o.Authorization.RemoteKubeConfigFile = d.Kubeconfig
	}
	client, err := kubernetes.NewForConfig(d.Host)
	if err != nil {
		return nil, fmt.Errorf("making the image API's client of the host: %w", err)
	}
	c := &Config{
		options: o, generic: genericapiserver.NewConfig(serializer.CodecFactory{}), client: client, host: d.Host, room: d.Room,
		informers: informers.NewSharedInformerFactory(client, 0),
	}
	if err := o.listen(); err != nil {
		return nil, err
	}
	if err := c.apply(d); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// apply applies the options to the generic configuration. Each may need those before it.
func (c *Config) apply(d Deployment) error {
	o, g := c.options, c.generic
	if o.Run.ExternalHost == "" {
		o.Run.ExternalHost = reachable(o.Serving.Listener)
	}
	for _, step := range []struct {
		name  string
		apply func() error
	}{
		{"the certificate", o.ensureCertificate},
		{"the port", func() error { return o.Serving.ApplyToConfig(g) }},
		{"the server", func() error { return o.Run.ApplyTo(g) }},
		{"traces", func() error { return o.Traces.ApplyTo(nil, g) }},
		{"authentication, which the API server does", c.applyAuthentication},
		{"authorization, which the API server does", func() error { return o.Authorization.ApplyTo(&g.Authorization) }},
		{"auditing", func() error { return o.Audit.ApplyTo(g) }},
		{"priority and fairness", func() error { return o.Features.ApplyTo(g, c.client, c.informers) }},
		{"admission", c.applyAdmission},
	} {
		if err := step.apply(); err != nil {
			return fmt.Errorf("configuring %s: %w", step.name, err)
		}
	}
	g.LongRunningFunc = longRunning(g.LongRunningFunc)
	c.wrapHandlers(d.MaxConnections)
	return nil
}

// applyAuthentication also fills the OpenAPI configurations with the ways to log in, and with them
// the response 401 of every operation.
func (c *Config) applyAuthentication() error {
	g := c.generic
	g.OpenAPIConfig = &openapicommon.Config{}
	if err := c.options.Authentication.ApplyTo(&g.Authentication, g.SecureServing, g.OpenAPIConfig); err != nil {
		return err
	}
	schemes := spec3.SecuritySchemes{}
	for name, scheme := range *g.OpenAPIConfig.SecurityDefinitions {
		schemes[name] = &spec3.SecurityScheme{SecuritySchemeProps: spec3.SecuritySchemeProps{
			Type: scheme.Type, Description: scheme.Description, Name: scheme.Name, In: scheme.In,
		}}
	}
	g.OpenAPIV3Config = &openapicommon.OpenAPIV3Config{SecuritySchemes: schemes}
	return nil
}

func (c *Config) applyAdmission() error {
	client, err := dynamic.NewForConfig(c.host)
	if err != nil {
		return fmt.Errorf("making the client of policies: %w", err)
	}
	evaluators := QuotaEvaluators(nil, func() *rest.Config { return c.generic.LoopbackClientConfig })
	quotas := quotaInitializer{generic.NewConfiguration(evaluators, nil)}
	return c.options.Admission.ApplyTo(c.generic, c.informers, c.client, client, utilfeature.DefaultFeatureGate, c.generic.EffectiveVersion, quotas)
}

// quotaInitializer gives the ResourceQuota plugin the evaluators of the image API. It counts all
// other stored objects by itself.
type quotaInitializer struct{ configuration quota.Configuration }

// Initialize implements admission.PluginInitializer.
func (q quotaInitializer) Initialize(plugin admission.Interface) {
	if wants, ok := plugin.(admissioninitializer.WantsQuotaConfiguration); ok {
		wants.SetQuotaConfiguration(q.configuration)
	}
}

// wrapHandlers keeps the credentials of requests to Weir's own group, which authentication takes
// away, and bounds the connections.
func (c *Config) wrapHandlers(maxConnections int) {
	g := c.generic
	build, limit := g.BuildHandlerChainFunc, func(h http.Handler) http.Handler { return h }
	if maxConnections > 0 {
		l := inbound.Limit(g.SecureServing.Listener, "api", maxConnections)
		g.SecureServing.Listener, limit = l, l.Handler
	}
	g.BuildHandlerChainFunc = func(handler http.Handler, config *genericapiserver.Config) http.Handler {
		return limit(credential.Note(build(handler, config), "/apis/"+weirv1alpha1.GroupName+"/"))
	}
}

func longRunning(others apirequest.LongRunningRequestCheck) apirequest.LongRunningRequestCheck {
	return func(r *http.Request, info *apirequest.RequestInfo) bool {
		return others(r, info) || apiserver.LongRunning(r, info)
	}
}

// Server is an image API that is ready to run.
type Server struct {
	config  *Config
	generic *genericapiserver.GenericAPIServer
}

// New builds the server. Checks count for its /readyz.
func (c *Config) New(p Parts, checks ...healthz.HealthChecker) (*Server, error) {
	api, err := p.APIConfig()
	if err != nil {
		return nil, err
	}
	api.Generic, api.Etcd, api.Storage, api.Informers = *c.generic, *c.options.Etcd, c.room.Storage, c.informers
	server, err := apiserver.New(api, genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	server.AddPostStartHookOrDie("weir-host-informers", func(hook genericapiserver.PostStartHookContext) error {
		c.informers.Start(hook.Done())
		return nil
	})
	if err := server.AddReadyzChecks(checks...); err != nil {
		return nil, fmt.Errorf("adding health checks of the image API: %w", err)
	}
	return &Server{config: c, generic: server}, nil
}

// Run serves until ctx ends, lets requests in flight finish within the bounds of --shutdown-* and
// returns.
func (s *Server) Run(ctx context.Context) error {
	defer s.config.informers.Shutdown()
	if err := s.generic.PrepareRun().RunWithContext(ctx); err != nil {
		return fmt.Errorf("serving the image API: %w", err)
	}
	return nil
}

// Address is where the server listens.
func (s *Server) Address() net.Addr { return s.config.options.Serving.Listener.Addr() }

// RegisterAPIs keeps the APIServices of --apiservice as they should be until ctx ends. Without the
// flag it does nothing.
func (s *Server) RegisterAPIs(ctx context.Context) error {
	if s.config.options.Service == "" {
		return nil
	}
	service, err := parseService(s.config.options.Service)
	if err != nil {
		return err
	}
	client, err := apiregistrationclient.NewForConfig(s.config.host)
	if err != nil {
		return fmt.Errorf("making the client of APIServices: %w", err)
	}
	r := &registration{client: client.APIServices(), service: service, certificate: func() []byte {
		chain, _ := s.generic.SecureServingInfo.Cert.CurrentCertKeyContent()
		return chain
	}}
	r.run(ctx, registrationInterval)
	return nil
}

// Close closes the port of a server that never ran.
func (c *Config) Close() { _ = c.options.Serving.Listener.Close() }

// reachable is the address at which clients on this machine reach a listener.
func reachable(l net.Listener) string {
	address := l.Addr().(*net.TCPAddr)
	host := address.IP
	if host.IsUnspecified() {
		host = net.IPv4(127, 0, 0, 1)
	}
	return host.String()
}
