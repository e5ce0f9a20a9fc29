package testenv

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Access says whether a user may read a repository such as "team/app"; nobody is "".
type Access func(user, repository string) bool

// Everybody lets anyone with a login read everything.
func Everybody(user, _ string) bool { return user != "" }

// gate lets a request through or answers it.
type gate func(w http.ResponseWriter, r *http.Request) bool

// tokenPath is where a registry that demands tokens hands them out.
const tokenPath = "/token"

// placeholderScope is what ghcr.io has in its challenge to /v2/, and grants to nobody.
const placeholderScope = "repository:user/image:pull"

// DemandBasic has the registry demand a user's password with every request.
func (r *Registry) DemandBasic(passwords map[string]string, access Access) {
	r.demand(func(w http.ResponseWriter, req *http.Request) bool {
		user, password, shown := req.BasicAuth()
		if shown && passwords[user] != password {
			user = "" // a wrong password is refused like none
		}
		if req.URL.Path == "/v2/" && (user != "" || access("", "")) || access(user, repositoryOf(req)) {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		RegistryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return false
	})
}

// DemandTokens has the registry demand tokens, which it hands out to users who show
// their passwords, and to nobody for what nobody may read. The token service knows
// whether a password is wrong and says so.
func (r *Registry) DemandTokens(passwords map[string]string, access Access) {
	r.demand(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == tokenPath {
			handOut(w, req, passwords)
			return false
		}
		token, shown := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
		user, known := strings.CutPrefix(token, "token-of-")
		if req.URL.Path == "/v2/" && shown && known || shown && known && access(user, repositoryOf(req)) {
			return true
		}
		scope := placeholderScope
		if repository := repositoryOf(req); repository != "" {
			scope = "repository:" + repository + ":pull"
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s%s",service="test",scope="%s"`, r.Host, tokenPath, scope))
		RegistryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return false
	})
}

func handOut(w http.ResponseWriter, req *http.Request, passwords map[string]string) {
	user, password, shown := req.BasicAuth()
	if slices.Contains(req.URL.Query()["scope"], placeholderScope) {
		RegistryError(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		return
	}
	if shown && passwords[user] != password {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"details":"incorrect username or password"}`)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"token":"token-of-%s"}`, user)
}

func (r *Registry) demand(g gate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = g
}

func repositoryOf(req *http.Request) string {
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/"} {
		if at := strings.LastIndex(path, part); at > 0 {
			return path[:at]
		}
	}
	return ""
}

// PullSecret is a pull secret with logins ("user:password") by registry, each
// host[:port] with or without a path.
func PullSecret(t TB, secretName string, logins map[string]string) *corev1.Secret {
	t.Helper()
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: secretName},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: DockerConfig(t, logins)},
	}
}

// DockerConfig is a config.json with logins as in PullSecret.
func DockerConfig(t TB, logins map[string]string) []byte {
	t.Helper()
	auths := map[string]map[string]string{}
	for registry, login := range logins {
		auths[registry] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(login))}
	}
	document, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		t.Fatalf("making a docker config: %v", err)
	}
	return document
}
