package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"weir.dev/weir/internal/registryrules"
)

// RequestURLHeader carries, one value each, the URLs of the requests that led to a
// request: registries that pull through each other find out by it that they turn in
// a circle.
const RequestURLHeader = "X-Registry-Request-URL"

const (
	// maxRequestURLs is the longest chain of registries that is gone along with.
	maxRequestURLs = 16
	// maxRequestURL is the longest URL in a chain, in bytes.
	maxRequestURL = 2 << 10
)

// chain are the URLs that led to a request; nil when it does not begin at a registry's
// request.
type chain struct{ urls []string }

type chainKey struct{}

// WithRequestURLs has requests for content that are made with the context carry
// RequestURLHeader: the given values, those of the request that is being served, and
// each its own URL. One whose URL is among the values already, or that follows too long
// a chain, is not sent and fails with CodeLoop.
func WithRequestURLs(ctx context.Context, urls []string) context.Context {
	return context.WithValue(ctx, chainKey{}, &chain{urls: urls})
}

// RequestURLs are the values given to WithRequestURLs, nil without them: for work that
// outlives the context of the request it began with.
func RequestURLs(ctx context.Context) []string {
	if c := chainOf(ctx); c != nil {
		return c.urls
	}
	return nil
}

func chainOf(ctx context.Context) *chain {
	c, _ := ctx.Value(chainKey{}).(*chain)
	return c
}

// key keeps requests of different chains from sharing work: one that waits for the
// other's answer could wait for itself.
func (c *chain) key() string {
	if c == nil {
		return ""
	}
	return strings.Join(c.urls, " ")
}

// check reports whether the chain has passed a source already. Scheme and kind of
// content are not looked at: it is the same request to the same registry.
func (c *chain) check(at registryrules.Source) *Error {
	if c == nil {
		return nil
	}
	if len(c.urls) > maxRequestURLs {
		return &Error{Code: CodeLoop, Text: fmt.Sprintf("the request has passed more than %d registries", maxRequestURLs)}
	}
	for _, passed := range c.urls {
		if len(passed) > maxRequestURL {
			return &Error{Code: CodeLoop, Text: fmt.Sprintf("the request comes from a URL of more than %d bytes", maxRequestURL)}
		}
		u, err := url.Parse(passed)
		if err != nil || !strings.EqualFold(u.Host, at.Host) {
			continue
		}
		what, ok := strings.CutPrefix(u.Path, "/v2/"+at.Path+"/")
		if ok && (what == "manifests/"+at.Reference || what == "blobs/"+at.Reference) {
			return &Error{Code: CodeLoop, Text: "the request came from there: registries pull through each other in a circle"}
		}
	}
	return nil
}

// announceURL puts a request's own URL behind those that led to it. What is no
// content (pings, tokens) needs none, and a token realm has no business with them.
func announceURL(req *http.Request, kind Kind) {
	c := chainOf(req.Context())
	if c == nil || kind == KindPing || kind == KindToken {
		return
	}
	for _, passed := range c.urls {
		if visible(passed) {
			req.Header.Add(RequestURLHeader, passed)
		}
	}
	req.Header.Add(RequestURLHeader, req.URL.String())
}

// visible reports whether a text can stand in a header.
func visible(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
