package access

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/auth/credential"
	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/ociregistry"
)

// Authentication schemes, as headers and challenges spell them.
const (
	schemeNone   = ""
	schemeBasic  = "Basic"
	schemeBearer = "Bearer"
)

// anonymousToken is the token of the anonymous user.
const anonymousToken = "anonymous"

// maxSecret bounds the tokens that are sent to the API, in bytes.
const maxSecret = 32 << 10

// anonymous is the API server's user for requests without credentials.
var anonymous = &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}

// credentials are the password or token of a request.
type credentials struct{ scheme, secret string }

// identity is a user and the expiry of the credential that authenticated it.
type identity struct {
	user   user.Info
	grants []ociregistry.Grant
	end    tokens.End
	// endless is true for a credential without an expiry.
	endless bool
}

// credentialsError rejects credentials. It never contains them.
type credentialsError struct{ reason string }

func (e *credentialsError) Error() string { return e.reason }

// readCredentials reads an Authorization header. The scheme is schemeNone if the header is
// missing or has another scheme; the secret is "" for malformed Basic credentials.
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

// identifyOurs returns the user of a token that the registry issued.
func (a *Access) identifyOurs(ctx context.Context, secret string) (identity, error) {
	t, err := a.issuer.Verify(ctx, secret)
	var invalid *tokens.InvalidError
	if errors.As(err, &invalid) {
		return identity{}, &credentialsError{reason: invalid.Error()}
	}
	if err != nil {
		return identity{}, err
	}
	if err := a.objects.Exist(ctx, t.Bound); err != nil {
		return identity{}, ended(err)
	}
	who := identity{user: t.User, end: tokens.End{At: t.ExpiresAt, Bound: t.Bound, Issuer: t.Issuer}}
	if t.Kind == tokens.Access {
		who.grants = grantsOf(t.Grants)
	}
	return who, nil
}

// ended returns the error for a credential whose object was deleted.
func ended(err error) error {
	var gone *credential.GoneError
	if errors.As(err, &gone) {
		return &credentialsError{reason: "the token is no longer valid: " + gone.Error()}
	}
	return err
}

// grantsOf converts grants. It never returns nil, which would mean unbounded.
func grantsOf(granted []tokens.Grant) []ociregistry.Grant {
	grants := make([]ociregistry.Grant, len(granted))
	for i, g := range granted {
		grants[i] = ociregistry.Grant(g)
	}
	return grants
}

// identifyByReview returns the user of an API token, by a TokenReview.
func (a *Access) identifyByReview(ctx context.Context, secret string) (identity, error) {
	if len(secret) > maxSecret {
		return identity{}, &credentialsError{reason: "the token is too long"}
	}
	end, bounded := credential.EndOf(secret)
	if !end.At.IsZero() && !a.now().Before(end.At) {
		return identity{}, &credentialsError{reason: "the token has expired"}
	}
	response, ok, err := a.reviewer.AuthenticateToken(ctx, secret)
	if err != nil {
		return identity{}, err
	}
	if !ok {
		return identity{}, &credentialsError{reason: "the API does not accept the token"}
	}
	return identity{user: response.User, end: end, endless: !bounded}, nil
}

// tokenReviews is the API's resource.
type tokenReviews interface {
	Create(ctx context.Context, r *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// tokenReviewer creates TokenReviews. Unlike the library's, it distinguishes a rejected token,
// which can be cached, from a failed request.
type tokenReviewer struct{ reviews tokenReviews }

// AuthenticateToken implements authenticator.Token.
func (t tokenReviewer) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	review, err := t.reviews.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return nil, false, fmt.Errorf("creating a token review: %w", err)
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
