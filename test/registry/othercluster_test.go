package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	rbacv1 "k8s.io/api/rbac/v1"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

// otherCluster issues tokens of service accounts that Weir accepts by configuration.
type otherCluster struct {
	server *httptest.Server
	key    *ecdsa.PrivateKey
}

var elsewhere otherCluster

// acceptOtherCluster is a change of options by which the accounts of elsewhere are users.
func acceptOtherCluster(o *standalone.Options) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	elsewhere = otherCluster{httptest.NewTLSServer(mux), key}
	url := elsewhere.server.URL
	serve := func(path string, document any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(document)
		})
	}
	public, err := key.PublicKey.Bytes() // a byte for the form, and the coordinates
	if err != nil {
		panic(err)
	}
	coordinate := func(from, to int) string { return base64.RawURLEncoding.EncodeToString(public[from:to]) }
	serve("/.well-known/openid-configuration", map[string]any{
		"issuer": url, "jwks_uri": url + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"},
	})
	serve("/keys", map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": coordinate(1, 33), "y": coordinate(33, 65),
	}}})
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: elsewhere.server.Certificate().Raw})
	file := filepath.Join(o.DataDir, "authentication.yaml")
	content := fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: %s
    audiences: [weir]
    certificateAuthority: |
      %s
  claimMappings:
    username: {claim: sub, prefix: ""}
    uid: {claim: uid}
`, url, strings.ReplaceAll(string(authority), "\n", "\n      "))
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		panic(err)
	}
	o.Host.ControlPlane.Authentication.AuthenticationConfigFile = file
}

// token is one of a service account, for ten minutes.
func (c otherCluster) token(t *testing.T, namespace, account string) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": c.server.URL, "aud": "weir", "sub": "system:serviceaccount:" + namespace + ":" + account, "uid": "elsewhere",
		"exp":           time.Now().Add(10 * time.Minute).Unix(),
		"kubernetes.io": map[string]any{"namespace": namespace, "pod": map[string]string{"name": "p", "uid": "1"}},
	})
	token.Header["kid"] = "1"
	signed, err := token.SignedString(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// The token of another cluster's service account gets a password and tokens of the registry, which
// end with it: the account is no object here.
func TestAccountsOfAnotherCluster(t *testing.T) {
	t.Parallel() // it waits for the configuration to be read
	s := newShop(t)
	s.bind(t, "robot", roles.RegistryEditor, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "robot"})
	token := elsewhere.token(t, s.namespace, "robot")
	testenv.Eventually(t, "the other cluster's accounts to be accepted", func() error {
		return answered(http.StatusOK, s.send(t, http.MethodGet, s.path("tags/list"), basic(token)))
	})
	password := passwordFor(t, withToken(token), `{"spec":{"expirationSeconds":43200}}`)
	if end := time.Now().Add(10 * time.Minute); password.Status.ExpirationTimestamp.After(end) {
		t.Errorf("the password ends at %s, after its token", password.Status.ExpirationTimestamp)
	}
	s.want(t, http.StatusOK, http.MethodGet, s.path("tags/list"), basic(password.Status.Token))
	s.want(t, http.StatusOK, http.MethodGet, s.path("tags/list"), bearer(s.token(t, password.Status.Token, s.scope("pull"))))
	s.want(t, http.StatusOK, http.MethodGet, s.path("tags/list"), bearer(s.token(t, token, s.scope("pull"))))
}
