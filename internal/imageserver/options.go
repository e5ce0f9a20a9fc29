// Package imageserver provides the image API as a component: what it takes from its process, and the
// server of a process of its own, which stands behind the aggregator of any Kubernetes API server.
//
// Such a server delegates: the API server that the aggregator belongs to says who a client is and
// what the client may do. Options are the flags, Complete opens the port and makes a Config of them,
// New builds the server, and Run serves.
package imageserver

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	auditpolicy "k8s.io/apiserver/pkg/audit/policy"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	cliflag "k8s.io/component-base/cli/flag"

	"weir.dev/weir/internal/inbound"
	"weir.dev/weir/internal/yamlhint"
)

const (
	// DefaultPort is where the image API of a process of its own is served.
	DefaultPort = 9443
	// etcdPrefix is that of Kubernetes, so that an image API finds what one in weir serve stored.
	etcdPrefix = "/registry"

	// deniedTTL is how long a right that a client lacks is remembered: one that is granted counts
	// soon. Rights that a client has are remembered for longer, by the library's default.
	deniedTTL = time.Second
	// watchGrace is the time in which all watches are closed when the server stops.
	watchGrace = time.Second
	// streamsPerConnection allow for an aggregator that sends the requests of all clients over one
	// connection.
	streamsPerConnection = 1000
)

// Options are the flags of an image API in a process of its own.
type Options struct {
	Run            *genericoptions.ServerRunOptions
	Etcd           *genericoptions.EtcdOptions
	Serving        *genericoptions.SecureServingOptionsWithLoopback
	Authentication *genericoptions.DelegatingAuthenticationOptions
	Authorization  *genericoptions.DelegatingAuthorizationOptions
	Audit          *genericoptions.AuditOptions
	Features       *genericoptions.FeatureOptions
	Admission      *genericoptions.AdmissionOptions
	Traces         *genericoptions.TracingOptions
	// Service is NAMESPACE/NAME or NAMESPACE/NAME:PORT of the Service by which the aggregator
	// reaches this server. "" leaves its APIServices alone.
	Service string
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	o := &Options{
		Run:            genericoptions.NewServerRunOptions(),
		Etcd:           genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig(etcdPrefix, nil)),
		Serving:        genericoptions.NewSecureServingOptions().WithLoopback(),
		Authentication: genericoptions.NewDelegatingAuthenticationOptions(),
		Authorization:  genericoptions.NewDelegatingAuthorizationOptions().WithAlwaysAllowPaths("/healthz", "/livez", "/readyz"),
		Audit:          genericoptions.NewAuditOptions(),
		Features:       genericoptions.NewFeatureOptions(),
		Admission:      genericoptions.NewAdmissionOptions(),
		Traces:         genericoptions.NewTracingOptions(),
	}
	o.Run.ShutdownWatchTerminationGracePeriod = watchGrace
	o.Serving.BindPort = DefaultPort
	o.Serving.HTTP2MaxStreamsPerConnection = streamsPerConnection
	o.Serving.ServerCert.CertDirectory, o.Serving.ServerCert.PairName = "", "weir-apiserver" // in memory
	o.Authorization.DenyCacheTTL = deniedTTL
	resourcequota.Register(o.Admission.Plugins)
	o.Admission.RecommendedPluginOrder = append(o.Admission.RecommendedPluginOrder, resourcequota.PluginName)
	return o
}

// AddFlags adds the flags under the names that they have in all Kubernetes API servers.
func (o *Options) AddFlags(fss *cliflag.NamedFlagSets) {
	fss.FlagSet("weir").StringVar(&o.Service, "apiservice", o.Service, "Register the APIs with the aggregator, as APIServices of this Service: NAMESPACE/NAME[:PORT]. They are kept up to date with the certificate of this server.")
	o.Etcd.AddFlags(fss.FlagSet("etcd"))
	o.Serving.AddFlags(fss.FlagSet("secure serving"))
	o.Audit.AddFlags(fss.FlagSet("auditing"))
	o.Authentication.AddFlags(fss.FlagSet("authentication"))
	o.Authorization.AddFlags(fss.FlagSet("authorization"))
	o.Admission.AddFlags(fss.FlagSet("admission"))
	o.Features.AddFlags(fss.FlagSet("features"))
	o.Traces.AddFlags(fss.FlagSet("traces"))
	o.Run.AddUniversalFlags(fss.FlagSet("generic"))
}

// Validate reports all mistakes.
func (o *Options) Validate() error {
	var errs []error
	for _, validate := range []func() []error{
		o.Run.Validate, o.Etcd.Validate, o.Serving.Validate, o.Authentication.Validate, o.Authorization.Validate,
		o.Audit.Validate, o.Features.Validate, o.Admission.Validate, o.Traces.Validate,
	} {
		errs = append(errs, validate()...)
	}
	serving, transport := o.Serving.ServerCert.CertKey, o.Etcd.StorageConfig.Transport
	errs = append(errs,
		inbound.CheckCertificate("--tls-cert-file", serving.CertFile, "--tls-private-key-file", serving.KeyFile),
		inbound.CheckCertificate("--etcd-certfile", transport.CertFile, "--etcd-keyfile", transport.KeyFile),
		o.validateAudit())
	if o.Service != "" {
		_, err := parseService(o.Service)
		errs = append(errs, err)
	}
	return utilerrors.NewAggregate(errs)
}

// validateAudit requires a policy for an audit log, since nothing is written to it without one.
func (o *Options) validateAudit() error {
	switch {
	case o.Audit.PolicyFile != "":
		if _, err := auditpolicy.LoadPolicyFromFile(o.Audit.PolicyFile); err != nil {
			return fmt.Errorf("--audit-policy-file: %w", yamlhint.Add(err))
		}
	case o.Audit.LogOptions.Path != "" || o.Audit.WebhookOptions.ConfigFile != "":
		return errors.New("--audit-log-path and --audit-webhook-config-file need --audit-policy-file: without a policy nothing is written")
	}
	return nil
}

// service is a port of a Service.
type service struct {
	namespace, name string
	port            int32
}

// parseService parses NAMESPACE/NAME[:PORT]. The port is 443 if none is given.
func parseService(text string) (service, error) {
	rest, port := text, "443"
	if name, after, ok := strings.Cut(text, ":"); ok {
		rest, port = name, after
	}
	namespace, name, ok := strings.Cut(rest, "/")
	number, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || number == 0 || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1035Label(name)) > 0 {
		return service{}, fmt.Errorf("--apiservice %q is not NAMESPACE/NAME or NAMESPACE/NAME:PORT of a Service", text)
	}
	return service{namespace, name, int32(number)}, nil
}

// names are those of the Service in the cluster's DNS. The aggregator verifies the last of them.
func (s service) names() []string {
	return []string{s.name, s.name + "." + s.namespace, s.name + "." + s.namespace + ".svc"}
}

// listen opens the port. Port 0 takes a free one.
func (o *Options) listen() error {
	if o.Serving.Listener != nil {
		return nil
	}
	where := net.JoinHostPort(o.Serving.BindAddress.String(), strconv.Itoa(o.Serving.BindPort))
	l, err := net.Listen("tcp", where)
	if err != nil {
		return fmt.Errorf("opening %s for the image API (--bind-address, --secure-port): %w", where, err)
	}
	o.Serving.Listener, o.Serving.BindPort = l, l.Addr().(*net.TCPAddr).Port
	return nil
}

// ensureCertificate makes a certificate in memory unless there are files.
func (o *Options) ensureCertificate() error {
	names := []string{"localhost"}
	if o.Service != "" {
		s, err := parseService(o.Service)
		if err != nil {
			return err
		}
		names = append(slices.Clone(s.names()), names...)
	}
	if err := o.Serving.MaybeDefaultWithSelfSignedCerts(names[0], names[1:], []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return fmt.Errorf("making a certificate for the image API: %w", err)
	}
	return nil
}
