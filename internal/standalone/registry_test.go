package standalone_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

// ping asks the registry at a URL for its version, and returns the status.
func ping(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	answer, err := client.Get(url + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if got := answer.Header.Get("Docker-Distribution-API-Version"); got != "registry/2.0" {
		t.Errorf("%s/v2/ has Docker-Distribution-API-Version %q", url, got)
	}
	return answer.StatusCode
}

func TestRegistryOnLoopbackIsPlain(t *testing.T) {
	e := testenv.Start(t, testenv.WithRegistry)
	if status := ping(t, http.DefaultClient, "http://"+e.Registry()); status != http.StatusUnauthorized {
		t.Errorf("answers %d, want 401", status)
	}
	ns := e.Namespace(t, "registry")
	is, err := e.Images.ImageV1().ImageStreams(ns).Create(context.Background(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := e.Registry() + "/" + ns + "/web"; is.Status.DockerImageRepository != want || is.Status.PublicDockerImageRepository != "" {
		t.Errorf("the stream shows %q and %q, want %q and nothing", is.Status.DockerImageRepository, is.Status.PublicDockerImageRepository, want)
	}
}

func TestRegistryHasNamesOfItsOwn(t *testing.T) {
	e := testenv.Start(t, testenv.WithRegistry, func(o *standalone.Options) {
		o.InternalHostname, o.ExternalHostname = "registry.weir.svc:5000", "registry.example.com"
	})
	ns := e.Namespace(t, "registry")
	is, err := e.Images.ImageV1().ImageStreams(ns).Create(context.Background(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if is.Status.DockerImageRepository != "registry.weir.svc:5000/"+ns+"/web" || is.Status.PublicDockerImageRepository != "registry.example.com/"+ns+"/web" {
		t.Errorf("the stream shows %q and %q", is.Status.DockerImageRepository, is.Status.PublicDockerImageRepository)
	}
}

// An address that others reach is served over TLS, by the authority that the data folder
// has, under every name that is configured.
func TestRegistryElsewhereSpeaksTLS(t *testing.T) {
	dir := t.TempDir()
	e := start(t, dir, testenv.WithRegistry, func(o *standalone.Options) {
		o.Registry.BindAddress = net.IPv4zero
		o.ExternalHostname = "registry.example.com:5000"
	})
	pool, err := certutil.NewPool(filepath.Join(dir, "pki", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"127.0.0.1", "registry.example.com"} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: name}}}
		if status := ping(t, client, "https://"+e.Registry()); status != http.StatusUnauthorized {
			t.Errorf("as %s: answers %d, want 401", name, status)
		}
		client.CloseIdleConnections()
	}
	answer, err := http.Get("http://" + e.Registry() + "/v2/")
	if err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP is answered %d", answer.StatusCode)
		}
	}
}

// A certificate of the user's own is shown on loopback too, and read again when it changes.
func TestRegistryFollowsItsCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "registry.crt"), filepath.Join(dir, "registry.key")
	writeCertificate := func(name string) {
		certPEM, keyPEM, err := certutil.GenerateSelfSignedCertKey(name, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string][]byte{key: keyPEM, cert: certPEM} {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	writeCertificate("first.example.com")
	e := testenv.Start(t, testenv.WithRegistry, func(o *standalone.Options) { o.Registry.CertFile, o.Registry.KeyFile = cert, key })
	shown := func() *x509.Certificate {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", e.Registry(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	if err := shown().VerifyHostname("first.example.com"); err != nil {
		t.Error(err)
	}
	writeCertificate("second.example.com")
	testenv.Eventually(t, "the new certificate", func() error { return shown().VerifyHostname("second.example.com") })
}

func TestRegistryCanBeSwitchedOff(t *testing.T) {
	e := testenv.Start(t)
	if e.Registry() != "" || e.Server.RegistryURL() != "" {
		t.Errorf("a registry at %q, %q", e.Registry(), e.Server.RegistryURL())
	}
}

// What is wrong with the registry's port or storage is told before anything starts.
func TestRegistryThatCannotServe(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, change := range map[string]func(*standalone.Options){
		"--registry-port":         func(o *standalone.Options) { o.Registry.Port = taken.Addr().(*net.TCPAddr).Port },
		"--registry-tls-cert":     func(o *standalone.Options) { o.Registry.CertFile = "only.crt" },
		"the registry's storage":  func(o *standalone.Options) { o.Config.Registry.Storage.Driver = "s3" },
		"--registry-bind-address": func(o *standalone.Options) { o.Registry.BindAddress = nil },
	} {
		e, err := testenv.New(t.TempDir(), testenv.WithRegistry, change)
		if err == nil {
			_ = e.Stop()
			t.Errorf("%s: it started", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}
