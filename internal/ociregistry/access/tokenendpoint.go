package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"k8s.io/klog/v2"

	"weir.dev/weir/internal/auth"
	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/ociregistry"
)

// maxForm bounds the body of a request for a token.
const maxForm = 64 << 10

// tokenAnswer is the response of the token endpoint. The two names of the token are those of
// the Docker and of the OAuth 2 form of the protocol; there are no refresh tokens.
type tokenAnswer struct {
	Token       string `json:"token"`
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type,omitempty"`
	ExpiresIn   int    `json:"expires_in,omitempty"`
	IssuedAt    string `json:"issued_at,omitempty"`
}

// tokenRequest has the parameters of a request for a token.
type tokenRequest struct {
	// shown is nil when there are no credentials at all.
	shown  *credentials
	scopes []string
	oauth  bool
}

// ServeToken serves the token endpoint: GET as the Docker token specification has it, with
// the password as Basic credentials, and POST as OAuth 2 has it, with the password in a
// form. A client without a login gets a token as well, the literal "anonymous".
func (a *Access) ServeToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	var request tokenRequest
	switch r.Method {
	case http.MethodGet:
		request = a.readGet(r)
	case http.MethodPost:
		var failure string
		if request, failure = readPost(w, r); failure != "" {
			answer(w, http.StatusBadRequest, map[string]string{"error": failure})
			return
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	a.serveToken(w, r, request)
}

func (a *Access) readGet(r *http.Request) tokenRequest {
	request := tokenRequest{scopes: r.URL.Query()["scope"]}
	if header := r.Header.Get("Authorization"); header != "" {
		shown := readCredentials(header)
		if shown.scheme != schemeBasic {
			shown.secret = "" // only passwords are exchanged for tokens
		}
		request.shown = &shown
	}
	return request
}

// readPost reads the form. failure is the error code of OAuth 2, "" for none.
func readPost(w http.ResponseWriter, r *http.Request) (request tokenRequest, failure string) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.ParseForm() != nil {
		return tokenRequest{}, "invalid_request"
	}
	secret := ""
	switch r.PostForm.Get("grant_type") {
	case "password":
		secret = r.PostForm.Get("password")
	case "refresh_token":
		// There are none, but clients send what a user gave them as a token in this way.
		secret = r.PostForm.Get("refresh_token")
	case "":
		return tokenRequest{}, "invalid_request"
	default:
		return tokenRequest{}, "unsupported_grant_type"
	}
	return tokenRequest{shown: &credentials{schemeBasic, secret}, scopes: r.PostForm["scope"], oauth: true}, ""
}

func (a *Access) serveToken(w http.ResponseWriter, r *http.Request, request tokenRequest) {
	if request.shown == nil {
		answer(w, http.StatusOK, tokenAnswer{Token: anonymousToken, AccessToken: anonymousToken})
		return
	}
	who, err := a.identify(r.Context(), *request.shown)
	if err != nil {
		a.refuseToken(w, r, err)
		return
	}
	granted, err := a.evaluate(r.Context(), who, parseScopes(request.scopes))
	if err != nil {
		a.refuseToken(w, r, err)
		return
	}
	reply, err := a.issue(r.Context(), who, granted, *request.shown)
	if err != nil {
		a.refuseToken(w, r, err)
		return
	}
	if request.oauth {
		reply.TokenType = schemeBearer
	}
	answer(w, http.StatusOK, reply)
}

// evaluate returns what of the scopes the user may do now. Rights that a user does not
// have are left out: the client finds out where it needs them.
func (a *Access) evaluate(ctx context.Context, who identity, scopes []scope) ([]tokens.Grant, error) {
	var grants []tokens.Grant
	caller := ociregistry.Caller{User: who.user, Grants: who.grants}
	for _, s := range scopes {
		if s.catalog() {
			if mayList(who.grants) {
				grants = append(grants, tokens.Grant{Type: typeRegistry, Name: nameCatalog, Actions: []string{actionAll}})
			}
			continue
		}
		wants := s.wants()
		var allowed []string
		for _, word := range slices.Sorted(maps.Keys(wants)) {
			err := a.may(ctx, caller, s.repository, wants[word])
			var refusal *auth.Refusal
			if errors.As(err, &refusal) && refusal.Failure != nil {
				return nil, fmt.Errorf("authorizing access to %s: %w", s.repository, refusal.Failure)
			}
			if err == nil {
				allowed = append(allowed, word)
			}
		}
		if len(allowed) > 0 {
			grants = append(grants, tokens.Grant{Type: typeRepository, Name: s.name, Actions: allowed})
		}
	}
	return grants, nil
}

// issue makes the answer. Where no token can be made that ends with the one that was shown, or
// fits into a header, the answer is that one itself: clients can go on, and it is good for what
// it was good for.
func (a *Access) issue(ctx context.Context, who identity, granted []tokens.Grant, shown credentials) (tokenAnswer, error) {
	if who.endless {
		return tokenAnswer{Token: shown.secret, AccessToken: shown.secret}, nil
	}
	end, err := a.objects.Complete(ctx, who.user, who.end)
	if err != nil {
		return tokenAnswer{}, ended(err)
	}
	text, t, err := a.issuer.Issue(ctx, tokens.Access, who.user, granted, a.lifetime, end)
	var large *tokens.TooLargeError
	var invalid *tokens.InvalidError
	switch {
	case errors.As(err, &large):
		klog.FromContext(ctx).V(2).Info("The user's groups exceed the size of a registry token; returning the API token itself", "user", large.User, "bytes", large.Bytes)
		return tokenAnswer{Token: shown.secret, AccessToken: shown.secret}, nil
	case errors.As(err, &invalid):
		return tokenAnswer{}, &credentialsError{reason: invalid.Reason}
	case err != nil:
		return tokenAnswer{}, err
	}
	return tokenAnswer{
		Token: text, AccessToken: text,
		ExpiresIn: int(t.ExpiresAt.Sub(t.IssuedAt) / time.Second),
		IssuedAt:  t.IssuedAt.UTC().Format(time.RFC3339),
	}, nil
}

// refuseToken answers an error: wrong credentials with an empty body, as clients know it.
func (a *Access) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	var wrong *credentialsError
	if errors.As(err, &wrong) {
		w.Header().Set("WWW-Authenticate", a.realm.of(r).basic())
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	klog.FromContext(r.Context()).Error(err, "Issuing a registry token failed")
	w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	answer(w, http.StatusServiceUnavailable, map[string]string{"details": "the API that decides about access cannot be asked at the moment"})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
