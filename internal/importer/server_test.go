package importer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	digest "github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/testenv/testimage"
	"weir.dev/weir/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer is a real registry in this process. It counts what it is asked and lets a test stand
// in the way of requests.
type testServer struct {
	t       testing.TB
	host    string
	content http.Handler

	mu        sync.Mutex
	requests  map[string]int // "HEAD x manifests"
	inFlight  int
	peak      int
	intercept func(w http.ResponseWriter, r *http.Request) bool // true: answered
}

var contentPath = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs|tags)/(.+)$`)

func newServer(t testing.TB) *testServer {
	t.Helper()
	s := &testServer{t: t, requests: map[string]int{}, content: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		intercept, done := s.enter(r)
		defer done()
		if intercept != nil && intercept(w, r) {
			return
		}
		s.content.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "http://")
	return s
}

func (s *testServer) enter(r *http.Request) (func(http.ResponseWriter, *http.Request) bool, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := contentPath.FindStringSubmatch(r.URL.Path); p != nil {
		s.requests[r.Method+" "+p[2]]++
		s.requests[r.Method+" "+p[1]+" "+p[3]]++
		s.inFlight++
		s.peak = max(s.peak, s.inFlight)
		return s.intercept, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.inFlight--
		}
	}
	return s.intercept, func() {}
}

// on answers requests with the handler where it returns true.
func (s *testServer) on(handler func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = handler
}

// fail answers requests whose path has the suffix with an error of the distribution API.
func (s *testServer) fail(suffix string, status int, code string) {
	s.on(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			return false
		}
		registryError(w, status, code)
		return true
	})
}

func registryError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if code != "" {
		fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"said the registry"}]}`, code)
	}
}

// count returns how often something was asked for since the last reset, such as "GET blobs" or
// "HEAD x 1".
func (s *testServer) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[what]
}

// total counts all requests for content.
func (s *testServer) total() int {
	n := 0
	for _, kind := range []string{"manifests", "blobs", "tags"} {
		n += s.count("GET "+kind) + s.count("HEAD "+kind)
	}
	return n
}

func (s *testServer) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.peak = map[string]int{}, 0
}

func (s *testServer) ref(path string) string { return s.host + "/" + path }

// push stores an image or an index, as "repository:tag". What was counted before is forgotten.
func (s *testServer) push(path string, what mutate.Appendable) string {
	s.t.Helper()
	d, err := testimage.Put(s.content, path, what)
	if err != nil {
		s.t.Fatal(err)
	}
	s.reset()
	return d
}

// put stores manifest bytes as they are and returns their digest.
func (s *testServer) put(path, tag, contentType string, body []byte) string {
	s.t.Helper()
	if err := testimage.PutManifest(s.content, path, tag, contentType, body); err != nil {
		s.t.Fatal(err)
	}
	s.reset()
	return digest.FromBytes(body).String()
}

// putBlob stores a blob and returns its digest.
func (s *testServer) putBlob(path string, body []byte) string {
	s.t.Helper()
	d, err := testimage.PutBlob(s.content, path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.reset()
	return d
}

// newRegistries is a real upstream client as Registries. Call time-outs are short.
func newRegistries(t testing.TB) importer.Registries {
	t.Helper()
	o := upstream.DefaultOptions()
	o.Timeouts.Call.Duration, o.Hosts.Retries, o.Hosts.Concurrency = 20*time.Second, 0, 100
	client, err := upstream.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return importer.FromClient(client)
}

func newImporter(t testing.TB, change ...func(*importer.Options)) *importer.Importer {
	t.Helper()
	options := importer.DefaultOptions()
	options.DefaultPlatform = importer.Platform{Architecture: "amd64", OS: "linux"}
	options.Timeout.Duration = 30 * time.Second
	for _, c := range change {
		c(&options)
	}
	if options.Registries == nil {
		options.Registries = newRegistries(t)
	}
	return importer.New(options)
}

// importOne imports a single image.
func importOne(t testing.TB, i *importer.Importer, req importer.ImageRequest) importer.ImageResult {
	t.Helper()
	req.Insecure = true
	result := i.Import(context.Background(), importer.Request{Images: []importer.ImageRequest{req}})
	if len(result.Images) != 1 || result.Repository != nil {
		t.Fatalf("%d results for one image, repository %v", len(result.Images), result.Repository)
	}
	return result.Images[0]
}

// mustImport imports a single image and expects success.
func mustImport(t testing.TB, i *importer.Importer, req importer.ImageRequest) importer.ImageResult {
	t.Helper()
	result := importOne(t, i, req)
	if result.Status.Status != "Success" {
		t.Fatalf("importing %s: %s", req.Ref, asJSON(t, result.Status))
	}
	return result
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// credentials maps hosts to what to show there.
type credentials map[string]pullsecrets.Credential

func (c credentials) Lookup(host, _ string) []pullsecrets.Credential {
	if found, ok := c[host]; ok {
		return []pullsecrets.Credential{found}
	}
	return nil
}
