package standalone_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"

	"weir.dev/weir/internal/host"
	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

func TestStopLeavesNothingRunning(t *testing.T) {
	warm, err := testenv.New(t.TempDir(), testenv.WithRegistry) // what the libraries start once stays
	if err != nil {
		t.Fatal(err)
	}
	if err := warm.Stop(); err != nil {
		t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	e, err := testenv.New(t.TempDir(), testenv.WithRegistry)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	// A read that waits for the watch cache to catch up gives up after 3 s.
	testenv.Eventually(t, "the goroutines of a stopped server to end", func() error { return goleak.Find(before) })
}

func TestRestartFindsEverythingAgain(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir)
	ns := first.Namespace(t, "kept")
	kubeconfig := filepath.Join(dir, host.KubeconfigName)
	info, err := os.Stat(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("%s has mode %o, want 600", host.KubeconfigName, mode)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "pki", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	second := start(t, dir)
	if _, err := second.Kube.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{}); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if again, err := os.ReadFile(filepath.Join(dir, "pki", "ca.crt")); err != nil || string(again) != string(ca) {
		t.Errorf("after a restart the authority is another one (%v)", err)
	}
}

func TestDataFolderServesOneProcess(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	o := standalone.NewOptions()
	o.DataDir = dir
	_, err := standalone.New(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "in use by another weir") {
		t.Errorf("a second server over the same folder: %v, want a refusal that says why", err)
	}
}

func TestServesWhatEveryAPIServerServes(t *testing.T) {
	e := start(t, t.TempDir())
	for _, path := range []string{"/readyz", "/livez", "/healthz", "/metrics", "/openapi/v2", "/openapi/v3", "/version"} {
		var code int
		e.Kube.Discovery().RESTClient().Get().AbsPath(path).Do(t.Context()).StatusCode(&code)
		if code != http.StatusOK {
			t.Errorf("GET %s: %d, want 200", path, code)
		}
	}
	version, err := e.Kube.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version.GitVersion, "v1.") {
		t.Errorf("/version tells %q, want the version of Kubernetes", version.GitVersion)
	}
}

func TestStartThatIsGivenUpReleasesTheFolder(t *testing.T) {
	dir := t.TempDir()
	o := standalone.NewOptions()
	o.DataDir = dir
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := standalone.New(ended, o); err == nil {
		t.Error("a start with a context that has ended succeeded")
	}
	start(t, dir)
}

func TestEtcdThatIsAwayIsNamed(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed.Close()
	servers := []string{"http://" + closed.Addr().String(), "http://" + silent.Addr().String()}
	o := standalone.NewOptions()
	o.DataDir, o.Registry.Enabled = t.TempDir(), false
	o.Host.ControlPlane.SecureServing.BindPort = 0
	o.Host.ControlPlane.Etcd.StorageConfig.Transport.ServerList = servers
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // instead of five
	defer cancel()
	_, err = standalone.New(ctx, o)
	if err == nil {
		t.Fatal("a start without etcd succeeded")
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s to notice", took)
	}
	for _, want := range []string{"--etcd-servers " + strings.Join(servers, ","), "--etcd-cafile", servers[0] + ": ", "connection refused", servers[1] + ": "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestTokenSecretsTellTheServersAuthority(t *testing.T) {
	e := start(t, t.TempDir())
	ns := e.Namespace(t, "tokens")
	if _, err := e.Kube.CoreV1().ServiceAccounts(ns).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "ci"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := e.Kube.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "ci", Annotations: map[string]string{corev1.ServiceAccountNameKey: "ci"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the secret to get its token", func() error {
		secret, err := e.Kube.CoreV1().Secrets(ns).Get(t.Context(), "ci", metav1.GetOptions{})
		if err != nil {
			return err
		}
		config := &rest.Config{
			Host:            e.Config.Host,
			BearerToken:     string(secret.Data[corev1.ServiceAccountTokenKey]),
			TLSClientConfig: rest.TLSClientConfig{CAData: secret.Data[corev1.ServiceAccountRootCAKey]},
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		_, err = client.Discovery().RESTClient().Get().AbsPath("/apis/image.openshift.io/v1").DoRaw(t.Context())
		return err
	})
}

func TestKubeconfigWorksBesideAnotherCertificate(t *testing.T) {
	cert, key, err := certutil.GenerateSelfSignedCertKey("weir.example.com", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string][]byte{filepath.Join(dir, "own.crt"): cert, filepath.Join(dir, "own.key"): key}
	for name, data := range files {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := testenv.Start(t, func(o *standalone.Options) { // logs in with the kubeconfig
		pair := &o.Host.ControlPlane.SecureServing.ServerCert.CertKey
		pair.CertFile, pair.KeyFile = filepath.Join(dir, "own.crt"), filepath.Join(dir, "own.key")
		testenv.WithRegistry(o)
		o.Registry.CertFile, o.Registry.KeyFile = pair.CertFile, pair.KeyFile
	})
	wantExpiry(t, e, "api", cert)
	wantExpiry(t, e, "registry", cert)
	config := rest.CopyConfig(e.Config)
	config.CAData, config.ServerName = cert, "weir.example.com"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Discovery().ServerVersion(); err != nil {
		t.Errorf("under the certificate's name: %v", err)
	}
}

// wantExpiry holds that the metrics have the end of a listener's certificate.
func wantExpiry(t *testing.T, e *testenv.Env, listener string, cert []byte) {
	t.Helper()
	chain, err := certutil.ParseCertsPEM(cert)
	if err != nil {
		t.Fatal(err)
	}
	scraped, err := e.Kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("\nweir_certificate_expiration_timestamp_seconds{listener=%q} ", listener)
	_, rest, found := strings.Cut(string(scraped), name)
	value, _, _ := strings.Cut(rest, "\n")
	end, err := strconv.ParseFloat(value, 64)
	if !found || err != nil || int64(end) != chain[0].NotAfter.Unix() {
		t.Errorf("the end of the certificate of %s is %q, want %d", listener, value, chain[0].NotAfter.Unix())
	}
}

func start(t *testing.T, dir string, change ...func(*standalone.Options)) *testenv.Env {
	t.Helper()
	e, err := testenv.New(dir, change...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}
