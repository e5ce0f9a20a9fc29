package registry_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/cli"
	"weir.dev/weir/internal/ociregistry/access"
	"weir.dev/weir/internal/testenv"
	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

const registryTokensPath = "/apis/weir.dev/v1alpha1/registrytokens"

// asked creates a registry token and returns the answer as it stands on the wire.
func asked(t *testing.T, config *rest.Config, body string) (int, []byte) {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, config.Host+registryTokensPath, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer json.RawMessage
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// passwordFor is a password for the registry as the API gives it to a user.
func passwordFor(t *testing.T, config *rest.Config, body string) weirv1alpha1.RegistryToken {
	t.Helper()
	code, answer := asked(t, config, body)
	var token weirv1alpha1.RegistryToken
	if err := json.Unmarshal(answer, &token); err != nil || code != http.StatusCreated || token.Status.Token == "" {
		t.Fatalf("%d %s, %v", code, answer, err)
	}
	return token
}

// password is the administrator's, whom a client certificate identifies.
func password(t *testing.T, seconds int) string {
	t.Helper()
	token, err := cli.Token(t.Context(), cli.TokenOptions{Kubeconfig: env.Server.Kubeconfig(), Expires: time.Duration(seconds) * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Whom a certificate identifies gets a password that the registry takes.
func TestRegistryTokenOfACertificate(t *testing.T) {
	s := newShop(t)
	admin := password(t, 3600)
	for how, authorization := range map[string]string{
		"as a password": basic(admin), "as a token": bearer(admin), "exchanged": bearer(s.token(t, admin, s.scope("pull,push,delete"))),
	} {
		t.Run(how, func(t *testing.T) {
			s.want(t, http.StatusOK, http.MethodGet, s.path("tags/list"), authorization)
			s.want(t, http.StatusAccepted, http.MethodPost, s.path(uploads), authorization)
			s.want(t, http.StatusNotFound, http.MethodDelete, s.path("manifests/v1"), authorization)
		})
	}
}

// The password says who somebody is; what they may do is RBAC's business at each request.
func TestRegistryTokensHaveTheRightsOfTheirUser(t *testing.T) {
	s := newShop(t)
	token := passwordFor(t, env.As("carol", "buyers"), "{}").Status.Token
	s.want(t, http.StatusOK, http.MethodGet, "/v2/", basic(token))
	s.want(t, http.StatusUnauthorized, http.MethodGet, s.path("tags/list"), basic(token))
	s.bind(t, "buyers", roles.ImagePuller, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "buyers"})
	testenv.Eventually(t, "the group's right", func() error {
		return answered(http.StatusOK, s.send(t, http.MethodGet, s.path("tags/list"), basic(token)))
	})
	s.want(t, http.StatusUnauthorized, http.MethodPost, s.path(uploads), basic(token))
}

func TestRegistryTokenAnswers(t *testing.T) {
	carol := env.As("carol")
	before := time.Now().Truncate(time.Second)
	for body, lasts := range map[string]time.Duration{
		`{}`: time.Hour,
		`{"apiVersion":"weir.dev/v1alpha1","kind":"RegistryToken"}`: time.Hour,
		`{"spec":{"expirationSeconds":600}}`:                        10 * time.Minute,
		`{"spec":{"expirationSeconds":43200}}`:                      12 * time.Hour,
		`{"metadata":{"name":"mine"},"status":{"token":"x"}}`:       time.Hour,
	} {
		token := passwordFor(t, carol, body)
		if token.Kind != "RegistryToken" || token.APIVersion != "weir.dev/v1alpha1" || token.ManagedFields != nil || token.Status.Token == "x" {
			t.Errorf("%s: %+v", body, token)
		}
		if at := token.Status.ExpirationTimestamp; at.Before(new(metav1.NewTime(before.Add(lasts)))) || at.After(time.Now().Add(lasts)) {
			t.Errorf("%s: it ends at %s", body, at)
		}
	}
	for body, want := range map[string]string{
		`{"spec":{"expirationSeconds":599}}`:    `"reason":"Invalid"`,
		`{"spec":{"expirationSeconds":43201}}`:  `spec.expirationSeconds`,
		`{"spec":{"expirationSeconds":-1}}`:     `"reason":"Invalid"`,
		`{"spec":{"expirationSeconds":"long"}}`: `"reason":"BadRequest"`,
		`{"kind":"Pod","apiVersion":"v1"}`:      `"reason":"BadRequest"`,
	} {
		if code, answer := asked(t, carol, body); code < 400 || code >= 500 || !strings.Contains(string(answer), want) {
			t.Errorf("%s: %d %s, want %s", body, code, answer, want)
		}
	}
	if code, answer := asked(t, env.Anonymous(), "{}"); code != http.StatusForbidden {
		t.Errorf("nobody: %d %s", code, answer)
	}
}

// It can be created and nothing else.
func TestRegistryTokensAreKeptNowhere(t *testing.T) {
	client, err := rest.HTTPClientFor(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	passwordFor(t, env.Config, `{"metadata":{"name":"mine"}}`)
	for _, request := range []string{"GET ", "DELETE ", "PATCH ", "GET /mine", "PUT /mine", "DELETE /mine"} {
		method, name, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, env.Config.Host+registryTokensPath+name, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed && response.StatusCode != http.StatusNotFound {
			t.Errorf("%s%s: %d", method, name, response.StatusCode)
		}
	}
}

func TestRegistryTokensInKubectl(t *testing.T) {
	kubectl := env.Kubectl(t)
	if out := kubectl.Run(t, "api-resources", "--api-group=weir.dev", "-o", "wide", "--no-headers"); !strings.Contains(out, "registrytokens") || !strings.Contains(out, "RegistryToken") || !strings.Contains(out, "create") {
		t.Errorf("api-resources: %s", out)
	}
	if out := kubectl.Run(t, "explain", "registrytokens.spec.expirationSeconds"); !strings.Contains(out, "to 43200 (twelve hours)") {
		t.Errorf("explain: %s", out)
	}
	manifest := `{"apiVersion":"weir.dev/v1alpha1","kind":"RegistryToken","spec":{"expirationSeconds":900}}`
	token := strings.TrimSpace(kubectl.Feed(t, manifest, "create", "-f", "-", "-o", "jsonpath={.status.token}"))
	shop{}.want(t, http.StatusOK, http.MethodGet, "/v2/", basic(token))
	if out := kubectl.Feed(t, manifest, "create", "--dry-run=server", "-f", "-", "-o", "yaml"); strings.Contains(out, "token:") {
		t.Errorf("a dry run gave a password: %s", out)
	}
	var answer weirv1alpha1.RegistryToken
	raw := kubectl.Feed(t, `{"apiVersion":"weir.dev/v1alpha1","kind":"RegistryToken"}`, "create", "--raw", registryTokensPath, "-f", "-")
	if err := json.Unmarshal([]byte(raw), &answer); err != nil || answer.Status.Token == "" {
		t.Errorf("create --raw: %s, %v", raw, err)
	}
}

// weir token prints the password and nothing else.
func TestWeirToken(t *testing.T) {
	weir := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", weir, "weir.dev/weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(args ...string) (stdout, stderr string, err error) {
		var out, errs strings.Builder
		cmd := exec.CommandContext(t.Context(), weir, append([]string{"token"}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "KUBECONFIG="+filepath.Join(t.TempDir(), "none"))
		err = cmd.Run()
		return out.String(), errs.String(), err
	}
	out, errs, err := run("--kubeconfig", env.Server.Kubeconfig(), "--expires", "10m")
	if err != nil || errs != "" || strings.Count(out, "\n") != 1 {
		t.Fatalf("%q, %q, %v", out, errs, err)
	}
	shop{}.want(t, http.StatusOK, http.MethodGet, "/v2/", basic(strings.TrimSpace(out)))
	for _, args := range [][]string{{}, {"--kubeconfig", env.Server.Kubeconfig(), "--expires", "1m"}, {"--kubeconfig", "/nowhere"}, {"--context", "x"}} {
		if out, errs, err := run(args...); err == nil || out != "" || errs == "" {
			t.Errorf("%v: %q, %q, %v", args, out, errs, err)
		}
	}
}

// tokenOf has a replica exchange a password.
func tokenOf(t *testing.T, a *access.Access, password string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, access.TokenPath, nil)
	r.Header.Set("Authorization", basic(password))
	w := httptest.NewRecorder()
	a.ServeToken(w, r)
	var answer struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Token == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	return answer.Token
}
