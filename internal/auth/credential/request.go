package credential

import (
	"context"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"

	"weir.dev/weir/internal/auth/tokens"
)

// Shown are the credentials of a request.
type Shown struct {
	// certificate is the end of the client certificate, zero without one.
	certificate time.Time
	// token is that of the Authorization header, "" without one.
	token string
	// others is true for a request that may have a token elsewhere.
	others bool
	// proxied is true for a request whose user a front proxy may have named.
	proxied bool
	// impersonates is true for a request that may be for another user than the token's.
	impersonates bool
}

// End is the earliest end of all credentials of the request. Which of them identified the
// user does not matter: the end of that one is not earlier. ok is false where a token, or a
// request without a token and a certificate, does not say when it ends.
func (s Shown) End() (end tokens.End, ok bool) {
	if s.others {
		return tokens.End{}, false
	}
	end, ok = tokens.End{At: s.certificate}, !s.certificate.IsZero()
	if s.token == "" {
		return end, ok
	}
	token, ok := EndOf(s.token)
	if !ok {
		return tokens.End{}, false
	}
	if end.At.IsZero() || !token.At.IsZero() && token.At.Before(end.At) {
		end.At = token.At
	}
	end.Bound = token.Bound
	// Only of a token that identified the user the issuer is that of the user.
	if s.certificate.IsZero() && !s.impersonates {
		end.Issuer = token.Issuer
	}
	return end, true
}

type shownKey struct{}

// FromContext are the credentials that Note found; without it there are none.
func FromContext(ctx context.Context) Shown {
	s, _ := ctx.Value(shownKey{}).(Shown)
	return s
}

// Note keeps the credentials of requests below a path for their handlers, before
// authentication takes them away.
func Note(next http.Handler, path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, path) {
			r = r.WithContext(NewContext(r.Context(), shownBy(r)))
		}
		next.ServeHTTP(w, r)
	})
}

// NewContext is a context with the credentials.
func NewContext(ctx context.Context, s Shown) context.Context {
	return context.WithValue(ctx, shownKey{}, s)
}

// shownBy reads the places that Kubernetes' authenticators read.
func shownBy(r *http.Request) Shown {
	// A token may be among the protocols, and a front proxy that names the user does not show the
	// user's own credential.
	s := Shown{others: r.Header.Get("Sec-WebSocket-Protocol") != "" || r.Header.Get("X-Remote-User") != ""}
	s.proxied = r.Header.Get("X-Remote-User") != ""
	_, s.impersonates = r.Header[authenticationv1.ImpersonateUserHeader]
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		s.certificate = r.TLS.PeerCertificates[0].NotAfter
	}
	if scheme, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " "); strings.EqualFold(scheme, "Bearer") {
		s.token, _, _ = strings.Cut(token, " ")
	}
	return s
}
