package testenv

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"weir.dev/weir/internal/testenv/testimage"
)

// Registry is somebody else's registry: a real one in this process, over plain
// HTTP on the loopback. It tells what it was asked, and a test can stand in the
// way of requests or have it demand logins.
type Registry struct {
	// Host is host:port.
	Host string

	server  *httptest.Server
	content http.Handler

	mu        sync.Mutex
	asked     []string
	intercept Interceptor
	gate      gate
}

// Interceptor answers a request in the registry's place; false leaves it to the
// registry.
type Interceptor func(w http.ResponseWriter, r *http.Request) bool

// NewRegistry starts a registry for one test.
func NewRegistry(t TB) *Registry {
	t.Helper()
	r := StartRegistry()
	t.Cleanup(r.Close)
	return r
}

// StartRegistry starts a registry for a TestMain, which closes it.
func StartRegistry() *Registry {
	r := &Registry{content: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	r.Host = strings.TrimPrefix(r.server.URL, "http://")
	return r
}

// Close cuts off who is still connected and stops the registry.
func (r *Registry) Close() {
	r.server.CloseClientConnections()
	r.server.Close()
}

// Ref is the pull spec of a path such as "team/app:1".
func (r *Registry) Ref(path string) string { return r.Host + "/" + path }

// Intercept has a test stand in the way of requests; nil ends that.
func (r *Registry) Intercept(f Interceptor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.intercept = f
}

// Asked are the requests since the last Reset, each as "METHOD /path", in order.
func (r *Registry) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// Count is how many requests since the last Reset begin so: "HEAD ",
// "GET /v2/team/app/manifests/1".
func (r *Registry) Count(prefix string) int {
	n := 0
	for _, line := range r.Asked() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// Reset forgets what was asked.
func (r *Registry) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = nil
}

// Push stores an image or an index under a path such as "team/app:1", past logins
// and whoever stands in the way, and returns its digest.
func (r *Registry) Push(t TB, path string, what mutate.Appendable) string {
	t.Helper()
	d, err := testimage.Put(r.content, path, what)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return d
}

// Put stores the bytes of a manifest as they are under "team/app" and a tag or
// digest, past logins and whoever stands in the way.
func (r *Registry) Put(t TB, repository, tagOrDigest, mediaType string, manifest []byte) {
	t.Helper()
	if err := testimage.PutManifest(r.content, repository, tagOrDigest, mediaType, manifest); err != nil {
		t.Fatalf("putting %s:%s: %v", repository, tagOrDigest, err)
	}
}

// PutBlob stores a blob in "team/app".
func (r *Registry) PutBlob(t TB, repository string, content []byte) {
	t.Helper()
	if _, err := testimage.PutBlob(r.content, repository, content); err != nil {
		t.Fatalf("putting a blob into %s: %v", repository, err)
	}
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked = append(r.asked, req.Method+" "+req.URL.Path)
	intercept, gate := r.intercept, r.gate
	r.mu.Unlock()
	if intercept != nil && intercept(w, req) {
		return
	}
	if gate != nil && !gate(w, req) {
		return
	}
	r.content.ServeHTTP(w, req)
}

// RegistryError answers as a registry does that refuses: a status and a code of
// the distribution specification.
func RegistryError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

// ConfigFile writes a configuration of Weir, given without its head, to a file.
func ConfigFile(t TB, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := WriteConfig(path, body); err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

// WriteConfig is ConfigFile for a TestMain.
func WriteConfig(path, body string) error {
	head := "apiVersion: config.weir.dev/v1alpha1\nkind: WeirConfiguration\n"
	if err := os.WriteFile(path, []byte(head+body), 0o600); err != nil {
		return fmt.Errorf("writing a configuration: %w", err)
	}
	return nil
}
