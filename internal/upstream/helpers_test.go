package upstream

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ggcrregistry "github.com/google/go-containerregistry/pkg/registry"
	digest "github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/registryrules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rulesOf reads the rules of a registries.conf.
func rulesOf(t testing.TB, text string) *registryrules.Rules {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := registryrules.ReadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	rules, warnings := registryrules.New(conf, registryrules.ClusterObjects{})
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	return rules
}

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

// manifestOf is a small manifest that differs by its note.
func manifestOf(note string) []byte {
	return []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[],"annotations":{"note":%q}}`,
		ociManifest, digest.FromString("{}"), note))
}

// requestLog counts what a server is asked.
type requestLog struct {
	mu   sync.Mutex
	seen []*http.Request
}

func (l *requestLog) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.seen = append(l.seen, r.Clone(context.Background()))
		l.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (l *requestLog) all() []*http.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*http.Request(nil), l.seen...)
}

// lines are "METHOD path" of what was asked.
func (l *requestLog) lines() []string {
	var lines []string
	for _, r := range l.all() {
		lines = append(lines, r.Method+" "+r.URL.Path)
	}
	return lines
}

func (l *requestLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = nil
}

// upstreamServer is a server on loopback and what it was asked.
type upstreamServer struct {
	*httptest.Server
	requestLog
	host string
}

func serve(t *testing.T, h http.Handler) *upstreamServer {
	t.Helper()
	s := &upstreamServer{}
	s.Server = httptest.NewServer(s.wrap(h))
	s.host = strings.TrimPrefix(s.URL, "http://")
	t.Cleanup(s.Server.Close)
	return s
}

func serveTLS(t *testing.T, h http.Handler) *upstreamServer {
	t.Helper()
	s := &upstreamServer{}
	s.Server = httptest.NewUnstartedServer(s.wrap(h))
	s.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Server.StartTLS()
	s.host = strings.TrimPrefix(s.URL, "https://")
	t.Cleanup(s.Server.Close)
	return s
}

// trust is a pool of the certificates of TLS servers.
func trust(servers ...*upstreamServer) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, s := range servers {
		pool.AddCert(s.Certificate())
	}
	return pool
}

// realRegistry is go-containerregistry's registry with one image in team/app:latest.
func realRegistry(t *testing.T) (http.Handler, digest.Digest) {
	t.Helper()
	h := ggcrregistry.New(ggcrregistry.Logger(log.New(io.Discard, "", 0)))
	put(t, h, "/v2/team/app/manifests/latest", manifestOf("latest"))
	return h, digest.FromBytes(manifestOf("latest"))
}

func put(t *testing.T, h http.Handler, path string, body []byte) {
	t.Helper()
	if strings.Contains(string(body), "config") {
		repo := path[:strings.Index(path, "/manifests/")]
		post := httptest.NewRequest(http.MethodPost, repo+"/blobs/uploads/?digest="+digest.FromString("{}").String(), strings.NewReader("{}"))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, post)
		if w.Code != http.StatusCreated {
			t.Fatalf("seeding blob: %d %s", w.Code, w.Body)
		}
	}
	req := httptest.NewRequest(http.MethodPut, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", ociManifest)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if w.Code != http.StatusCreated {
		t.Fatalf("seeding %s: %d %s", path, w.Code, w.Body)
	}
}

// newTestClient is a client whose pauses are short.
func newTestClient(t *testing.T, change ...func(*Options)) *Client {
	t.Helper()
	opts := DefaultOptions()
	opts.RetryBase = time.Millisecond
	opts.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	for _, f := range change {
		f(&opts)
	}
	c, err := NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func parse(t *testing.T, s string) reference.PullSpec {
	t.Helper()
	ref, err := reference.Parse(s)
	if err != nil {
		t.Fatalf("parsing %q: %v", s, err)
	}
	return ref
}

// open opens a repository of a plain http server.
func open(t *testing.T, c *Client, ref string, creds ...pullsecrets.Credential) *Repository {
	t.Helper()
	return openAs(t, c, ref, true, creds...)
}

func openAs(t *testing.T, c *Client, ref string, insecure bool, creds ...pullsecrets.Credential) *Repository {
	t.Helper()
	r, err := c.Repository(parse(t, ref), insecure, fixed(creds))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fixed are credentials that match everywhere.
type fixed []pullsecrets.Credential

func (f fixed) Lookup(string, string) []pullsecrets.Credential { return f }

// wantCode checks an error's code and returns it.
func wantCode(t *testing.T, err error, want Code) *Error {
	t.Helper()
	if CodeOf(err) != want {
		t.Fatalf("got error %v (%q), want code %q", err, CodeOf(err), want)
	}
	return asError(err)
}

// v2 answers pings and leaves the rest to h.
func v2(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		h(w, r)
	})
}

// eventually waits for a condition, with a bound.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
