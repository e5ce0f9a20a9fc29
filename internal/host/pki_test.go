package host

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"

	certutil "k8s.io/client-go/util/cert"
)

func TestKeysAreKept(t *testing.T) {
	p := pki{dir: filepath.Join(t.TempDir(), "pki")}
	ensure := func() error { return p.ensure([]string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}) }
	if err := ensure(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	before := map[string][]byte{}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 600 (%v)", f.Name(), info.Mode(), err)
		}
		if before[f.Name()], err = os.ReadFile(p.path(f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := ensure(); err != nil {
		t.Fatal(err)
	}
	for name, data := range before {
		if after, err := os.ReadFile(p.path(name)); err != nil || !bytes.Equal(after, data) {
			t.Errorf("a second start made %s anew (%v)", name, err)
		}
	}
}

func TestAuthorityIsNeverReplaced(t *testing.T) {
	p := pki{dir: filepath.Join(t.TempDir(), "pki")}
	if err := p.ensure(nil, nil); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(p.path("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(p.path("ca.key")); err != nil {
		t.Fatal(err)
	}
	if err := p.ensure(nil, nil); err == nil {
		t.Error("an authority without its key went unnoticed")
	}
	if after, err := os.ReadFile(p.path("ca.crt")); err != nil || !bytes.Equal(after, ca) {
		t.Errorf("the authority was replaced (%v)", err)
	}
}

func TestInterruptedFirstStartGoesOn(t *testing.T) {
	p := pki{dir: filepath.Join(t.TempDir(), "pki")}
	if err := p.ensure(nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"ca.crt", "admin.crt"} { // keys come first
		if err := os.Remove(p.path(file)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.ensure(nil, nil); err != nil {
		t.Fatal(err)
	}
	ca, _, err := p.read("ca")
	if err != nil {
		t.Fatal(err)
	}
	admin, _, err := p.read("admin")
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.CheckSignatureFrom(ca); err != nil {
		t.Errorf("the administrator's certificate: %v", err)
	}
}

func TestAdvertisedAddress(t *testing.T) {
	for _, bind := range []string{"127.0.0.1", "::1", "192.0.2.7"} {
		if got := advertisedAddress(net.ParseIP(bind)); got.String() != bind {
			t.Errorf("advertisedAddress(%s) = %s", bind, got)
		}
	}
	if got := advertisedAddress(net.IPv4zero); got == nil || got.IsUnspecified() {
		t.Errorf("advertisedAddress(0.0.0.0) = %v, want an address", got)
	}
}

func TestOthersClientAuthoritiesStandBesideOurs(t *testing.T) {
	p := pki{dir: filepath.Join(t.TempDir(), "pki")}
	if err := p.ensure(nil, nil); err != nil {
		t.Fatal(err)
	}
	others := pki{dir: filepath.Join(t.TempDir(), "pki")}
	if err := others.ensure(nil, nil); err != nil {
		t.Fatal(err)
	}
	file := ""
	if err := p.trustOwnClients(&file); err != nil || file != p.path("ca.crt") {
		t.Errorf("without others the file is %q (%v), want our own", file, err)
	}
	file = others.path("ca.crt")
	if err := p.trustOwnClients(&file); err != nil {
		t.Fatal(err)
	}
	authorities, err := certutil.CertsFromFile(file)
	if err != nil || len(authorities) != 2 {
		t.Errorf("with others the file has %d authorities (%v), want 2", len(authorities), err)
	}
	file = filepath.Join(t.TempDir(), "missing")
	if err := p.trustOwnClients(&file); err == nil {
		t.Error("a file that is missing is no mistake")
	}
}
