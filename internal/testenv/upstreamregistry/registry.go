// Package upstreamregistry starts registries for tests to import from, on free ports
// of the loopback, and fills them with real images: programs that Go has compiled for
// several platforms, in layers of compressed tar, in Docker's and in OCI's formats.
//
// What a registry holds is put there in the process. Only what a client asks is a
// request: it is counted, and a test may stand in its way.
//
// StartAs starts one that behaves like a widespread registry: Profiles has what is
// peculiar to each, in its challenges, tokens, redirects and tag lists. Suites that import
// or pull through run over all of them.
package upstreamregistry

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

// TB is what this package needs of a test or benchmark.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// Registry is a running registry.
type Registry struct {
	host    string
	ca      []byte
	content http.Handler
	front   *front // nil for one without a profile

	mu       sync.Mutex
	requests []Request
	hooks    []hook
}

// Request is what a client asked.
type Request struct{ Method, Path string }

// Hook may answer a request in the registry's place; it returns whether it has.
type Hook func(w http.ResponseWriter, r *http.Request) (answered bool)

type hook struct {
	part string
	run  Hook
}

// Start starts a registry that speaks HTTP, until the test's end.
func Start(t TB) *Registry {
	t.Helper()
	r := newRegistry()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.host = server.Listener.Addr().String()
	return r
}

// StartTLS starts a registry that speaks HTTPS with a certificate for the loopback
// from an authority of its own, until the test's end.
func StartTLS(t TB) *Registry {
	t.Helper()
	r := newRegistry()
	authority, certificate, err := newCertificate()
	if err != nil {
		t.Fatalf("making the certificate of a registry: %v", err)
	}
	server := httptest.NewUnstartedServer(r)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it hang up
	server.StartTLS()
	t.Cleanup(server.Close)
	r.host, r.ca = server.Listener.Addr().String(), authority
	return r
}

func newRegistry() *Registry {
	return &Registry{content: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
}

// Host is host:port, as a pull spec begins.
func (r *Registry) Host() string { return r.host }

// CA is the certificate authority (PEM) of a registry that speaks HTTPS, else nil.
func (r *Registry) CA() []byte { return r.ca }

// On has a hook see every request whose path contains part, before hooks that were set
// earlier.
func (r *Registry) On(part string, run Hook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = append([]hook{{part, run}}, r.hooks...)
}

// Off removes all hooks.
func (r *Registry) Off() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = nil
}

// Count is how many requests came whose method is that one ("" for any) and whose path
// contains part.
func (r *Registry) Count(method, part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, request := range r.requests {
		if (method == "" || method == request.Method) && strings.Contains(request.Path, part) {
			n++
		}
	}
	return n
}

// Forget makes Count begin anew.
func (r *Registry) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	for _, h := range r.enter(request) {
		if h.run(w, request) {
			return
		}
	}
	if r.front != nil {
		r.front.ServeHTTP(w, request)
		return
	}
	r.content.ServeHTTP(w, request)
}

// enter counts a request and returns the hooks that are to see it.
func (r *Registry) enter(request *http.Request) []hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, Request{request.Method, request.URL.Path})
	var concerned []hook
	for _, h := range r.hooks {
		if strings.Contains(request.URL.Path, h.part) {
			concerned = append(concerned, h)
		}
	}
	return concerned
}
