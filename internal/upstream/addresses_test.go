package upstream

import (
	"net/netip"
	"testing"
)

func TestAddressPolicy(t *testing.T) {
	strict := addressPolicy{
		denyLoopback: true, denyPrivate: true,
		allow:      []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("169.254.169.254/32")},
		allowPorts: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5000")},
	}
	for _, policy := range []struct {
		name             string
		policy           addressPolicy
		allowed, refused []string
	}{
		{"default", addressPolicy{}, []string{
			"8.8.8.8", "127.0.0.1", "::1", "10.1.2.3", "fd12::1", "2001:db8::1", "100.64.0.1", "198.18.0.1", "192.0.2.1",
			"2606:4700::1111", "64:ff9b::808:808", "64:ff9b:1::808:808", "2002:808:808::1", "::8.8.8.8", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8",
			"2001:0:808:808::f7f7:f7f7", "2606:4700::5efe:808:808",
		}, []string{
			"169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fec0::a9fe:a9fe", "fec0::1", "febf::1", "feff::1",
			"100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:c1::a9fe:a9fe",
			"0.0.0.0", "::", "0.1.2.3", "224.0.0.1", "239.1.2.3", "ff02::1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "100::1", "5f00::1",
			// Further forms of 169.254.169.254.
			"::ffff:169.254.169.254", "::169.254.169.254", "::ffff:0:169.254.169.254", "64:ff9b::a9fe:a9fe",
			"64:ff9b:1::a9fe:a9fe", "64:ff9b:1:0:a9:fea9:fe00:0", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:a9fe:a9:fe00::",
			"2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::f7f7:f7f7", "2001:0:808:808::5601:5601",
			"2606:4700::5efe:a9fe:a9fe", "2606:4700::200:5efe:a9fe:a9fe",
			"64:ff9b::", "64:ff9b:1::", "64:ff9b::e000:1",
		}},
		{"strict", strict, []string{"10.1.2.3", "169.254.169.254", "8.8.8.8", "64:ff9b::a01:203", "::ffff:10.1.2.3"}, []string{
			"127.0.0.1", "127.8.9.1", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::",
			"2001:0:808:808::80ff:fffe", "10.2.0.1", "172.31.0.1", "192.168.1.1", "::ffff:0:192.168.1.1", "100.64.0.1", "198.19.255.255", "fd12::1",
			"169.254.169.253",
		}},
	} {
		t.Run(policy.name, func(t *testing.T) {
			for _, a := range policy.allowed {
				if err := policy.policy.check(netip.AddrPortFrom(netip.MustParseAddr(a), 443)); err != nil {
					t.Errorf("%s: %v", a, err)
				}
			}
			for _, a := range policy.refused {
				if policy.policy.check(netip.AddrPortFrom(netip.MustParseAddr(a), 443)) == nil {
					t.Errorf("%s is contacted", a)
				}
			}
		})
	}
	for _, own := range []string{"127.0.0.1:5000", "[::ffff:127.0.0.1]:5000"} {
		if err := strict.check(netip.MustParseAddrPort(own)); err != nil {
			t.Errorf("the process's own registry at %s: %v", own, err)
		}
	}
}
