package registryserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	cliflag "k8s.io/component-base/cli/flag"

	"weir.dev/weir/internal/inbound"
	"weir.dev/weir/internal/ociregistry/accesslog"
)

// DefaultPort is where the registry is served unless --registry-port says
// otherwise.
const DefaultPort = 5000

// Options are the flags of the integrated registry.
type Options struct {
	// Enabled is false for an API without a registry.
	Enabled bool
	// BindAddress and Port are where it listens; port 0 takes a free one.
	BindAddress net.IP
	Port        int
	// CertFile and KeyFile are the certificate to serve with. Without one, loopback is
	// served over plain HTTP; every other address needs one.
	CertFile, KeyFile string
	// AccessLog is the log of its requests; without a path there is none.
	AccessLog accesslog.Options
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	return &Options{Enabled: true, BindAddress: net.IPv4(127, 0, 0, 1), Port: DefaultPort, AccessLog: accesslog.Options{Format: accesslog.FormatText}}
}

// AddFlags adds the flags.
func (o *Options) AddFlags(fss *cliflag.NamedFlagSets) {
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

// Validate reports every mistake, each with its flag.
func (o *Options) Validate() []error {
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
	errs = append(errs, inbound.CheckCertificate("--registry-tls-cert-file", o.CertFile, "--registry-tls-private-key-file", o.KeyFile))
	if l := o.AccessLog; l.MaxSize < 0 || l.MaxBackups < 0 || l.MaxAge < 0 {
		errs = append(errs, errors.New("--registry-access-log-maxsize, --registry-access-log-maxbackup and --registry-access-log-maxage must not be negative"))
	}
	if f := o.AccessLog.Format; f != accesslog.FormatText && f != accesslog.FormatJSON {
		errs = append(errs, fmt.Errorf("--registry-access-log-format: %q is no format; choose %s or %s", f, accesslog.FormatText, accesslog.FormatJSON))
	}
	return errs
}

// Secure reports whether the registry speaks TLS: credentials go over the wire, so only
// loopback may do without.
func (o *Options) Secure() bool { return o.CertFile != "" || !o.BindAddress.IsLoopback() }

// listen opens the port.
func (o *Options) listen() (net.Listener, error) {
	where := net.JoinHostPort(o.BindAddress.String(), strconv.Itoa(o.Port))
	l, err := net.Listen("tcp", where)
	if err != nil {
		return nil, fmt.Errorf("opening %s for the registry (--registry-bind-address, --registry-port; --registry=false goes without): %w", where, err)
	}
	return l, nil
}

// Addresses are those at which processes on this machine reach the registry.
func (r *Registry) Addresses() []netip.AddrPort {
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
