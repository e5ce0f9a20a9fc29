package host

import (
	"crypto/x509"
	"fmt"
	"net"
	"sync"
)

// servingCertificates are those of other listeners of the process, so that
// they are renewed with the host's own.
type servingCertificates struct {
	mu     sync.Mutex
	leaves []leaf
}

// ServingCertificate makes a certificate for a listener of this process at ip, signed by
// the authority that admin.kubeconfig trusts, and returns the files it is in. names are
// further names and addresses it is reached at, without port. It is renewed with the
// host's own.
func (c *Completed) ServingCertificate(file string, ip net.IP, names ...string) (certFile, keyFile string, err error) {
	dnsNames, ips := servingNames(ip)
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			ips = append(ips, address)
		} else {
			dnsNames = append(dnsNames, name)
		}
	}
	c.serving.mu.Lock()
	defer c.serving.mu.Unlock()
	c.serving.leaves = append(c.serving.leaves, leaf{
		file: file, commonName: "weir-" + file, dnsNames: dnsNames, ips: ips, usage: x509.ExtKeyUsageServerAuth,
	})
	if err := c.ensureServing(); err != nil {
		return "", "", err
	}
	return c.pki.path(file + ".crt"), c.pki.path(file + ".key"), nil
}

// ensureServing makes and renews the certificates of other listeners; the caller holds
// the lock.
func (c *Completed) ensureServing() error {
	if len(c.serving.leaves) == 0 {
		return nil
	}
	ca, err := c.pki.ensureAuthority("ca", "weir-ca")
	if err != nil {
		return err
	}
	for _, l := range c.serving.leaves {
		if err := c.pki.ensureLeaf(ca, l); err != nil {
			return fmt.Errorf("the certificate of %s: %w", l.commonName, err)
		}
	}
	return nil
}
