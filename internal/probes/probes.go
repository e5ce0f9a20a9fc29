// Package probes provides the port on which a component that serves no API shows its health and
// metrics: /livez, /readyz and /healthz to all, /metrics to whom the API server allows it, as with
// Kubernetes' own controllers.
package probes

import (
	"context"
	"fmt"
	"net"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/server/mux"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/controller-manager/app"
)

// Options are the flags of the port.
type Options struct {
	Serving        *genericoptions.SecureServingOptionsWithLoopback
	Authentication *genericoptions.DelegatingAuthenticationOptions
	Authorization  *genericoptions.DelegatingAuthorizationOptions
}

// NewOptions serves on a port of all addresses, with a certificate made at the start unless one is
// given. Port 0 serves nothing.
func NewOptions(port int) *Options {
	o := &Options{
		Serving:        genericoptions.NewSecureServingOptions().WithLoopback(),
		Authentication: genericoptions.NewDelegatingAuthenticationOptions(),
		Authorization:  genericoptions.NewDelegatingAuthorizationOptions().WithAlwaysAllowPaths("/healthz", "/livez", "/readyz"),
	}
	o.Serving.BindPort = port
	o.Serving.ServerCert.CertDirectory, o.Serving.ServerCert.PairName = "", "weir" // in memory
	o.Authentication.RemoteKubeConfigFileOptional = true
	o.Authorization.RemoteKubeConfigFileOptional = true
	return o
}

// AddFlags adds the flags.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	o.Serving.AddFlags(fs)
	o.Authentication.AddFlags(fs)
	o.Authorization.AddFlags(fs)
}

// Validate reports all mistakes.
func (o *Options) Validate() error {
	return utilerrors.NewAggregate(append(append(o.Serving.Validate(), o.Authentication.Validate()...), o.Authorization.Validate()...))
}

// Server is the port, opened.
type Server struct {
	serving        *genericapiserver.SecureServingInfo
	authentication genericapiserver.AuthenticationInfo
	authorization  genericapiserver.AuthorizationInfo
}

// Open opens the port. kubeconfig is that of the API server that authorizes readers of metrics,
// unless the options have others; "" is the pod's own.
func (o *Options) Open(kubeconfig string) (*Server, error) {
	if o.Authentication.RemoteKubeConfigFile == "" {
		o.Authentication.RemoteKubeConfigFile = kubeconfig
	}
	if o.Authorization.RemoteKubeConfigFile == "" {
		o.Authorization.RemoteKubeConfigFile = kubeconfig
	}
	if err := o.Serving.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, fmt.Errorf("making a certificate for probes: %w", err)
	}
	s := &Server{}
	if err := o.Serving.ApplyTo(&s.serving, nil); err != nil {
		return nil, fmt.Errorf("opening the port of probes (--bind-address, --secure-port): %w", err)
	}
	if s.serving == nil {
		return s, nil
	}
	if err := o.Authentication.ApplyTo(&s.authentication, s.serving, nil); err != nil {
		return nil, fmt.Errorf("configuring who may read metrics: %w", err)
	}
	if err := o.Authorization.ApplyTo(&s.authorization); err != nil {
		return nil, fmt.Errorf("configuring who may read metrics: %w", err)
	}
	return s, nil
}

// Run serves until ctx ends. Every check counts for /readyz and /healthz.
func (s *Server) Run(ctx context.Context, checks ...healthz.HealthChecker) error {
	if s.serving == nil {
		<-ctx.Done()
		return nil
	}
	m := mux.NewPathRecorderMux("weir-probes")
	healthz.InstallHandler(m, append(checks, healthz.PingHealthz)...)
	healthz.InstallReadyzHandler(m, append(checks, healthz.PingHealthz)...)
	healthz.InstallLivezHandler(m, healthz.PingHealthz)
	m.Handle("/metrics", legacyregistry.Handler())
	stopped, _, err := s.serving.Serve(app.BuildHandlerChain(m, &s.authorization, &s.authentication), 0, ctx.Done())
	if err != nil {
		return fmt.Errorf("serving probes: %w", err)
	}
	<-stopped
	return nil
}
