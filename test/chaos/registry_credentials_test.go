package chaos_test

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/auth/tokens"
)

// credential is what somebody shows.
type credential struct {
	what, authorization string
	// known tells that it is somebody's, bound that it is good for what it was issued
	// for alone, and holds the one right that it has in the private repository.
	known, bound bool
	holds        string
	// sees is the catalog for it.
	sees string
}

// forged is a token of the registry with something changed, and signed anew.
func forged(t *testing.T, genuine string, change func(*jwt.Token), key any) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(genuine, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	change(parsed)
	parsed.Header["alg"] = parsed.Method.Alg()
	text, err := parsed.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// credentials are those of strangers, and those that are nobody's.
func (h *household) credentials(t *testing.T) []credential {
	t.Helper()
	const all = "repository:private/app:pull,push,delete"
	api := strings.TrimPrefix(h.stranger.authorization, "Bearer ")
	loggedIn := h.admin.as(basicAuthorization(api))
	genuine := h.admin.token(t, all, "registry:catalog:*")
	unsigned := func(t *jwt.Token) { t.Method = jwt.SigningMethodNone }
	administrators := &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}}
	grant := tokens.Grant{Type: "repository", Name: "private/app", Actions: []string{"pull", "push", "delete", "sign"}}
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	list := []credential{
		{what: "nobody's token", authorization: "Bearer anonymous", known: true, sees: `{"repositories":[]}`},
		{what: "a stranger's token", authorization: h.stranger.authorization, known: true, sees: `{"repositories":["own/app"]}`},
		{what: "a stranger's password", authorization: loggedIn.authorization, known: true, sees: `{"repositories":["own/app"]}`},
		{what: "what a stranger was issued", authorization: bearerAuthorization(loggedIn.token(t, all)), known: true, bound: true},
		{what: "a token for another repository", authorization: bearerAuthorization(h.admin.token(t, "repository:own/app:pull,push,delete")), known: true, bound: true},
		{what: "a token for a repository of a longer name", authorization: bearerAuthorization(h.admin.token(t, "repository:private/app/x:pull,push,delete")), known: true, bound: true},
		{what: "a token for nothing", authorization: bearerAuthorization(h.admin.token(t)), known: true, bound: true},
		{what: "a token to pull", authorization: bearerAuthorization(h.admin.token(t, "repository:private/app:pull")), known: true, bound: true, holds: "pull"},
		{what: "a token to delete", authorization: bearerAuthorization(h.admin.token(t, "repository:private/app:delete")), known: true, bound: true, holds: "delete"},
	}
	for what, authorization := range map[string]string{
		"nothing":                    "",
		"garbage":                    "Bearer garbage",
		"garbage in three parts":     "Bearer a.b.c",
		"a wrong password":           basicAuthorization("garbage"),
		"no password":                basicAuthorization(""),
		"an unsigned token":          bearerAuthorization(forged(t, genuine, unsigned, jwt.UnsafeAllowNoneSignatureType)),
		"an unsigned password":       basicAuthorization(forged(t, genuine, unsigned, jwt.UnsafeAllowNoneSignatureType)),
		"an unsigned token as API's": bearerAuthorization(forged(t, api, unsigned, jwt.UnsafeAllowNoneSignatureType)),
		"a token of another key":     bearerAuthorization(forged(t, genuine, func(*jwt.Token) {}, []byte("a key that is the test's own, of 44 bytes in all"))),
		"an API token of that key":   bearerAuthorization(forged(t, api, func(t *jwt.Token) { t.Method = jwt.SigningMethodRS256 }, foreign)),
		"a key that is not known":    bearerAuthorization(forged(t, genuine, func(t *jwt.Token) { t.Header["kid"] = "mine" }, []byte("x"))),
		"an expired token":           bearerAuthorization(signedToken(t, h.p, administrators, time.Now().Add(-time.Hour), 5*time.Minute, grant)),
		"a token of tomorrow":        bearerAuthorization(signedToken(t, h.p, administrators, time.Now().Add(24*time.Hour), 5*time.Minute, grant)),
	} {
		list = append(list, credential{what: what, authorization: authorization})
	}
	return list
}
