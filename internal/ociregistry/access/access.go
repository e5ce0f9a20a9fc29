package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/auth"
	"weir.dev/weir/internal/auth/credential"
	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/ociregistry"
)

// TokenPath is the path of the token endpoint.
const TokenPath = "/openshift/token"

// How long answers of the API are cached.
const (
	knownTokenTTL   = 10 * time.Second
	unknownTokenTTL = 5 * time.Second
	allowedTTL      = 10 * time.Second
	refusedTTL      = 5 * time.Second

	// reviewTimeout bounds one review, so that an unreachable API fails requests early.
	reviewTimeout = 10 * time.Second
	// retryAfter is the Retry-After for clients while the API is unavailable.
	retryAfter = 2 * time.Second
)

// DefaultLifetime is the default of Options.Lifetime.
const DefaultLifetime = 5 * time.Minute

// Options configure Access.
type Options struct {
	// Config reaches the API, as a user that may create tokenreviews and
	// subjectaccessreviews, get, create and update the Secret of the key, and get what
	// tokens are bound to: serviceaccounts, secrets, pods and nodes.
	Config *rest.Config
	// KeyNamespace and KeyName are the Secret whose key signs tokens; "" is
	// tokens.DefaultNamespace and tokens.DefaultName.
	KeyNamespace, KeyName string
	// KeyMaxAge is the age at which that key is replaced; 0 is tokens.DefaultRotateAfter.
	KeyMaxAge time.Duration
	// Lifetime is how long an issued token is valid; 0 is DefaultLifetime.
	Lifetime time.Duration
	// Realm is the scheme://host[:port] of the token endpoint; "" is the host of the
	// request.
	Realm string
	// TrustedProxies are the addresses whose Forwarded and X-Forwarded-* headers give the
	// host and scheme of the client's request. Headers from other addresses are ignored.
	TrustedProxies []netip.Prefix
	// AccountIssuers are the issuers of the API's own service account tokens.
	AccountIssuers []string
	// Caches bounds the memory of all caches together, in addition to the bound of each; nil is
	// unbounded.
	Caches *caches.Pool
	// Now is the time; nil is time.Now.
	Now ociregistry.Clock
}

// Access implements ociregistry.Access.
type Access struct {
	reviewer authenticator.Token
	rights   auth.Access
	issuer   *tokens.Issuer
	objects  *credential.Objects
	realm    realm
	lifetime time.Duration
	now      func() time.Time
}

var _ ociregistry.Access = (*Access)(nil)

// New sends no request. It fails on invalid options.
func New(o Options) (*Access, error) {
	if o.Config == nil {
		return nil, errors.New("setting up the registry's access control: no client config is given")
	}
	r, err := newRealm(o.Realm, o.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("setting up the registry's access control: %w", err)
	}
	config := rest.CopyConfig(o.Config)
	config.Timeout = reviewTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("setting up the registry's access control: %w", err)
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("setting up the registry's access control: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	keys := tokens.NewKeys(tokens.KeyOptions{
		Secrets:     client.CoreV1().Secrets(cmp.Or(o.KeyNamespace, tokens.DefaultNamespace)),
		Name:        o.KeyName,
		RotateAfter: o.KeyMaxAge,
		Now:         o.Now,
	})
	return &Access{
		reviewer: newRememberingReviewer(tokenReviewer{client.AuthenticationV1().TokenReviews()}, o.Caches, o.Now),
		rights:   auth.New(newReviewedRights(client.AuthorizationV1().SubjectAccessReviews(), o.Caches, o.Now)),
		issuer:   tokens.NewIssuer(keys, o.Caches),
		objects:  credential.NewObjects(objects, o.AccountIssuers, o.Caches, o.Now),
		realm:    r,
		lifetime: cmp.Or(o.Lifetime, DefaultLifetime),
		now:      o.Now,
	}, nil
}

// Authenticate implements ociregistry.Access.
func (a *Access) Authenticate(r *http.Request) (ociregistry.Caller, error) {
	shown := readCredentials(r.Header.Get("Authorization"))
	realm := a.realm.of(r)
	caller := ociregistry.Caller{Scheme: shown.scheme, Realm: realm.url(), Client: a.realm.client(r)}
	if shown.scheme == schemeNone {
		return caller, unauthorized("authentication is required", realm.bearer(wanted(r), ""))
	}
	who, err := a.identify(r.Context(), shown)
	if err != nil {
		return caller, a.refused(r, shown.scheme, realm, err)
	}
	caller.User, caller.Grants = who.user, who.grants
	return caller, nil
}

// refused returns the error for rejected credentials.
func (a *Access) refused(r *http.Request, scheme string, where endpoint, err error) error {
	var wrong *credentialsError
	if !errors.As(err, &wrong) {
		return unavailable(err)
	}
	if scheme == schemeBasic {
		return unauthorized(wrong.reason, where.basic()).Because(err)
	}
	return unauthorized(wrong.reason, where.bearer(wanted(r), "invalid_token")).Because(err)
}

// Challenge implements ociregistry.Access.
func (a *Access) Challenge(r *http.Request, repo string, actions ...ociregistry.Action) string {
	where := a.realm.of(r)
	if readCredentials(r.Header.Get("Authorization")).scheme == schemeBasic {
		return where.basic()
	}
	if repo == "" {
		return where.bearer("", "")
	}
	return where.bearer(repositoryScope(repo, actions...), "")
}

func unauthorized(message, challenge string) *ociregistry.Error {
	e := ociregistry.NewError(ociregistry.CodeUnauthorized, "%s", message)
	e.Challenge = challenge
	return e
}

func unavailable(err error) *ociregistry.Error {
	e := ociregistry.NewError(ociregistry.CodeUnavailable, "the API server that authorizes requests is unavailable")
	e.RetryAfter = retryAfter
	return e.Because(err)
}

// identify returns the user of the credentials. The error is a *credentialsError if they are
// rejected; any other error means that the API could not be reached.
func (a *Access) identify(ctx context.Context, shown credentials) (identity, error) {
	switch {
	case shown.scheme == schemeBearer && shown.secret == anonymousToken:
		return identity{user: anonymous}, nil
	case shown.secret == "":
		return identity{}, &credentialsError{reason: "the password is missing"}
	case tokens.IsOurs(shown.secret):
		return a.identifyOurs(ctx, shown.secret)
	}
	return a.identifyByReview(ctx, shown.secret)
}
