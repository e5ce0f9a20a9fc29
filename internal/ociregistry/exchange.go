package ociregistry

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/upstream"
)

// exchange is one request and its response.
type exchange struct {
	*Handler
	r    *http.Request
	w    answer
	body body

	started        time.Time
	at             location
	route          *route
	repo           reference.Repository
	caller         Caller
	name           string // request ID, set on first use
	linkedChildren int    // manifests of lists linked for a push
	held           int64  // bytes of memory that are counted for it
}

// Headers of every response. Header maps share these slices, which must not be modified.
var (
	headerVersion    = []string{"registry/2.0"}
	headerSignatures = []string{"1"} // containers/image asks for signatures where it sees this
	headerNosniff    = []string{"nosniff"}
)

// serve takes a request through its stages: route, limit, authenticate, authorize, handle.
func (x *exchange) serve() error {
	header := x.w.Header()
	header["Docker-Distribution-Api-Version"] = headerVersion
	header["X-Registry-Supports-Signatures"] = headerSignatures
	header["X-Content-Type-Options"] = headerNosniff
	if x.closed.Load() {
		return &Error{Code: CodeUnavailable, Message: "the registry is shutting down", RetryAfter: time.Second}
	}
	path, ok := pathOf(x.r.URL)
	if !ok {
		return NewError(CodeNameInvalid, "a name cannot contain an escaped slash")
	}
	x.at = locate(path)
	route, err := x.routes.find(x.at.resource, x.r.Method)
	if err != nil {
		return err
	}
	x.route = route
	if route.needs.open {
		return route.does(x)
	}
	leave, err := x.limiter().enter(x.r.Context())
	if err != nil {
		return err
	}
	defer leave()
	if err := x.admit(); err != nil {
		return err
	}
	if urls := x.r.Header.Values(upstream.RequestURLHeader); len(urls) > 0 {
		// Detects registries that pull through each other in a loop.
		x.r = x.r.WithContext(upstream.WithRequestURLs(x.r.Context(), urls))
	}
	return route.does(x)
}

// limiter returns the limiter of the request's method.
func (x *exchange) limiter() *limiter {
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return x.reads
	}
	return x.writes
}

// admit authenticates the caller and authorizes the request.
func (x *exchange) admit() (err error) {
	if x.at.name != "" {
		if x.repo, err = parseName(x.at.name); err != nil {
			return x.unnamed(err)
		}
	}
	if x.at.resource == metricsResource && (x.MetricsOff || x.MetricsSecret != "") {
		return x.admitScraper()
	}
	if x.caller, err = x.Access.Authenticate(x.r); err != nil {
		return err
	}
	needs := x.route.needs
	if needs.writes() {
		x.r = x.r.WithContext(withOrigin(x.context(), Origin{User: x.caller.User.GetName(), Client: x.client(), Request: x.requestName()}))
	}
	if needs.action != "" {
		if err := x.Access.Allow(x.context(), x.caller, x.repo, needs.action); err != nil {
			return err
		}
	}
	if needs.verb != "" {
		return x.Access.AllowCluster(x.context(), x.caller, needs.verb, needs.resource, needs.subresource)
	}
	return nil
}

// unnamed returns the error for an invalid repository name. HEAD gets 404: its response has no body
// to explain, and after a 404 clients send the request whose response has one.
func (x *exchange) unnamed(err error) error {
	if invalid := (*Error)(nil); x.isHead() && errors.As(err, &invalid) {
		invalid.Status = http.StatusNotFound
	}
	return err
}

// parseName parses the name of a repository. A name that no stream can have is unknown.
func parseName(name string) (reference.Repository, error) {
	repo, err := reference.ParseRepository(name)
	var none *reference.NoRepositoryError
	switch {
	case errors.As(err, &none):
		return repo, &Error{Code: CodeNameUnknown, Message: none.Error(), Detail: map[string]string{"name": name}}
	case err != nil:
		return repo, &Error{Code: CodeNameInvalid, Message: err.Error(), Detail: map[string]string{"name": name}}
	}
	return repo, nil
}

// digest parses the reference of the path as a digest.
func (x *exchange) digest() (digest.Digest, error) { return parseDigest(x.at.reference) }

// isHead reports whether the response has no body.
func (x *exchange) isHead() bool { return x.r.Method == http.MethodHead }

func (x *exchange) context() context.Context { return x.r.Context() }

// finish ends an exchange, even after a panic: it counts and logs it, and cuts the connection
// if the response is incomplete.
func (x *exchange) finish() {
	abort := false
	if problem := recover(); problem != nil {
		abort = true
		if problem != http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http compares it
			klog.ErrorS(nil, "Serving a request of the registry panicked", "request", x.requestName(),
				"method", x.r.Method, "path", x.r.URL.Path, "panic", problem, "stack", string(debug.Stack()))
			if x.w.status == 0 {
				x.write(Errors{internalError(x.requestName())})
				abort = false
			}
		}
	}
	x.holdOnly(0)
	x.w.aborted = abort
	x.observe()
	if abort {
		panic(http.ErrAbortHandler)
	}
}
