package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Bounds of one call: how long it may take, how much of an answer is read.
const (
	callTimeout = 2 * time.Minute
	maxAnswer   = 64 << 20
)

// call is a request that is being put together.
type call struct {
	method    string
	url       string
	header    http.Header
	body      io.Reader
	length    int64 // -1 sends the body in HTTP chunks
	scopes    []string
	anonymous bool
	mayFail   bool // answers of 5xx are the caller's business
}

// option is one thing about a call.
type option func(*call)

// withHeader adds a header.
func withHeader(key, value string) option {
	return func(k *call) { k.header.Add(key, value) }
}

// withBody sends content with its length.
func withBody(content []byte) option {
	return func(k *call) { k.body, k.length = bytes.NewReader(content), int64(len(content)) }
}

// withStream sends content without its length, in HTTP chunks.
func withStream(r io.Reader) option {
	return func(k *call) { k.body, k.length = r, -1 }
}

// withScope asks for one more right than follows from the path.
func withScope(scope string) option {
	return func(k *call) { k.scopes = append(k.scopes, scope) }
}

// withoutCredentials sends no Authorization header.
func withoutCredentials() option {
	return func(k *call) { k.anonymous = true }
}

// redirects follows where registries send readers of blobs; everything else is seen
// as it was answered.
func redirects(req *http.Request, via []*http.Request) error {
	if from := via[0]; len(via) > 5 || from.Method != http.MethodGet && from.Method != http.MethodHead || !strings.Contains(from.URL.Path, "/blobs/sha") {
		return http.ErrUseLastResponse
	}
	return nil
}

// answer is what came back, read to its end.
type answer struct {
	asked  string // "PUT /v2/…"
	method string
	url    *url.URL
	status int
	header http.Header
	body   []byte
	// told says that a finding about the status has been told.
	told bool
}

// do sends a request to a path ("/v2/…") or to the URL of a Location, and looks at the
// answer as at every answer. It ends the check when there is none.
func (c *C) do(method, target string, options ...option) *answer {
	c.Helper()
	a, err := c.try(method, target, options...)
	if err != nil {
		c.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

// try is do for requests that may be cut off.
func (c *C) try(method, target string, options ...option) (*answer, error) {
	c.Helper()
	k := &call{method: method, url: target, header: http.Header{}}
	for _, o := range options {
		o(k)
	}
	if strings.HasPrefix(k.url, "/") {
		k.url = c.session.target.URL + k.url
	}
	ctx, cancel := context.WithTimeout(c.ctx, callTimeout)
	defer cancel()
	a, err := c.session.send(ctx, k)
	if err != nil {
		return nil, err
	}
	a.asked = method + " " + shortened(target)
	c.inspect(a, k.mayFail)
	return a, nil
}

func (s *session) send(ctx context.Context, k *call) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, k.method, k.url, k.body)
	if err != nil {
		return nil, err
	}
	for key, values := range k.header {
		req.Header[key] = values
	}
	if req.ContentLength = k.length; k.body != nil && k.length == 0 {
		req.Body = http.NoBody
	}
	if s.target.Authorization != nil && !k.anonymous {
		header, err := s.target.Authorization(ctx, append(scopesOf(k.method, req.URL, s.target.Repository), k.scopes...))
		if err != nil {
			return nil, fmt.Errorf("getting authorization: %w", err)
		}
		req.Header.Set("Authorization", header)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the body of an answer of status %d: %w", res.StatusCode, err)
	}
	return &answer{method: k.method, url: res.Request.URL, status: res.StatusCode, header: res.Header, body: body}, nil
}

// maxScopedName is the longest name that a token is asked for. Token services refuse longer
// ones, and what the registry says is what matters.
const maxScopedName = 255

// pathKinds finds the name of a repository, by the specification's grammar, in a path.
var pathKinds = regexp.MustCompile(`^/v2/([a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)/((?:blobs|manifests|tags|referrers)/.*)`)

// scopesOf are the scopes that a request needs by its method and path. Paths that
// name no repository get the rights of the one given.
func scopesOf(method string, u *url.URL, otherwise string) []string {
	if u.Path == "/v2/" {
		return nil
	}
	if u.Path == "/v2/_catalog" {
		return []string{"registry:catalog:*"}
	}
	repository, rest := otherwise, ""
	if m := pathKinds.FindStringSubmatch(u.Path); m != nil && len(m[1]) <= maxScopedName {
		repository, rest = m[1], m[2]
	}
	actions := "pull,push"
	switch {
	case method == http.MethodGet || method == http.MethodHead:
		actions = "pull"
	case method == http.MethodDelete && !strings.HasPrefix(rest, "blobs/uploads/"):
		actions = "delete"
	}
	return []string{"repository:" + repository + ":" + actions}
}

// want tells a finding unless the answer has one of the statuses, and reports whether
// it has.
func (c *C) want(a *answer, statuses ...int) bool {
	c.Helper()
	if slices.Contains(statuses, a.status) {
		return true
	}
	if !a.told {
		c.Errorf("%s: status %d, want %s\n%s", a.asked, a.status, oneOf(statuses), excerpt(a.body))
	}
	return false
}

// must is want, and ends the check.
func (c *C) must(a *answer, statuses ...int) {
	c.Helper()
	if !slices.Contains(statuses, a.status) {
		c.Fatalf("%s: status %d, want %s\n%s", a.asked, a.status, oneOf(statuses), excerpt(a.body))
	}
}

// wantHeader tells a finding unless a header has that value.
func (c *C) wantHeader(a *answer, key, value string) {
	c.Helper()
	if got := a.header.Get(key); got != value {
		c.Errorf("%s: header %s is %q, want %q", a.asked, key, got, value)
	}
}

// location is the Location of an answer as an absolute URL.
func (c *C) location(a *answer) string {
	c.Helper()
	header := a.header.Get("Location")
	if header == "" {
		c.Fatalf("%s: status %d without a Location", a.asked, a.status)
	}
	u, err := a.url.Parse(header)
	if err != nil {
		c.Fatalf("%s: Location %q is no URL: %v", a.asked, header, err)
	}
	return u.String()
}

// addQuery adds parameters (name, value, …) to a URL without touching those it has.
func addQuery(target string, pairs ...string) string {
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		target += separator + url.QueryEscape(pairs[i]) + "=" + url.QueryEscape(pairs[i+1])
		separator = "&"
	}
	return target
}

// shortened keeps what a finding needs of a URL: state that registries put into Locations
// is long.
func shortened(target string) string {
	const most = 260
	if len(target) > most {
		return target[:most] + "…"
	}
	return target
}

func oneOf(statuses []int) string {
	words := make([]string, len(statuses))
	for i, s := range statuses {
		words[i] = fmt.Sprint(s)
	}
	return strings.Join(words, " or ")
}

func excerpt(body []byte) string {
	const most = 400
	if len(body) > most {
		return string(body[:most]) + "…"
	}
	return string(body)
}
