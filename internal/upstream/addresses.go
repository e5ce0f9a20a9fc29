package upstream

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/settings"
)

// AddressOptions are the addresses that are contacted. They apply to every connection after names
// are resolved, so that a name which points at a forbidden address, or changes to one between two
// look-ups, is refused alike.
//
// Special ranges such as link-local and multicast, and the metadata services of clouds, are never
// contacted unless Allow lists them.
type AddressOptions struct {
	// Allow are exceptions: addresses or CIDR blocks that are always contacted. Default: none.
	Allow []string `json:"allow"`
	// DenyLoopback refuses loopback addresses, but for the integrated registry. Default null:
	// true where the API or the registry is served at another address than loopback.
	DenyLoopback *bool `json:"denyLoopback"`
	// DenyPrivate refuses private addresses (RFC 1918, RFC 4193, RFC 6598). Default false.
	DenyPrivate bool `json:"denyPrivate"`
	// AllowPorts are exceptions for one port: those of this process's own registry.
	AllowPorts []netip.AddrPort `json:"-"`
}

// policy returns the parsed options, and the mistakes in them at path.
func (o *AddressOptions) policy(path *field.Path) (addressPolicy, field.ErrorList) {
	var c settings.Checks
	p := addressPolicy{allowPorts: o.AllowPorts, denyLoopback: o.DenyLoopback != nil && *o.DenyLoopback, denyPrivate: o.DenyPrivate}
	p.allow = c.Blocks(path.Child("allow"), o.Allow, "169.254.10.0/24")
	return p, c.Errors()
}

// addressPolicy is AddressOptions parsed.
type addressPolicy struct {
	allow                     []netip.Prefix
	allowPorts                []netip.AddrPort
	denyLoopback, denyPrivate bool
}

// metadata are addresses at which clouds serve machine credentials and which
// no other category covers.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"),    // Alibaba
	netip.MustParseAddr("168.63.129.16"),      // Azure's wire server
	netip.MustParseAddr("fd00:ec2::254"),      // AWS over IPv6
	netip.MustParseAddr("fd00:ec2::23"),       // AWS, pod identity
	netip.MustParseAddr("fd20:ce::254"),       // Google over IPv6
	netip.MustParseAddr("fd00:c1::a9fe:a9fe"), // Oracle over IPv6
	netip.MustParseAddr("fd00:42::42"),        // Scaleway over IPv6
}

// reason is why an address is not contacted; "" when it is.
type reason string

// The reasons that a setting can lift, or adds.
const (
	loopback reason = "loopback"
	private  reason = "private"
)

// specialRanges are the ranges of IANA's registries of special-purpose addresses
// (RFC 6890) in which a registry is not to be found, or only by permission. What the
// registries call documentation (RFC 5737, RFC 3849, RFC 9637) is left out: networks use it,
// and nothing of worth is there.
var specialRanges = []struct {
	prefix netip.Prefix
	reason reason
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},             // RFC 791, 3.2; RFC 1122, 3.2.1.3
	{netip.MustParsePrefix("10.0.0.0/8"), private},                  // RFC 1918
	{netip.MustParsePrefix("100.64.0.0/10"), private},               // RFC 6598, shared by carriers
	{netip.MustParsePrefix("127.0.0.0/8"), loopback},                // RFC 1122, 3.2.1.3
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},         // RFC 3927
	{netip.MustParsePrefix("172.16.0.0/12"), private},               // RFC 1918
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignment"},  // RFC 6890, 2.1; Oracle's older metadata service
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay"},         // RFC 7526
	{netip.MustParsePrefix("192.168.0.0/16"), private},              // RFC 1918
	{netip.MustParsePrefix("198.18.0.0/15"), private},               // RFC 2544, benchmarks
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},             // RFC 5771
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved or broadcast"}, // RFC 1112, 4; RFC 919
	{netip.MustParsePrefix("::/128"), "unspecified"},                // RFC 4291, 2.5.2
	{netip.MustParsePrefix("::1/128"), loopback},                    // RFC 4291, 2.5.3
	{netip.MustParsePrefix("100::/64"), "discarded"},                // RFC 6666
	{netip.MustParsePrefix("5f00::/16"), "segment identifier"},      // RFC 9602
	{netip.MustParsePrefix("fc00::/7"), private},                    // RFC 4193
	{netip.MustParsePrefix("fe80::/10"), "link-local"},              // RFC 4291, 2.5.6
	{netip.MustParsePrefix("fec0::/10"), "site-local"},              // RFC 3879
	{netip.MustParsePrefix("ff00::/8"), "multicast"},                // RFC 4291, 2.7
}

// embeddings are the ranges of IPv6 whose addresses stand for IPv4 ones, with the places of
// these. Addresses mapped to IPv6 (::ffff:0:0/96, RFC 4291, 2.5.5.2) are unmapped before. A
// network's own prefix for NAT64 (RFC 6052) cannot be distinguished from other addresses.
var embeddings = []struct {
	prefix netip.Prefix
	places []place
}{
	{netip.MustParsePrefix("::/96"), []place{last}},           // RFC 4291, 2.5.5.1: compatible
	{netip.MustParsePrefix("::ffff:0:0:0/96"), []place{last}}, // RFC 2765, 2.1: translated
	{netip.MustParsePrefix("64:ff9b::/96"), []place{last}},    // RFC 6052, 2.1: NAT64
	// RFC 8215: NAT64 within a network, which may choose any of the forms in RFC 6052, 2.2.
	{netip.MustParsePrefix("64:ff9b:1::/48"), []place{{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, last}},
	{netip.MustParsePrefix("2002::/16"), []place{{2, 3, 4, 5}}}, // RFC 3056, 2: 6to4
	// RFC 4380, 4: Teredo's server, and its client with all bits turned over.
	{netip.MustParsePrefix("2001::/32"), []place{{4, 5, 6, 7}, {^12, ^13, ^14, ^15}}},
}

// place are the bytes of an address that make an IPv4 one; ^n is byte n turned over.
type place [4]int

var last = place{12, 13, 14, 15}

func (p place) of(a [16]byte) netip.Addr {
	var inner [4]byte
	for i, n := range p {
		if n < 0 {
			inner[i] = ^a[^n]
		} else {
			inner[i] = a[n]
		}
	}
	return netip.AddrFrom4(inner)
}

// forbiddenAddressError is the refusal of an address.
type forbiddenAddressError struct {
	addr netip.Addr
	why  reason
}

// Error does not have the address: what a name resolves to within the server's network is
// not for everyone who can import.
func (e *forbiddenAddressError) Error() string {
	text := fmt.Sprintf("the registry's address is not contacted: %s", e.why)
	switch e.why {
	case loopback:
		return text + " (imports.addresses.denyLoopback in the server's configuration)"
	case private:
		return text + " (imports.addresses.denyPrivate in the server's configuration)"
	}
	return text + " (imports.addresses.allow in the server's configuration makes exceptions)"
}

// check returns a *forbiddenAddressError when an address must not be contacted.
func (p addressPolicy) check(at netip.AddrPort) error {
	plain := netip.AddrPortFrom(at.Addr().WithZone("").Unmap(), at.Port())
	if slices.Contains(p.allowPorts, plain) {
		return nil
	}
	if why := p.forbids(plain.Addr()); why != "" {
		return &forbiddenAddressError{addr: at.Addr(), why: why}
	}
	return nil
}

// forbids is the reason against an address, or against one of the IPv4 addresses that it
// may stand for.
func (p addressPolicy) forbids(a netip.Addr) reason {
	if slices.ContainsFunc(p.allow, func(allowed netip.Prefix) bool { return allowed.Contains(a) }) {
		return ""
	}
	if why := p.special(a); why != "" {
		return why
	}
	for _, inner := range embeddedIPv4(a) {
		if why := p.forbids(inner); why != "" {
			return why
		}
	}
	return ""
}

func (p addressPolicy) special(a netip.Addr) reason {
	if slices.Contains(metadata, a) {
		return "metadata service"
	}
	for _, s := range specialRanges {
		if s.prefix.Contains(a) && (s.reason != loopback || p.denyLoopback) && (s.reason != private || p.denyPrivate) {
			return s.reason
		}
	}
	return ""
}

// embeddedIPv4 are the IPv4 addresses that an IPv6 one may stand for.
func embeddedIPv4(a netip.Addr) []netip.Addr {
	if !a.Is6() || a.IsLoopback() {
		return nil
	}
	var inner []netip.Addr
	bytes := a.As16()
	for _, e := range embeddings {
		if e.prefix.Contains(a) {
			for _, place := range e.places {
				inner = append(inner, place.of(bytes))
			}
		}
	}
	// RFC 5214, 6.1: ISATAP, in the interface identifier below any prefix.
	if bytes[8]&^2 == 0 && bytes[9] == 0 && bytes[10] == 0x5e && bytes[11] == 0xfe {
		inner = append(inner, last.of(bytes))
	}
	// Of several places where an address may be, those without one read 0.0.0.0/8.
	if used := slices.DeleteFunc(slices.Clone(inner), func(v4 netip.Addr) bool { return v4.As4()[0] == 0 }); len(used) > 0 {
		return used
	}
	return inner
}

// checkURL applies the policy to a host that is an IP literal. A proxy
// resolves and dials on its own, so a literal has to be caught before it.
func (p addressPolicy) checkURL(u *url.URL) error {
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil
	}
	port, _ := strconv.ParseUint(portOf(u), 10, 16)
	return p.check(netip.AddrPortFrom(addr, uint16(port)))
}

// control is net.Dialer.Control: it sees the resolved address right before connect.
func (p addressPolicy) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &net.AddrError{Err: "not an address and port", Addr: address}
	}
	return p.check(at)
}
