package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	controlplaneoptions "k8s.io/kubernetes/pkg/controlplane/apiserver/options"
	_ "k8s.io/kubernetes/pkg/features" // registers Kubernetes' feature gates
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
	tokens "k8s.io/kubernetes/pkg/serviceaccount"
	certapproval "k8s.io/kubernetes/plugin/pkg/admission/certificates/approval"
	certsigning "k8s.io/kubernetes/plugin/pkg/admission/certificates/signing"
	certsubjectrestriction "k8s.io/kubernetes/plugin/pkg/admission/certificates/subjectrestriction"
	"k8s.io/kubernetes/plugin/pkg/admission/gc"
	"k8s.io/kubernetes/plugin/pkg/admission/serviceaccount"

	"weir.dev/weir/internal/etcdroom"
)

const (
	// DefaultPort is where the API is served unless --secure-port says otherwise.
	DefaultPort = 8443
	// KubeconfigName is the admin's kubeconfig below the data folder.
	KubeconfigName = "admin.kubeconfig"

	frontProxyName = "weir-front-proxy"
	tokenIssuer    = "https://kubernetes.default.svc"
	pkiFolder      = "pki"

	// eventTTL keeps the Events of a night until the morning. Weir writes some 20 a second at most,
	// of about 1 KB, so that they take a small part of etcd's quota.
	eventTTL = 12 * time.Hour
)

// Options are the settings of the control plane: Kubernetes' own flags, with
// defaults for one process that keeps everything below DataDir.
type Options struct {
	// DataDir holds the keys and certificates and the admin's kubeconfig.
	DataDir string
	// MaxConnections bounds the connections of clients to the API; 0 is without bound.
	MaxConnections int
	// ControlPlane are the flags of a Kubernetes API server, as it documents them.
	ControlPlane *controlplaneoptions.Options
	// Room reports whether etcd has room for more.
	Room etcdroom.Room
	// Services are the addresses, host:port, of API servers elsewhere, by NAMESPACE/NAME as
	// APIServices name their Service: this host has no Services.
	Services map[string]string
}

func init() {
	// Feature gates are global to Kubernetes' code and can be added once.
	utilruntime.Must(logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate))
}

// watchGrace is the time in which all watches are closed when the server stops.
const watchGrace = time.Second

// NewOptions returns the defaults.
func NewOptions() *Options {
	cp := controlplaneoptions.NewOptions()
	cp.SecureServing.BindAddress = net.IPv4(127, 0, 0, 1)
	cp.SecureServing.BindPort = DefaultPort
	cp.SecureServing.Required = false // 0 takes a free port
	cp.Admission.GenericAdmission.DefaultOffPlugins = pluginsOff()
	cp.Authorization.Modes = []string{"RBAC"}
	cp.Authentication.ServiceAccounts.OptionalTokenGetter = newBoundObjects
	cp.Authentication.ServiceAccounts.Issuers = []string{tokenIssuer}
	cp.SystemNamespaces = []string{"kube-system", "kube-public", "default", SharedNamespace}
	cp.GenericServerRunOptions.ShutdownDelayDuration = 0
	// Watches would otherwise hold up the end for as long as a request may take, a minute. Imports
	// in flight have their own time.
	cp.GenericServerRunOptions.ShutdownWatchTerminationGracePeriod = watchGrace
	cp.EventTTL = eventTTL
	return &Options{DataDir: "weir-data", ControlPlane: cp}
}

// AccountIssuers are the issuers of the tokens of service accounts, tokens that are kept in Secrets
// included. No authentication configuration can name one of these.
func (o *Options) AccountIssuers() []string {
	return append(slices.Clone(o.ControlPlane.Authentication.ServiceAccounts.Issuers), tokens.LegacyIssuer)
}

// pluginsOff turns off the admission plugins that guard what this host does not
// have: nodes, pods, volumes, ingresses.
func pluginsOff() sets.Set[string] {
	on := sets.New(
		lifecycle.PluginName,
		serviceaccount.PluginName,
		gc.PluginName,
		mutatingwebhook.PluginName,
		validatingwebhook.PluginName,
		resourcequota.PluginName,
		certapproval.PluginName,
		certsigning.PluginName,
		certsubjectrestriction.PluginName,
		validatingadmissionpolicy.PluginName,
		mutatingadmissionpolicy.PluginName,
	)
	return sets.New(kubeoptions.AllOrderedPlugins...).Difference(on)
}

// AddFlags adds Kubernetes' flags under its own names.
func (o *Options) AddFlags(fss *cliflag.NamedFlagSets) {
	o.ControlPlane.AddFlags(fss)
	fss.FlagSet("weir").StringToStringVar(&o.Services, "aggregated-service", o.Services, "Address of an API server elsewhere, NAMESPACE/NAME=HOST:PORT, for APIServices that name this Service. Services are not served here. May be repeated.")
	serving := fss.FlagSet("secure serving")
	serving.Lookup("bind-address").Usage = "The IP address on which the API is served. 0.0.0.0 or :: is all interfaces."
	serving.Lookup("secure-port").Usage = "The port on which the API is served over HTTPS. 0 takes a free one, which " + KubeconfigName + " names."
}

// Completed are options with nothing left to decide: the port is open, the keys
// are on disk. Only [Options.Complete] makes them.
type Completed struct {
	controlplaneoptions.CompletedOptions
	dataDir string
	pki     pki
	bind    net.IP
	server  string
	// tlsName is the server name in admin.kubeconfig for Weir's own certificate, "" where
	// it gets that anyway.
	tlsName string
	serving servingCertificates
	room    etcdroom.Room
	// services are those of the options.
	services services
	// maxConnections is that of the options.
	maxConnections int
}

// Complete opens the port, makes the keys and certificates that are missing,
// and writes the admin's kubeconfig.
func (o *Options) Complete(ctx context.Context) (*Completed, error) {
	cp := o.ControlPlane
	if err := listen(cp); err != nil {
		return nil, err
	}
	address := cp.SecureServing.Listener.Addr().(*net.TCPAddr)
	cp.SecureServing.BindAddress, cp.SecureServing.BindPort = address.IP, address.Port
	p := pki{dir: filepath.Join(o.DataDir, pkiFolder)}
	if err := p.ensure(servingNames(address.IP)); err != nil {
		return nil, errors.Join(err, cp.SecureServing.Listener.Close())
	}
	tlsName, err := o.useKeys(p)
	if err != nil {
		return nil, errors.Join(err, cp.SecureServing.Listener.Close())
	}
	if cp.GenericServerRunOptions.ExternalHost == "" {
		cp.GenericServerRunOptions.ExternalHost = reachableHost(address.IP)
	}
	if advertised := &cp.GenericServerRunOptions.AdvertiseAddress; *advertised == nil || advertised.IsUnspecified() {
		*advertised = advertisedAddress(address.IP)
	}
	completed, err := cp.Complete(ctx, nil, nil)
	if err == nil {
		err = utilerrors.NewAggregate(completed.Validate())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("control plane settings: %w", err), cp.SecureServing.Listener.Close())
	}
	return &Completed{
		CompletedOptions: completed,
		room:             o.Room,
		services:         services(o.Services),
		tlsName:          tlsName,
		dataDir:          o.DataDir,
		pki:              p,
		bind:             address.IP,
		maxConnections:   o.MaxConnections,
		server:           "https://" + net.JoinHostPort(reachableHost(address.IP), strconv.Itoa(address.Port)),
	}, nil
}

// RenewCertificates replaces those that are in the second half of their life, and the
// admin's kubeconfig with them. A server that runs takes them up by itself.
func (c *Completed) RenewCertificates() error {
	if err := c.pki.ensure(servingNames(c.bind)); err != nil {
		return fmt.Errorf("renewing certificates: %w", err)
	}
	c.serving.mu.Lock()
	err := c.ensureServing()
	c.serving.mu.Unlock()
	if err != nil {
		return fmt.Errorf("renewing certificates: %w", err)
	}
	return c.WriteKubeconfig()
}

// Release closes the port. A server that ran has closed it already; this is for one
// that never came to that.
func (c *Completed) Release() {
	_ = c.SecureServing.Listener.Close() // closed before is as good
}

// Server is the base URL under which clients on this machine reach the API.
func (c *Completed) Server() string { return c.server }

// Kubeconfig is the path of the admin's kubeconfig.
func (c *Completed) Kubeconfig() string { return filepath.Join(c.dataDir, KubeconfigName) }

// WriteKubeconfig puts the admin's kubeconfig in place, for the address in use.
func (c *Completed) WriteKubeconfig() error {
	return c.pki.writeKubeconfig(c.Kubeconfig(), c.server, c.tlsName)
}

func listen(cp *controlplaneoptions.Options) error {
	s := cp.SecureServing
	if s.Listener != nil {
		return nil
	}
	where := net.JoinHostPort(s.BindAddress.String(), strconv.Itoa(s.BindPort))
	l, err := net.Listen("tcp", where)
	if err != nil {
		return fmt.Errorf("opening %s for the API (--bind-address, --secure-port): %w", where, err)
	}
	s.Listener = l
	return nil
}

// ownName is a name that Weir's own certificate has and no other certificate needs.
const ownName = "kubernetes.default.svc"

// useKeys points every flag that was left empty at the files of p. tlsName is the name under
// which the server shows Weir's own certificate where it has another one beside it.
func (o *Options) useKeys(p pki) (tlsName string, err error) {
	cp := o.ControlPlane
	setDefault := func(field *string, name string) {
		if *field == "" {
			*field = p.path(name)
		}
	}
	certKey := &cp.SecureServing.ServerCert.CertKey
	own := genericoptions.CertKey{CertFile: p.path("apiserver.crt"), KeyFile: p.path("apiserver.key")}
	if certKey.CertFile == "" && certKey.KeyFile == "" {
		*certKey = own
	} else {
		// The admin's kubeconfig goes on to work. By address, which asks for no name, the other
		// certificate is shown, unless the address is loopback, for which there is none.
		tlsName = ownName
		names := []string{ownName}
		if host := reachableHost(cp.SecureServing.BindAddress); net.ParseIP(host).IsLoopback() {
			names = append(names, host)
		}
		cp.SecureServing.SNICertKeys = append(cp.SecureServing.SNICertKeys, cliflag.NamedCertKey{Names: names, CertFile: own.CertFile, KeyFile: own.KeyFile})
	}
	if err := p.trustOwnClients(&cp.Authentication.ClientCert.ClientCA); err != nil {
		return "", err
	}
	setDefault(&cp.ServiceAccountSigningKeyFile, "service-account.key")
	if len(cp.Authentication.ServiceAccounts.KeyFiles) == 0 {
		cp.Authentication.ServiceAccounts.KeyFiles = []string{cp.ServiceAccountSigningKeyFile}
	}
	if requestHeader := cp.Authentication.RequestHeader; requestHeader.ClientCAFile == "" {
		requestHeader.ClientCAFile = p.path("front-proxy-ca.crt")
		requestHeader.AllowedNames = []string{frontProxyName}
		requestHeader.UsernameHeaders = []string{"X-Remote-User"}
		requestHeader.UIDHeaders = []string{"X-Remote-Uid"}
		requestHeader.GroupHeaders = []string{"X-Remote-Group"}
		requestHeader.ExtraHeaderPrefixes = []string{"X-Remote-Extra-"}
	}
	if cp.ProxyClientCertFile == "" && cp.ProxyClientKeyFile == "" {
		cp.ProxyClientCertFile, cp.ProxyClientKeyFile = p.path("front-proxy-client.crt"), p.path("front-proxy-client.key")
	}
	return tlsName, nil
}

// servingNames are the names and addresses a client may use for this server.
func servingNames(bind net.IP) ([]string, []net.IP) {
	names := []string{"localhost", "kubernetes", "kubernetes.default", ownName}
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
	}
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if !bind.IsUnspecified() && !bind.IsLoopback() {
		return names, append(ips, bind)
	}
	if bind.IsLoopback() {
		if !bind.Equal(ips[0]) && !bind.Equal(ips[1]) {
			ips = append(ips, bind)
		}
		return names, ips
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return names, ips // loopback still works
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			ips = append(ips, n.IP)
		}
	}
	return names, ips
}

// advertisedAddress is the address to tell clients elsewhere. Kubernetes' own default
// is that of the default route, and an error on a machine without a network.
func advertisedAddress(bind net.IP) net.IP {
	if !bind.IsUnspecified() {
		return bind
	}
	if ip, err := utilnet.ResolveBindAddress(bind); err == nil {
		return ip
	}
	return net.IPv4(127, 0, 0, 1)
}

// reachableHost is the address to tell clients on this machine.
func reachableHost(bind net.IP) string {
	if bind.IsUnspecified() {
		return "127.0.0.1"
	}
	return bind.String()
}
