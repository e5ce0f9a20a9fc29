package conformance_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/test/conformance"
)

// TestWeir runs the suite against a Weir as it comes: over the filesystem, with the token
// flow for repositories of two components, and with Basic for deep ones.
func TestWeir(t *testing.T) {
	env := testenv.Start(t, testenv.WithRegistry)
	t.Run("tokens", func(t *testing.T) {
		p := newProject(t, env)
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.DisableCompression = true
		defer transport.CloseIdleConnections()
		look := &headersOfAll{RoundTripper: transport}
		conformance.Run(t, conformance.Target{
			URL: p.url, Repository: p.namespace + "/app", SecondRepository: p.namespace + "/second",
			Authorization: conformance.TokenFlow(p.url, "editor", p.token), Transport: look,
		})
		look.report(t)
	})
	t.Run("deep", func(t *testing.T) {
		p := newProject(t, env)
		conformance.Run(t, conformance.Target{
			URL: p.url, Repository: p.namespace + "/a/b__c/app", SecondRepository: p.namespace + "/a/b--c",
			Authorization: conformance.Basic("editor", p.token),
		})
	})
	t.Run("faults", func(t *testing.T) {
		p := newProject(t, env)
		findsFaults(t, conformance.Target{
			URL: p.url, Repository: p.namespace + "/app", SecondRepository: p.namespace + "/second",
			Authorization: conformance.Basic("editor", p.token),
			Options:       conformance.Options{WalkWorkers: 2, WalkSteps: 20},
		})
	})
}

// TestWeirSparse runs the suite against a Weir that takes all sparse manifests and larger
// ones, over the storage in memory, with the API's tokens as they are.
func TestWeirSparse(t *testing.T) {
	const maxManifestBytes = 6 << 20
	env := testenv.Start(t, testenv.WithRegistry, func(o *standalone.Options) {
		o.Config.Registry.Storage.Driver = "inmemory"
		o.Config.Registry.Manifests.Sparse = config.SparseAll
		o.Config.Registry.Manifests.MaxSize = maxManifestBytes
	})
	p := newProject(t, env)
	conformance.Run(t, conformance.Target{
		URL: p.url, Repository: p.namespace + "/app", SecondRepository: p.namespace + "/second",
		Authorization: conformance.Bearer(p.token),
		Options:       conformance.Options{SparseLayers: true, MaxManifestBytes: maxManifestBytes},
	})
}

// project is a namespace and the token of a service account that edits its streams.
type project struct{ url, namespace, token string }

func newProject(t *testing.T, env *testenv.Env) project {
	t.Helper()
	const account = "editor"
	p := project{url: "http://" + env.Registry(), namespace: env.Namespace(t, "conformance")}
	accounts := env.Kube.CoreV1().ServiceAccounts(p.namespace)
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roles.RegistryEditor},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: p.namespace, Name: account}},
	}
	if _, err := env.Kube.RbacV1().RoleBindings(p.namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := accounts.CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.token = token.Status.Token
	return p
}

// headersOfAll looks for the headers that every answer of OpenShift's registry has and
// that its clients go by: the version, and that there are signatures.
type headersOfAll struct {
	http.RoundTripper

	mu      sync.Mutex
	missing map[string]string // by header, the first request whose answer lacks it
	seen    int
}

// RoundTrip implements http.RoundTripper.
func (h *headersOfAll) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := h.RoundTripper.RoundTrip(r)
	if err != nil || !strings.HasPrefix(r.URL.Path, "/v2/") {
		return res, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen++
	for key, want := range map[string]string{"Docker-Distribution-Api-Version": "registry/2.0", "X-Registry-Supports-Signatures": "1"} {
		if got := res.Header.Get(key); got != want && h.missing[key] == "" {
			if h.missing == nil {
				h.missing = map[string]string{}
			}
			h.missing[key] = fmt.Sprintf("%s %s: status %d with %q, want %q", r.Method, r.URL.Path, res.StatusCode, got, want)
		}
	}
	return res, nil
}

func (h *headersOfAll) report(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == 0 {
		t.Error("no answer was looked at")
	}
	for key, first := range h.missing {
		t.Errorf("header %s: %s", key, first)
	}
}
