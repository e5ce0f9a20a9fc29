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

// anonymousToken is the token of nobody.
const anonymousToken = "anonymous"

// maxSecret bounds what is sent to the API as a token.
const maxSecret = 32 << 10

// anonymous is nobody, as the API server calls it.
var anonymous = &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}

// credentials are what a request shows: a password or a token.
type credentials struct{ scheme, secret string }

// identity is a user and the end of the credential that shows it.
type identity struct {
	user   user.Info
	grants []ociregistry.Grant
	end    tokens.End
	// endless is true for a credential that does not say when it ends.
	endless bool
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
	if err := a.objects.Exist(ctx, t.Bound); err != nil {
		return identity{}, ended(err)
	}
	who := identity{user: t.User, end: tokens.End{At: t.ExpiresAt, Bound: t.Bound, Issuer: t.Issuer}}
	if t.Kind == tokens.Access {
		who.grants = grantsOf(t.Grants)
	}
	return who, nil
}

// ended tells in the words of the client that a credential ended with an object.
func ended(err error) error {
	var gone *credential.GoneError
	if errors.As(err, &gone) {
		return &credentialsError{reason: "the token is not valid any more: " + gone.Error()}
	}
	return err
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
