package upstream

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Credential is what a registry or its token realm is shown. Which fields are
// set decides how: RegistryToken goes to the registry as it is, IdentityToken
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

// words names the credential in a sentence that may be shown to its namespace.
func (c Credential) words() string {
	switch {
	case c.anonymous():
		return "no credentials"
	case c.Node:
		return "the credentials of the server's node"
	}
	return "the credentials of " + c.Origin
}

// anonymous says that there is nothing to show.
func (c Credential) anonymous() bool {
	return c.Username == "" && c.Password == "" && c.IdentityToken == "" && c.RegistryToken == ""
}

// identity tells credentials apart in cache keys without holding them: a hash
// over every part, each with its length so that parts cannot run together.
func (c Credential) identity() string {
	if c.anonymous() {
		return "anonymous"
	}
	h := sha256.New()
	for _, part := range []string{c.Username, c.Password, c.IdentityToken, c.RegistryToken} {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Credentials finds what to show to a registry.
type Credentials interface {
	// Lookup returns every credential that matches a repository, the best match
	// first. host is host[:port] as in a pull spec (docker.io for Docker Hub),
	// path the repository below it, "namespace/name".
	Lookup(host, path string) []Credential
}

// Anonymous is the Credentials of somebody who has none.
var Anonymous Credentials = noCredentials{}

type noCredentials struct{}

func (noCredentials) Lookup(string, string) []Credential { return nil }
