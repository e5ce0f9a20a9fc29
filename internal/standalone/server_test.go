package standalone_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/host"
	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

func TestStopLeavesNothingRunning(t *testing.T) {
	warm, err := testenv.New(t.TempDir()) // what the libraries start once stays
	if err != nil {
		t.Fatal(err)
	}
	if err := warm.Stop(); err != nil {
		t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	e, err := testenv.New(t.TempDir())
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

func start(t *testing.T, dir string) *testenv.Env {
	t.Helper()
	e, err := testenv.New(dir)
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
