package access

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/ociregistry"
)

// Authentication schemes, as headers and challenges spell them.
const (
	schemeNone   = ""
	schemeBasic  = "Basic"
	schemeBearer = "Bearer"
)

// anonymousToken is the token of nobody.
const anonymousToken = "anonymous"

// maxSecret bounds what is sent to the API as a token.
const maxSecret = 32 << 10

// anonymous is nobody, as the API server calls it.
var anonymous = &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}

// credentials are what a request shows: a password or a token.
type credentials struct{ scheme, secret string }

// identity is who somebody is, and for how long that is known.
type identity struct {
	user   user.Info
	grants []ociregistry.Grant
	// expires is zero where it is not known.
	expires time.Time
}

// credentialsError says that credentials are not accepted. It never has them in it.
type credentialsError struct{ reason string }

func (e *credentialsError) Error() string { return e.reason }

// readCredentials reads an Authorization header. Without one that it understands, the
// scheme is schemeNone; of Basic credentials that cannot be read the secret is "".
func readCredentials(header string) credentials {
	scheme, value, found := strings.Cut(header, " ")
	if !found {
		return credentials{}
	}
	value = strings.Trim(value, " ")
	switch {
	case strings.EqualFold(scheme, schemeBearer):
		return credentials{schemeBearer, value}
	case strings.EqualFold(scheme, schemeBasic):
		decoded, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return credentials{scheme: schemeBasic}
		}
		_, password, _ := strings.Cut(string(decoded), ":")
		return credentials{schemeBasic, password}
	}
	return credentials{}
}

// identifyOurs tells whom a token of the registry's own is for.
func (a *Access) identifyOurs(ctx context.Context, secret string) (identity, error) {
	t, err := a.issuer.Verify(ctx, secret)
	var invalid *tokens.InvalidError
	if errors.As(err, &invalid) {
		return identity{}, &credentialsError{reason: invalid.Error()}
	}
	if err != nil {
		return identity{}, err
	}
	who := identity{user: t.User, expires: t.ExpiresAt}
	if t.Kind == tokens.Access {
		who.grants = grantsOf(t.Grants)
	}
	return who, nil
}

// grantsOf never returns nil, which would read as unbounded.
func grantsOf(granted []tokens.Grant) []ociregistry.Grant {
	grants := make([]ociregistry.Grant, len(granted))
	for i, g := range granted {
		grants[i] = ociregistry.Grant(g)
	}
	return grants
}

// identifyByReview asks the API whose token it is.
func (a *Access) identifyByReview(ctx context.Context, secret string) (identity, error) {
	if len(secret) > maxSecret {
		return identity{}, &credentialsError{reason: "the token is too long to be one"}
	}
	expires := expiryOf(secret)
	if !expires.IsZero() && !a.now().Before(expires) {
		return identity{}, &credentialsError{reason: "the token has expired"}
	}
	response, ok, err := a.reviewer.AuthenticateToken(ctx, secret)
	if err != nil {
		return identity{}, err
	}
	if !ok {
		return identity{}, &credentialsError{reason: "the API does not accept the token"}
	}
	return identity{user: response.User, expires: expires}, nil
}

// expiryOf is when a token says that it ends, zero when it does not say. Nothing is
// verified: the API's answer counts, and ends earlier at most.
func expiryOf(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Expires <= 0 || claims.Expires > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expires), 0)
}

// tokenReviews is the API's resource.
type tokenReviews interface {
	Create(ctx context.Context, r *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// tokenReviewer asks the API. Unlike the library's it tells a token that is refused,
// which is an answer and can be remembered, from a question that could not be asked.
type tokenReviewer struct{ reviews tokenReviews }

// AuthenticateToken implements authenticator.Token.
func (t tokenReviewer) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	review, err := t.reviews.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return nil, false, fmt.Errorf("asking the API for a token review: %w", err)
	}
	if !review.Status.Authenticated || review.Status.User.Username == "" {
		return nil, false, nil
	}
	u := review.Status.User
	extra := make(map[string][]string, len(u.Extra))
	for name, values := range u.Extra {
		extra[name] = values
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: u.Username, UID: u.UID, Groups: u.Groups, Extra: extra}}, true, nil
}
