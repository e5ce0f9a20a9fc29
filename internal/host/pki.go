package host

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	leafLifetime = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made anew.
	renewBefore = leafLifetime / 2
)

// pki is the folder of keys and certificates that a standalone Weir makes on
// its first start and finds again on later ones:
//
//	ca.crt, ca.key                    signs serving and client certificates
//	apiserver.crt, apiserver.key      what the API server shows
//	admin.crt, admin.key              the cluster-admin of admin.kubeconfig
//	front-proxy-ca.crt, .key          signs the aggregator's identity
//	front-proxy-client.crt, .key      the aggregator's identity
//	service-account.key               signs service account tokens
//	client-ca.crt                     ca.crt and what --client-ca-file names
//	registry.crt, registry.key        what the registry shows, where it serves TLS
//
// Leaf certificates that are about to expire, or that no longer name every
// address the server is reached at, are replaced; authorities and the token key
// never are, for everything out there trusts them.
type pki struct{ dir string }

func (p pki) path(name string) string { return filepath.Join(p.dir, name) }

// trustOwnClients has file, the authorities of client certificates, hold this folder's
// own too: other authorities are trusted beside it, or the admin's kubeconfig
// would be worth nothing.
func (p pki) trustOwnClients(file *string) error {
	own := p.path("ca.crt")
	if *file == "" {
		*file = own
		return nil
	}
	var all []byte
	for _, source := range []string{own, *file} {
		data, err := os.ReadFile(source)
		if err != nil {
			return fmt.Errorf("reading authorities of client certificates (--client-ca-file): %w", err)
		}
		all = append(append(all, data...), '\n')
	}
	*file = p.path("client-ca.crt")
	return writeFile(*file, all)
}

// authority is a certificate with the key to sign others.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// leaf says what a certificate is for.
type leaf struct {
	file          string // without .crt and .key
	commonName    string
	organizations []string
	dnsNames      []string
	ips           []net.IP
	usage         x509.ExtKeyUsage
}

// ensure makes what is missing and renews what has to be renewed.
func (p pki) ensure(dnsNames []string, ips []net.IP) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of keys: %w", err)
	}
	ca, err := p.ensureAuthority("ca", "weir-ca")
	if err != nil {
		return err
	}
	frontProxy, err := p.ensureAuthority("front-proxy-ca", "weir-front-proxy-ca")
	if err != nil {
		return err
	}
	if err := p.ensureTokenKey(); err != nil {
		return err
	}
	return errors.Join(
		p.ensureLeaf(ca, leaf{file: "apiserver", commonName: "weir", dnsNames: dnsNames, ips: ips, usage: x509.ExtKeyUsageServerAuth}),
		p.ensureLeaf(ca, leaf{file: "admin", commonName: "weir-admin", organizations: []string{"system:masters"}, usage: x509.ExtKeyUsageClientAuth}),
		p.ensureLeaf(frontProxy, leaf{file: "front-proxy-client", commonName: frontProxyName, usage: x509.ExtKeyUsageClientAuth}),
	)
}

func (p pki) ensureAuthority(file, commonName string) (authority, error) {
	if cert, key, err := p.read(file); err == nil {
		return authority{cert, key}, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return authority{}, err
	} else if _, found := os.Stat(p.path(file + ".crt")); found == nil {
		// A crash never leaves this (see write): the key was taken away.
		return authority{}, fmt.Errorf("%s has no key; bring the key back, or move the certificate away to get a new authority, which clients have to trust anew: %w", p.path(file+".crt"), err)
	}
	key, err := newKey()
	if err != nil {
		return authority{}, err
	}
	cert, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: commonName, NotBefore: time.Now().Add(-time.Hour)}, key)
	if err != nil {
		return authority{}, fmt.Errorf("making the authority %s: %w", file, err)
	}
	return authority{cert, key}, p.write(file, cert.Raw, key)
}

func (p pki) ensureLeaf(ca authority, l leaf) error {
	cert, _, err := p.read(l.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil && l.servedBy(cert) && cert.CheckSignatureFrom(ca.cert) == nil {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fmt.Errorf("drawing a serial number: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:      pkix.Name{CommonName: l.commonName, Organization: l.organizations},
		SerialNumber: serial,
		DNSNames:     l.dnsNames,
		IPAddresses:  l.ips,
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.Add(leafLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{l.usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return fmt.Errorf("signing the certificate %s: %w", l.file, err)
	}
	return p.write(l.file, der, key)
}

// servedBy reports whether an existing certificate still does what l asks.
func (l leaf) servedBy(cert *x509.Certificate) bool {
	if time.Now().After(cert.NotAfter.Add(-renewBefore)) {
		return false
	}
	for _, name := range l.dnsNames {
		if !slices.Contains(cert.DNSNames, name) {
			return false
		}
	}
	for _, ip := range l.ips {
		if !slices.ContainsFunc(cert.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}

func (p pki) ensureTokenKey() error {
	file := p.path("service-account.key")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	return p.writeKey(file, key)
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return key, nil
}

func (p pki) read(file string) (*x509.Certificate, crypto.Signer, error) {
	certs, err := certutil.CertsFromFile(p.path(file + ".crt"))
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", p.path(file+".crt"), err)
	}
	private, err := keyutil.PrivateKeyFromFile(p.path(file + ".key"))
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", p.path(file+".key"), err)
	}
	key, ok := private.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("reading %s: a %T cannot sign", p.path(file+".key"), private)
	}
	return certs[0], key, nil
}

// write puts the key in place before the certificate: a crash in between leaves
// no certificate, so that the next start makes the pair anew.
func (p pki) write(file string, der []byte, key crypto.Signer) error {
	if err := os.Remove(p.path(file + ".crt")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := p.writeKey(p.path(file+".key"), key); err != nil {
		return err
	}
	return writeFile(p.path(file+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (p pki) writeKey(path string, key crypto.Signer) error {
	data, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return writeFile(path, data)
}

// writeFile puts a private file in place as a whole or not at all. One that is as it should
// be is left alone: a disk may be full.
func writeFile(path string, data []byte) error {
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, data) {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm() == 0o600 {
			return nil
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the write's own error says more
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
