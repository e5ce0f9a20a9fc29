package clusterrules

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	servertesting "k8s.io/apiextensions-apiserver/pkg/cmd/server/testing"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/registryrules"
)

const fakeKubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
`

// cluster starts a real API server for custom resources.
func cluster(t *testing.T) *rest.Config {
	t.Helper()
	dir := t.TempDir()
	store, err := etcd.Start(t.Context(), etcd.Options{Dir: filepath.Join(dir, "etcd")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte(fakeKubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	// Its delegated authentication is of no use here: the loopback client's
	// token is known to the server itself.
	server, err := servertesting.StartTestServer(t, nil, []string{
		"--etcd-servers=" + store.Endpoint(), "--etcd-prefix=/test",
		"--kubeconfig=" + kubeconfig, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--authentication-skip-lookup", "--enable-priority-and-fairness=false",
		// They would wait for resources that this server does not have.
		"--disable-admission-plugins=NamespaceLifecycle,MutatingAdmissionPolicy,MutatingAdmissionWebhook,ValidatingAdmissionPolicy,ValidatingAdmissionWebhook",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.TearDownFn)
	return rest.CopyConfig(server.ClientConfig)
}

// breakable is a way to the cluster that can be cut.
type breakable struct {
	*httptest.Server
	broken   atomic.Bool
	refused  atomic.Int32
	mu       sync.Mutex
	requests map[*http.Request]context.CancelFunc
}

func through(t *testing.T, config *rest.Config) (*breakable, *rest.Config) {
	t.Helper()
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	proxy.Transport = transport
	b := &breakable{requests: map[*http.Request]context.CancelFunc{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.broken.Load() {
			b.refused.Add(1)
			http.Error(w, "out of order", http.StatusInternalServerError)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		r = r.WithContext(ctx)
		b.mu.Lock()
		b.requests[r] = cancel
		b.mu.Unlock()
		r.Header.Set("Authorization", "Bearer "+config.BearerToken)
		defer func() {
			b.mu.Lock()
			delete(b.requests, r)
			b.mu.Unlock()
			// The proxy panics with ErrAbortHandler when cut in the middle.
			p := recover()
			if err, ok := p.(error); p != nil && (!ok || !errors.Is(err, http.ErrAbortHandler)) {
				panic(p)
			}
		}()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		b.cut(true)
		b.Server.Close()
		transport.CloseIdleConnections()
	})
	return b, &rest.Config{Host: b.URL}
}

// cut ends every request under way and refuses new ones, or heals.
func (b *breakable) cut(broken bool) {
	b.broken.Store(broken)
	if !broken {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cancel := range b.requests {
		cancel()
	}
}

// results are the rules handed out.
type results struct {
	mu       sync.Mutex
	rules    *registryrules.Rules
	warnings []registryrules.Warning
	calls    int
}

func (r *results) take(rules *registryrules.Rules, warnings []registryrules.Warning) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules, r.warnings = rules, warnings
	r.calls++
}

// plan is where a pull spec is fetched from now, "-" before the first rules.
func (r *results) plan(t *testing.T, spec string) string {
	t.Helper()
	ref, err := reference.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rules == nil {
		return "-"
	}
	var words []string
	for _, s := range r.rules.Plan(ref).Sources() {
		word := s.Host
		if s.Insecure {
			word += "+"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func (r *results) await(t *testing.T, spec, want string) {
	t.Helper()
	eventually(t, spec+" from "+want, func() bool { return r.plan(t, spec) == want }, func() string { return r.plan(t, spec) })
}

func eventually(t *testing.T, what string, ok func() bool, got func() string) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s; got %s", what, got())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func none() string { return "something else" }

func crd(group, version, kind, plural string) *apiextensionsv1.CustomResourceDefinition {
	keep := true
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group, Annotations: map[string]string{"api-approved.kubernetes.io": "unapproved, test-only"}},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Scope: apiextensionsv1.ClusterScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: strings.ToLower(kind), Kind: kind, ListKind: kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &keep}},
			}},
		},
	}
}

var (
	digestSets = schema.GroupVersionResource{Group: "config.openshift.io", Version: "v1", Resource: "imagedigestmirrorsets"}
	tagSets    = schema.GroupVersionResource{Group: "config.openshift.io", Version: "v1", Resource: "imagetagmirrorsets"}
	images     = schema.GroupVersionResource{Group: "config.openshift.io", Version: "v1", Resource: "images"}
	policies   = schema.GroupVersionResource{Group: "operator.openshift.io", Version: "v1alpha1", Resource: "imagecontentsourcepolicies"}
)

func object(gvr schema.GroupVersionResource, kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": gvr.GroupVersion().String(), "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec,
	}}
}

func mirrors(field, source string, to ...any) map[string]any {
	return map[string]any{field: []any{map[string]any{"source": source, "mirrors": to}}}
}

const byDigest = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestWatcher(t *testing.T) {
	direct := cluster(t)
	way, config := through(t, direct)
	client, crds := dynamic.NewForConfigOrDie(direct), apiextensionsclient.NewForConfigOrDie(direct)
	ctx := t.Context()

	// create waits out the time in which a new resource is announced but not served.
	create := func(gvr schema.GroupVersionResource, o *unstructured.Unstructured) {
		t.Helper()
		var err error
		eventually(t, "created "+o.GetName(), func() bool {
			_, err = client.Resource(gvr).Create(ctx, o, metav1.CreateOptions{})
			return err == nil || !apierrors.IsNotFound(err) && !apierrors.IsTooManyRequests(err)
		}, func() string { return err.Error() })
		if err != nil {
			t.Fatal(err)
		}
	}
	define := func(group, version, kind, plural string) {
		t.Helper()
		if _, err := crds.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, crd(group, version, kind, plural), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}

	var got results
	watcher, err := New(Options{
		Dynamic: dynamic.NewForConfigOrDie(config), Discovery: discovery.NewDiscoveryClientForConfigOrDie(config),
		OnChange: got.take, Interval: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() { watcher.Run(running); close(done) }()

	got.await(t, "q.test/a/b:x", "q.test")
	eventually(t, "synced with nothing there", watcher.HasSynced, none)

	// Resources appear while it runs, one after the other.
	define("config.openshift.io", "v1", "ImageDigestMirrorSet", "imagedigestmirrorsets")
	create(digestSets, object(digestSets, "ImageDigestMirrorSet", "d", mirrors("imageDigestMirrors", "q.test", "d.test")))
	got.await(t, "q.test/a/b"+byDigest, "d.test q.test")
	define("operator.openshift.io", "v1alpha1", "ImageContentSourcePolicy", "imagecontentsourcepolicies")
	define("config.openshift.io", "v1", "ImageTagMirrorSet", "imagetagmirrorsets")
	define("config.openshift.io", "v1", "Image", "images")
	create(policies, object(policies, "ImageContentSourcePolicy", "p", mirrors("repositoryDigestMirrors", "q.test", "p.test")))
	create(tagSets, object(tagSets, "ImageTagMirrorSet", "t", mirrors("imageTagMirrors", "q.test", "t.test")))
	create(images, object(images, "Image", "another", map[string]any{"registrySources": map[string]any{"blockedRegistries": []any{"q.test"}}}))
	create(images, object(images, "Image", "cluster", map[string]any{"registrySources": map[string]any{"insecureRegistries": []any{"t.test"}}}))
	got.await(t, "q.test/a/b"+byDigest, "d.test p.test q.test")
	got.await(t, "q.test/a/b:x", "t.test+ q.test")
	eventually(t, "synced with everything there", watcher.HasSynced, none)

	// An object that cannot be read takes nothing with it.
	create(tagSets, object(tagSets, "ImageTagMirrorSet", "bad", map[string]any{"imageTagMirrors": "nonsense"}))
	create(tagSets, object(tagSets, "ImageTagMirrorSet", "u", mirrors("imageTagMirrors", "u.test", "m.test")))
	got.await(t, "u.test/a/b:x", "m.test u.test")
	got.await(t, "q.test/a/b:x", "t.test+ q.test")
	got.mu.Lock()
	if len(got.warnings) != 1 || got.warnings[0].Origin != "ImageTagMirrorSet bad" {
		t.Errorf("warnings: %v", got.warnings)
	}
	got.mu.Unlock()

	// While nothing can be read, what was known stays (O61).
	way.cut(true)
	if err := client.Resource(tagSets).Delete(ctx, "t", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	before := way.refused.Load()
	eventually(t, "ten refusals", func() bool { return way.refused.Load() >= before+10 }, none)
	if plan := got.plan(t, "q.test/a/b:x"); plan != "t.test+ q.test" {
		t.Errorf("during the fault: %s", plan)
	}
	way.cut(false)
	got.await(t, "q.test/a/b:x", "q.test")
	got.await(t, "u.test/a/b:x", "m.test u.test")

	// A resource that is gone for good takes its objects with it.
	if err := crds.ApiextensionsV1().CustomResourceDefinitions().Delete(ctx, "imagedigestmirrorsets.config.openshift.io", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	got.await(t, "q.test/a/b"+byDigest, "p.test q.test")

	stop()
	<-done
	if left := ours(); left != "" {
		t.Errorf("goroutines left:\n%s", left)
	}
	got.mu.Lock()
	calls := got.calls
	got.mu.Unlock()
	create(tagSets, object(tagSets, "ImageTagMirrorSet", "late", mirrors("imageTagMirrors", "q.test", "late.test")))
	if got.plan(t, "q.test/a/b:x") != "q.test" || calls != got.calls {
		t.Error("called after the end")
	}
}

// ours are the goroutines that run this package's code, tests apart.
func ours() string {
	buf := make([]byte, 4<<20)
	var left []string
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "clusterrules.") && !strings.Contains(g, "clusterrules.Test") && !strings.Contains(g, "clusterrules.ours") && !strings.Contains(g, "clusterrules.through") && !strings.Contains(g, "clusterrules.cluster") {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}

// A cluster that cannot be reached at all: the file's rules are there at once,
// nothing claims to be synced, and stopping leaves nothing behind.
func TestUnreachableCluster(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	path := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(path, []byte("[[registry]]\nlocation = \"q.test\"\ninsecure = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := registryrules.ReadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{Host: dead.URL}
	var got results
	watcher, err := New(Options{
		Dynamic: dynamic.NewForConfigOrDie(config), Discovery: discovery.NewDiscoveryClientForConfigOrDie(config),
		Conf: conf, OnChange: got.take, Interval: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { watcher.Run(ctx); close(done) }()
	got.await(t, "q.test/a/b:x", "q.test+")
	if watcher.HasSynced() {
		t.Error("synced with nobody")
	}
	cancel()
	<-done
}

func TestNewNeedsItsOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("accepted")
	}
}
