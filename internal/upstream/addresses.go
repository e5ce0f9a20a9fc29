package upstream

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// AddressPolicy says which addresses are contacted. It is applied to every
// connection after names are resolved, so that a name which points at a
// forbidden address, or changes to one between two look-ups, is refused alike.
//
// Never contacted, unless listed in Allow: unspecified, multicast, broadcast
// and link-local addresses, and the metadata services of clouds.
type AddressPolicy struct {
	// Allow are exceptions: an address inside is always contacted.
	Allow []netip.Prefix
	// DenyLoopback refuses loopback too. The default allows it: registries on
	// the same machine are common on laptops and in tests.
	DenyLoopback bool
	// DenyPrivate refuses private ranges (RFC 1918, RFC 4193) and the shared
	// range of carriers (RFC 6598) too. The default allows them: registries of
	// an organisation live there.
	DenyPrivate bool
}

// metadata are addresses at which clouds serve machine credentials and which
// no other category covers.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("168.63.129.16"),   // Azure's wire server
	netip.MustParseAddr("192.0.0.192"),     // Oracle, older
	netip.MustParseAddr("fd00:ec2::254"),   // AWS over IPv6
	netip.MustParseAddr("fd00:ec2::23"),    // AWS, pod identity
	netip.MustParseAddr("fd20:ce::254"),    // Google over IPv6
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	reserved    = netip.MustParsePrefix("240.0.0.0/4")
	shared      = netip.MustParsePrefix("100.64.0.0/10")
	nat64       = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour   = netip.MustParsePrefix("2002::/16")
)

// forbiddenAddressError is the refusal of an address.
type forbiddenAddressError struct {
	addr netip.Addr
	why  string
}

func (e *forbiddenAddressError) Error() string {
	return fmt.Sprintf("address %s is not contacted: %s", e.addr, e.why)
}

// check returns a *forbiddenAddressError when an address must not be contacted.
func (p AddressPolicy) check(addr netip.Addr) error {
	plain := addr.WithZone("").Unmap()
	for _, allowed := range p.Allow {
		if allowed.Contains(plain) {
			return nil
		}
	}
	if why := p.forbids(plain); why != "" {
		return &forbiddenAddressError{addr: addr, why: why}
	}
	if inner, ok := embeddedIPv4(plain); ok {
		if p.check(inner) != nil {
			return &forbiddenAddressError{addr: addr, why: "it stands for " + inner.String()}
		}
	}
	return nil
}

// forbids names the reason against an address, or "".
func (p AddressPolicy) forbids(a netip.Addr) string {
	switch {
	case a.IsUnspecified() || thisNetwork.Contains(a):
		return "unspecified"
	case a.IsMulticast():
		return "multicast"
	case reserved.Contains(a):
		return "reserved or broadcast"
	case a.IsLinkLocalUnicast():
		return "link-local"
	case p.DenyLoopback && a.IsLoopback():
		return "loopback"
	case p.DenyPrivate && (a.IsPrivate() || shared.Contains(a)):
		return "private"
	}
	for _, m := range metadata {
		if a == m {
			return "metadata service"
		}
	}
	return ""
}

// embeddedIPv4 is the IPv4 address behind a NAT64 or 6to4 one.
func embeddedIPv4(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// checkHost applies the policy to a host that is an IP literal. A proxy
// resolves and dials on its own, so a literal has to be caught before it.
func (p AddressPolicy) checkHost(host string) error {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	return p.check(addr)
}

// control is net.Dialer.Control: it sees the resolved address right before connect.
func (p AddressPolicy) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &net.AddrError{Err: "not an address and port", Addr: address}
	}
	return p.check(ap.Addr())
}
