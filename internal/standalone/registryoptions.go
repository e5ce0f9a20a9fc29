package standalone

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	cliflag "k8s.io/component-base/cli/flag"

	"weir.dev/weir/internal/host"
	"weir.dev/weir/internal/ociregistry/accesslog"
)

// DefaultRegistryPort is where the registry is served unless --registry-port says
// otherwise.
const DefaultRegistryPort = 5000

// RegistryOptions are the flags of the integrated registry.
type RegistryOptions struct {
	// Enabled is false for an API without a registry.
	Enabled bool
	// BindAddress and Port are where it listens; port 0 takes a free one.
	BindAddress net.IP
	Port        int
	// CertFile and KeyFile are the certificate to serve with. Without one, loopback is
	// served over plain HTTP and every other address with a certificate of the data
	// folder's own authority.
	CertFile, KeyFile string
	// AccessLog is the log of its requests; without a path there is none.
	AccessLog accesslog.Options
}

// NewRegistryOptions returns the defaults.
func NewRegistryOptions() *RegistryOptions {
	return &RegistryOptions{Enabled: true, BindAddress: net.IPv4(127, 0, 0, 1), Port: DefaultRegistryPort, AccessLog: accesslog.Options{Format: accesslog.FormatText}}
}

// AddFlags adds the flags.
func (o *RegistryOptions) AddFlags(fss *cliflag.NamedFlagSets) {
	fs := fss.FlagSet("registry")
	fs.BoolVar(&o.Enabled, "registry", o.Enabled, "Serve the integrated registry. Without it, streams only point elsewhere.")
	fs.IPVar(&o.BindAddress, "registry-bind-address", o.BindAddress, "The IP address on which the registry is served. 0.0.0.0 or :: is all interfaces. Plain HTTP on loopback, TLS on all others.")
	fs.IntVar(&o.Port, "registry-port", o.Port, "The port on which the registry is served. 0 takes a free one.")
	fs.StringVar(&o.CertFile, "registry-tls-cert-file", o.CertFile, "Certificate (PEM, with its chain) that the registry serves with. Without one, loopback is served over plain HTTP and every other address with a certificate of Weir's own authority, pki/ca.crt in the data folder.")
	fs.StringVar(&o.KeyFile, "registry-tls-private-key-file", o.KeyFile, "Key of --registry-tls-cert-file.")
	l := &o.AccessLog
	fs.StringVar(&l.Path, "registry-access-log-path", l.Path, "If set, each request to the registry is a line in this file: user, client, repository, digest, status, bytes, duration. '-' means standard out.")
	fs.StringVar(&l.Format, "registry-access-log-format", l.Format, "Format of the registry's access log: 'text' for key=value pairs, 'json' for an object a line.")
	fs.IntVar(&l.MaxAge, "registry-access-log-maxage", l.MaxAge, "The maximum number of days to keep rotated files of the registry's access log. 0 is without bound.")
	fs.IntVar(&l.MaxBackups, "registry-access-log-maxbackup", l.MaxBackups, "The maximum number of rotated files of the registry's access log to keep. 0 is without bound.")
	fs.IntVar(&l.MaxSize, "registry-access-log-maxsize", l.MaxSize, "The size in megabytes at which the registry's access log is rotated. 0 is 100.")
}

// validate reports every mistake, each with its flag.
func (o *RegistryOptions) validate() []error {
	if !o.Enabled {
		return nil
	}
	var errs []error
	if o.Port < 0 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("--registry-port: %d is no port; 0 takes a free one", o.Port))
	}
	if o.BindAddress == nil {
		errs = append(errs, errors.New("--registry-bind-address must be an IP address"))
	}
	errs = append(errs, host.CheckCertificate("--registry-tls-cert-file", o.CertFile, "--registry-tls-private-key-file", o.KeyFile))
	if l := o.AccessLog; l.MaxSize < 0 || l.MaxBackups < 0 || l.MaxAge < 0 {
		errs = append(errs, errors.New("--registry-access-log-maxsize, --registry-access-log-maxbackup and --registry-access-log-maxage must not be negative"))
	}
	if f := o.AccessLog.Format; f != accesslog.FormatText && f != accesslog.FormatJSON {
		errs = append(errs, fmt.Errorf("--registry-access-log-format: %q is no format; choose %s or %s", f, accesslog.FormatText, accesslog.FormatJSON))
	}
	return errs
}

// secure tells whether the registry speaks TLS: credentials go over the wire, so only
// loopback may do without.
func (o *RegistryOptions) secure() bool { return o.CertFile != "" || !o.BindAddress.IsLoopback() }

// listen opens the port.
func (o *RegistryOptions) listen() (net.Listener, error) {
	where := net.JoinHostPort(o.BindAddress.String(), strconv.Itoa(o.Port))
	l, err := net.Listen("tcp", where)
	if err != nil {
		return nil, fmt.Errorf("opening %s for the registry (--registry-bind-address, --registry-port; --registry=false goes without): %w", where, err)
	}
	return l, nil
}

// addresses are those at which processes on this machine reach the registry.
func (r *registry) addresses() []netip.AddrPort {
	if r == nil {
		return nil
	}
	at := r.listener.Addr().(*net.TCPAddr).AddrPort()
	if !at.Addr().IsUnspecified() {
		return []netip.AddrPort{netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}
	}
	return []netip.AddrPort{
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()),
		netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()),
	}
}

// reachable is host:port of a listener as clients on this machine reach it.
func reachable(l net.Listener) string {
	address := l.Addr().(*net.TCPAddr)
	host := address.IP.String()
	if address.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(address.Port))
}
