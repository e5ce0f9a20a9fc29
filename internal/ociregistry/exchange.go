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

// exchange is one request and its answer.
type exchange struct {
	*Handler
	r    *http.Request
	w    answer
	body body

	started time.Time
	at      location
	route   *route
	repo    reference.Repository
	caller  Caller
	name    string // of the request, once somebody asked for it
	taken   int    // manifests that were fetched for a push
	held    int64  // bytes of memory that are counted for it
}

// Headers that every answer has. Maps of headers share these slices; nobody writes to them.
var (
	headerVersion    = []string{"registry/2.0"}
	headerSignatures = []string{"1"} // containers/image asks for signatures where it sees this
	headerNosniff    = []string{"nosniff"}
)

// serve is the way of every request: routed, admitted, authenticated, authorized, handled.
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
		return NewError(CodeNameInvalid, "no name has an escaped slash in it")
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
		// Registries that pull through each other would ask in a circle.
		x.r = x.r.WithContext(upstream.WithRequestURLs(x.r.Context(), urls))
	}
	return route.does(x)
}

// limiter is the one for the request's method.
func (x *exchange) limiter() *limiter {
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return x.reads
	}
	return x.writes
}

// admit finds out who sends the request and whether they may.
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
		x.r = x.r.WithContext(WithOrigin(x.context(), Origin{User: x.caller.User.GetName(), Client: x.client(), Request: x.requestName()}))
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

// unnamed is the error for a name that no repository has. To HEAD the answer is 404: it has no body
// to say what is wrong, and after a 404 clients send the request whose answer has one.
func (x *exchange) unnamed(err error) error {
	if invalid := (*Error)(nil); x.isHead() && errors.As(err, &invalid) {
		invalid.Status = http.StatusNotFound
	}
	return err
}

// parseName reads the name of a repository. A name that nothing can have here is one
// that is not there.
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

// digest reads the reference of the path as a digest.
func (x *exchange) digest() (digest.Digest, error) { return parseDigest(x.at.reference) }

// isHead reports whether the answer has no body.
func (x *exchange) isHead() bool { return x.r.Method == http.MethodHead }

func (x *exchange) context() context.Context { return x.r.Context() }

// finish ends an exchange, also one that panicked: counts it, logs it, and cuts the
// connection where an answer broke off in the middle.
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
