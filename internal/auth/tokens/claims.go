package tokens

import (
	"time"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/apiserver/pkg/authentication/user"
)

// What every token of ours says of itself.
const (
	issuer    = "weir.dev/registry"
	audience  = "weir.dev/registry"
	tokenType = "weir-registry+jwt" // in the header, to tell ours from others without a key
)

// Kind is the purpose of a token.
type Kind string

// The kinds.
const (
	// Access tokens are bound to their grants.
	Access Kind = "access"
	// Password tokens are good for whatever their user may do.
	Password Kind = "password"
)

// Grant is one part of what an access token allows.
type Grant struct {
	Type    string   `json:"type"`    // "repository", "registry"
	Name    string   `json:"name"`    // of the repository as asked for, "catalog"
	Actions []string `json:"actions"` // "pull", "push", "delete", "sign", "*"
}

// Token has the claims of a token.
type Token struct {
	Kind Kind
	// User is whom it is for, never nobody.
	User user.Info
	// Grants limit the token. An access token may have none, and is good for
	// nothing but showing who has it; a password never has any.
	Grants []Grant
	// Bound are the objects that it ends with. The token of a service account is always
	// bound to the account, unless that is another cluster's.
	Bound []Object
	// Issuer is the issuer of the other cluster, "" for all other users.
	Issuer string
	// IssuedAt and ExpiresAt are in whole seconds.
	IssuedAt, ExpiresAt time.Time
}

// claims is a token's content on the wire.
type claims struct {
	jwt.RegisteredClaims
	Kind   Kind                `json:"kind"`
	UID    string              `json:"uid,omitempty"`
	Groups []string            `json:"groups,omitempty"`
	Extra  map[string][]string `json:"extra,omitempty"`
	Grants []Grant             `json:"access,omitempty"`
	Bound  []Object            `json:"bound,omitempty"`
	From   string              `json:"from,omitempty"`
}

// claimsOf says what a token says.
func claimsOf(t Token, id string) *claims {
	return &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Subject:   t.User.GetName(),
			Audience:  jwt.ClaimStrings{audience},
			IssuedAt:  jwt.NewNumericDate(t.IssuedAt),
			NotBefore: jwt.NewNumericDate(t.IssuedAt),
			ExpiresAt: jwt.NewNumericDate(t.ExpiresAt),
			ID:        id,
		},
		Kind:   t.Kind,
		UID:    t.User.GetUID(),
		Groups: t.User.GetGroups(),
		Extra:  t.User.GetExtra(),
		Grants: t.Grants,
		Bound:  t.Bound,
		From:   t.Issuer,
	}
}

// token is the inverse of claimsOf.
func (c *claims) token() *Token {
	t := &Token{
		Kind:      c.Kind,
		User:      &user.DefaultInfo{Name: c.Subject, UID: c.UID, Groups: c.Groups, Extra: c.Extra},
		Grants:    c.Grants,
		Bound:     c.Bound,
		Issuer:    c.From,
		IssuedAt:  c.IssuedAt.Time,
		ExpiresAt: c.ExpiresAt.Time,
	}
	if t.Kind == Access && t.Grants == nil {
		t.Grants = []Grant{} // nil would read as unbounded
	}
	return t
}

// Validate is called by the library once signature and times are right: it refuses what
// this package never issues.
func (c *claims) Validate() error {
	switch {
	case c.Subject == "" || c.IssuedAt == nil || c.ExpiresAt == nil:
		return errIncomplete
	case c.Kind != Access && c.Kind != Password, c.Kind == Password && c.Grants != nil:
		return errIncomplete
	case c.ExpiresAt.Sub(c.IssuedAt.Time) > maxLifetime, !bindsAccount(c.Subject, c.Bound, c.From):
		return errIncomplete
	}
	return nil
}
