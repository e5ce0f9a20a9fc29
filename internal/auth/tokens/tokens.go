package tokens

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/caches"
)

const (
	// maxLifetime bounds every token.
	maxLifetime = 12 * time.Hour
	// MaxBytes bounds a token: proxies take 8 KiB of headers, and there are others than this.
	MaxBytes = 7 << 10

	// leeway is by how much clocks of replicas may differ.
	leeway = 10 * time.Second
	// verifiedBytes bounds the memory for tokens whose verification is remembered.
	verifiedBytes = 16 << 20
	// tokenBytes is about what a verified token takes beside its texts.
	tokenBytes = 600
	// maxHeader bounds the header of what may be a token of ours: a type, an algorithm
	// and a key's name.
	maxHeader = 256
)

var (
	errIncomplete = errors.New("it is not a registry token")
	errNobody     = errors.New("issuing a token: the request has no user")
	errUnbound    = errors.New("issuing a token of a service account: it is not bound to the account's UID")
)

// InvalidError says why a token is not accepted. It never has the token in it.
type InvalidError struct {
	Reason string
	// Expired reports whether the token was valid once.
	Expired bool
}

func (e *InvalidError) Error() string { return "the registry token is not valid: " + e.Reason }

// TooLargeError says that an identity does not fit into a token.
type TooLargeError struct {
	User  string
	Bytes int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("a token for %s would have %d bytes, more than the %d that fit into a header: the user is in too many groups, or has too many extra attributes", e.User, e.Bytes, MaxBytes)
}

// Issuer issues tokens and verifies them. It may be used by many goroutines at once.
type Issuer struct {
	keys   *Keys
	parser *jwt.Parser
	now    func() time.Time
	// verified are tokens by their hash; what is in it was verified with the key of that
	// name.
	verified *caches.Cache[[sha256.Size]byte, verified]
}

type verified struct {
	token *Token
	keyID string
	bytes int // of the text
}

// NewIssuer signs with the keys. The tokens that it remembers are bounded by the pool, if that is
// not nil; one that is forgotten costs another verification.
func NewIssuer(keys *Keys, p *caches.Pool) *Issuer {
	now := keys.o.Now
	cache := caches.New(p, caches.Options[[sha256.Size]byte, verified]{
		Name: "registry_tokens", Bytes: verifiedBytes, Now: now,
		Cost: func(_ [sha256.Size]byte, v verified) int { return tokenBytes + v.bytes },
	})
	return &Issuer{keys: keys, now: now, verified: cache, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithNotBeforeRequired(), jwt.WithLeeway(leeway),
		jwt.WithStrictDecoding(), jwt.WithTimeFunc(now),
	)}
}

// Issue signs a token of that kind for a user, for lifetime or until end where that comes
// first. It returns the token, and what the token says. The error is a *TooLargeError, an
// *InvalidError if end is not in the future, or says that the key cannot be read.
func (i *Issuer) Issue(ctx context.Context, kind Kind, u user.Info, grants []Grant, lifetime time.Duration, end End) (string, Token, error) {
	now := i.now().Truncate(time.Second)
	t := Token{Kind: kind, User: u, Grants: grants, Bound: end.Bound, Issuer: end.Issuer, IssuedAt: now, ExpiresAt: now.Add(min(lifetime, maxLifetime))}
	if !end.At.IsZero() && end.At.Before(t.ExpiresAt) {
		t.ExpiresAt = end.At.Truncate(time.Second)
	}
	switch {
	case u.GetName() == "" || u.GetName() == user.Anonymous:
		return "", Token{}, errNobody
	case !bindsAccount(u.GetName(), end.Bound, end.Issuer):
		return "", Token{}, errUnbound
	}
	if !t.ExpiresAt.After(now) {
		return "", Token{}, &InvalidError{Reason: "its credential has expired", Expired: true}
	}
	k, err := i.keys.signing(ctx)
	if err != nil {
		return "", Token{}, err
	}
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, claimsOf(t, rand.Text()))
	unsigned.Header["kid"], unsigned.Header["typ"] = k.ID, tokenType
	signed, err := unsigned.SignedString(k.Secret)
	if err != nil {
		return "", Token{}, fmt.Errorf("signing a token: %w", err)
	}
	if len(signed) > MaxBytes {
		return "", Token{}, &TooLargeError{User: u.GetName(), Bytes: len(signed)}
	}
	return signed, t, nil
}

// IsOurs reports whether a text claims to be a token of this package. It does not tell
// whether that is true.
func IsOurs(text string) bool {
	encoded, rest, found := strings.Cut(text, ".")
	if !found || len(encoded) > maxHeader || strings.Count(rest, ".") != 1 {
		return false
	}
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	var h struct {
		Type string `json:"typ"`
	}
	return json.Unmarshal(header, &h) == nil && h.Type == tokenType
}

// Verify reads a token. The error is an *InvalidError, or says that the keys cannot be
// had. What it returns is shared and must not be changed.
func (i *Issuer) Verify(ctx context.Context, text string) (*Token, error) {
	if len(text) > MaxBytes {
		return nil, &InvalidError{Reason: "it is too long for a registry token"}
	}
	hash := sha256.Sum256([]byte(text))
	if v, ok := i.verified.Get(hash); ok && i.keys.inUse(v.keyID) {
		return v.token, nil
	}
	var unavailable error
	var keyID string
	parsed, err := i.parser.ParseWithClaims(text, &claims{}, func(t *jwt.Token) (any, error) {
		keyID, _ = t.Header["kid"].(string)
		if t.Header["typ"] != tokenType {
			return nil, errIncomplete
		}
		k, found, err := i.keys.verifying(ctx, keyID)
		if err != nil {
			unavailable = err
			return nil, err
		}
		if !found {
			return nil, errors.New("its key is not in use")
		}
		return k.Secret, nil
	})
	if unavailable != nil {
		return nil, unavailable
	}
	if err != nil {
		return nil, invalid(err)
	}
	token := parsed.Claims.(*claims).token()
	i.verified.AddUntil(hash, verified{token: token, keyID: keyID, bytes: len(text)}, token.ExpiresAt)
	return token, nil
}

// invalid says in our words what the library found.
func invalid(err error) *InvalidError {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return &InvalidError{Reason: "it has expired", Expired: true}
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return &InvalidError{Reason: "it is not valid yet"}
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return &InvalidError{Reason: "the key it names is not in use"}
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return &InvalidError{Reason: "its signature is wrong"}
	}
	return &InvalidError{Reason: "it is not a registry token"}
}
