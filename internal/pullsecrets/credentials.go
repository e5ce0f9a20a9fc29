package pullsecrets

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

// Credential authenticates at a registry or its token realm. The fields that are set
// decide how: RegistryToken goes to the registry as it is, IdentityToken
// to the realm as an OAuth refresh token, Username and Password to either.
type Credential struct {
	Username, Password string
	IdentityToken      string
	RegistryToken      string
	// Origin says where it comes from ("secret ns/name"), never what it is.
	Origin string
	// Node is true for one of the machine, which every namespace may use.
	Node bool
}

// String keeps a credential out of logs and error texts: it is its origin.
func (c Credential) String() string { return "credential of " + c.Origin }

// GoString is String; %#v must not print a password either.
func (c Credential) GoString() string { return c.String() }

// Description names the credential in a sentence that may be shown to its namespace.
func (c Credential) Description() string {
	switch {
	case c.Anonymous():
		return "no credentials"
	case c.Node:
		return "the credentials of the server's node"
	}
	return "the credentials of " + c.Origin
}

// Anonymous says that there is nothing to show.
func (c Credential) Anonymous() bool {
	return c.Username == "" && c.Password == "" && c.IdentityToken == "" && c.RegistryToken == ""
}

// Identity identifies a credential in cache keys without holding it: a hash
// over every part, each with its length so that parts cannot run together.
func (c Credential) Identity() string {
	if c.Anonymous() {
		return "anonymous"
	}
	h := sha256.New()
	for _, part := range []string{c.Username, c.Password, c.IdentityToken, c.RegistryToken} {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Warning describes a part of a secret or file that was left out.
type Warning struct {
	// Origin names the object or file: "secret ns/name". Its content is never part of it.
	Origin string
	// Text describes the fault and its effect.
	Text string
}

// String returns "origin: text".
func (w Warning) String() string { return w.Origin + ": " + w.Text }

// Credentials finds what to show to a registry.
type Credentials interface {
	// Lookup returns every credential that matches a repository, the best match
	// first. host is host[:port] as in a pull spec (docker.io for Docker Hub),
	// path the repository below it, "namespace/name".
	Lookup(host, path string) []Credential
}

// None are the credentials of a client that has none.
var None Credentials = noCredentials{}

type noCredentials struct{}

func (noCredentials) Lookup(string, string) []Credential { return nil }

// Distinct drops repeated credentials.
func Distinct(creds []Credential) []Credential {
	seen := map[string]bool{}
	return slices.DeleteFunc(creds, func(c Credential) bool {
		id := c.Identity()
		dup := seen[id]
		seen[id] = true
		return dup
	})
}
