package credential

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/auth/tokens"
)

// endKey is the extra value of a user that carries the end of the credentials to an API server behind
// an aggregator, which does not get the credentials.
const endKey = "credential-end.weir.dev"

// maxEnd bounds the bytes of the value.
const maxEnd = 4096

// forwardedEnd is the value, as JSON.
type forwardedEnd struct {
	// At is in seconds since 1970, 0 for a credential that ends with its objects alone.
	At     int64           `json:"at,omitempty"`
	Bound  []tokens.Object `json:"bound,omitempty"`
	Issuer string          `json:"issuer,omitempty"`
}

// Forward adds the end of the credentials that Note found to the user of requests below a path. It
// belongs right before the handler that passes requests on: whatever a client said of the end, by
// impersonation, is gone then.
func Forward(next http.Handler, path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, ok := apirequest.UserFrom(r.Context()); ok && strings.HasPrefix(r.URL.Path, path) {
			u = withEnd(u, FromContext(r.Context()))
			r = r.WithContext(apirequest.WithUser(r.Context(), u))
		}
		next.ServeHTTP(w, r)
	})
}

func withEnd(u user.Info, s Shown) user.Info {
	forwarded := copyWithoutEnd(u)
	end, ok := s.End()
	if !ok {
		return forwarded
	}
	value := forwardedEnd{Bound: end.Bound, Issuer: end.Issuer}
	if !end.At.IsZero() {
		value.At = end.At.Unix()
	}
	text, err := json.Marshal(value)
	if err != nil || len(text) > maxEnd {
		return forwarded // as with a credential that does not say when it ends
	}
	if forwarded.Extra == nil {
		forwarded.Extra = map[string][]string{}
	}
	forwarded.Extra[endKey] = []string{string(text)}
	return forwarded
}

// EndOfRequest returns the end of the credentials of a request, which may be one that an aggregator
// passed on. ok is false where it is not known.
func EndOfRequest(ctx context.Context, u user.Info) (end tokens.End, ok bool) {
	s := FromContext(ctx)
	if s.proxied && !s.impersonates {
		return endFrom(u)
	}
	return s.End()
}

func endFrom(u user.Info) (tokens.End, bool) {
	values := u.GetExtra()[endKey]
	if len(values) != 1 || len(values[0]) > maxEnd {
		return tokens.End{}, false
	}
	var value forwardedEnd
	if json.Unmarshal([]byte(values[0]), &value) != nil || value.At < 0 || value.At > maxExpiry {
		return tokens.End{}, false
	}
	end := tokens.End{Bound: value.Bound, Issuer: value.Issuer}
	if value.At > 0 {
		end.At = time.Unix(value.At, 0)
	}
	return end, value.At > 0 || len(value.Bound) > 0
}

// WithoutEnd is a user without the value of Forward.
func WithoutEnd(u user.Info) user.Info {
	if _, ok := u.GetExtra()[endKey]; !ok {
		return u
	}
	return copyWithoutEnd(u)
}

func copyWithoutEnd(u user.Info) *user.DefaultInfo {
	extra := maps.Clone(u.GetExtra())
	delete(extra, endKey)
	return &user.DefaultInfo{Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: extra}
}
