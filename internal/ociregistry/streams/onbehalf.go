package streams

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/transport"

	"weir.dev/weir/internal/ociregistry"
)

// Names of the extra values of the registry's identity, by which audit and admission tell for
// whom it writes.
const (
	extraUser    = "weir.dev/user"
	extraClient  = "weir.dev/client"
	extraRequest = "weir.dev/request"
)

// onBehalf is a transport that names, in each write, the user and the client that the registry
// writes for. It does so by impersonation, which the API authorizes: no client without the
// right to impersonate these extra values can write in this way.
type onBehalf struct {
	next http.RoundTripper
	// identity is the registry's own user, which has its rights.
	identity user.Info
}

// RoundTrip implements http.RoundTripper.
func (t onBehalf) RoundTrip(r *http.Request) (*http.Response, error) {
	origin, ok := ociregistry.OriginOf(r.Context())
	if !ok || r.Method == http.MethodGet {
		return t.next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	if r.Header.Get(transport.ImpersonateUserHeader) == "" {
		r.Header.Set(transport.ImpersonateUserHeader, t.identity.GetName())
		r.Header[transport.ImpersonateGroupHeader] = t.identity.GetGroups()
		setExtra(r.Header, extraUser, origin.User)
	}
	setExtra(r.Header, extraClient, origin.Client)
	setExtra(r.Header, extraRequest, origin.Request)
	return t.next.RoundTrip(r)
}

// WrappedRoundTripper lets client-go find the transport below.
func (t onBehalf) WrappedRoundTripper() http.RoundTripper { return t.next }

// setExtra sets an extra value. One that no header can hold is quoted.
func setExtra(h http.Header, name, value string) {
	if !httpguts.ValidHeaderFieldValue(value) {
		value = strconv.QuoteToASCII(value)
	}
	// The slash of the name is escaped, as the API expects it.
	h.Set(transport.ImpersonateUserExtraHeaderPrefix+strings.ReplaceAll(url.PathEscape(name), "/", "%2F"), value)
}
