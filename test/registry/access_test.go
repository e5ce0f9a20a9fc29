package registry_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/ociregistry/access"
	"weir.dev/weir/internal/testenv"
)

// shop is a namespace with a stream "web" for tests of who may do what.
type shop struct{ namespace string }

func newShop(t *testing.T) shop {
	t.Helper()
	s := shop{env.Namespace(t, "access")}
	if _, err := env.Images.ImageV1().ImageStreams(s.namespace).Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the stream to be known to the registry", func() error {
		return answered(http.StatusOK, s.send(t, http.MethodGet, s.path("tags/list"), bearer(password(t, 600))))
	})
	return s
}

func (s shop) path(rest string) string { return "/v2/" + s.namespace + "/web/" + rest }

func (s shop) scope(actions string) string { return "repository:" + s.namespace + "/web:" + actions }

// account makes a service account, with a role in the namespace unless that is "", and
// returns a token of it.
func (s shop) account(t *testing.T, name, role string) string {
	t.Helper()
	accounts := env.Kube.CoreV1().ServiceAccounts(s.namespace)
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if role != "" {
		s.bind(t, name, role, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: name})
	}
	token, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

func (s shop) bind(t *testing.T, name, role string, subject rbacv1.Subject) {
	t.Helper()
	_, err := env.Kube.RbacV1().RoleBindings(s.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{subject},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// accessReply is an answer of the registry with its body.
type accessReply struct {
	code   int
	header http.Header
	body   string
}

// send sends a request to the registry; authorization "" is none.
func (shop) send(t *testing.T, method, path, authorization string) accessReply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+env.Registry()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return accessReply{response.StatusCode, response.Header, string(body)}
}

// answered is nil for an answer with that code.
func answered(code int, r accessReply) error {
	if r.code != code {
		return fmt.Errorf("answered %d %s, want %d (challenge %s)", r.code, r.body, code, r.header.Get("WWW-Authenticate"))
	}
	return nil
}

func (s shop) want(t *testing.T, code int, method, path, authorization string) {
	t.Helper()
	if err := answered(code, s.send(t, method, path, authorization)); err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
}

// token asks the token endpoint with a password.
func (s shop) token(t *testing.T, password string, scopes ...string) string {
	t.Helper()
	r := s.send(t, http.MethodGet, access.TokenPath+"?"+url.Values{"scope": scopes, "service": {"x"}}.Encode(), basic(password))
	var answer struct {
		Token     string
		ExpiresIn int `json:"expires_in"`
	}
	if r.code != http.StatusOK || json.Unmarshal([]byte(r.body), &answer) != nil || answer.Token == "" || answer.ExpiresIn == 0 {
		t.Fatalf("the token endpoint answered %d %s", r.code, r.body)
	}
	return answer.Token
}

func bearer(token string) string { return "Bearer " + token }

func basic(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+password))
}

// uploads is where an upload begins.
const uploads = "blobs/uploads/"

func TestAccessLogin(t *testing.T) {
	s := newShop(t)
	editor, stranger := s.account(t, "editor", roles.RegistryEditor), s.account(t, "stranger", "")
	testenv.Eventually(t, "the editor's rights", func() error {
		return answered(http.StatusAccepted, s.send(t, http.MethodPost, s.path(uploads), bearer(editor)))
	})
	shown := map[string]string{
		"the API token as password": basic(editor),
		"the API token itself":      bearer(editor),
		"a token of the registry":   bearer(s.token(t, editor, s.scope("pull,push"))),
		"that as a password":        basic(s.token(t, editor, s.scope("pull,push"))),
	}
	for how, authorization := range shown {
		t.Run(how, func(t *testing.T) {
			s.want(t, http.StatusOK, http.MethodGet, "/v2/", authorization)
			s.want(t, http.StatusOK, http.MethodGet, s.path("tags/list"), authorization)
			s.want(t, http.StatusAccepted, http.MethodPost, s.path(uploads), authorization)
		})
	}
	s.want(t, http.StatusUnauthorized, http.MethodDelete, s.path("manifests/v1"), shown["a token of the registry"])
	s.want(t, http.StatusNotFound, http.MethodDelete, s.path("manifests/v1"), shown["the API token itself"])
	for how, authorization := range map[string]string{
		"nothing":                           "",
		"nobody's token":                    bearer("anonymous"),
		"a stranger's token":                bearer(stranger),
		"a stranger's password":             basic(stranger),
		"what the registry gave a stranger": bearer(s.token(t, stranger, s.scope("pull,push"))),
		"a token with a letter changed":     bearer(changed(editor)),
		"a registry token changed":          bearer(changed(s.token(t, editor, s.scope("pull,push")))),
		"a token for elsewhere":             bearer(s.token(t, editor, "repository:elsewhere/web:pull,push")),
		"a token for nothing":               bearer(s.token(t, editor)),
	} {
		t.Run(how, func(t *testing.T) {
			s.want(t, http.StatusUnauthorized, http.MethodGet, s.path("tags/list"), authorization)
			s.want(t, http.StatusUnauthorized, http.MethodPost, s.path(uploads), authorization)
		})
	}
	if r := s.send(t, http.MethodGet, access.TokenPath, basic(changed(editor))); r.code != http.StatusUnauthorized || r.body != "" {
		t.Errorf("a wrong password: %d %s", r.code, r.body)
	}
}

// changed is a token with another letter in its last part.
func changed(token string) string {
	at := strings.LastIndexByte(token, '.') + 2
	letter := "A"
	if token[at:at+1] == letter {
		letter = "B"
	}
	return token[:at] + letter + token[at+1:]
}

func TestAccessAnonymousPull(t *testing.T) {
	s := newShop(t)
	r := s.send(t, http.MethodGet, s.path("tags/list"), "")
	want := fmt.Sprintf(`Bearer realm="http://%[1]s/openshift/token",service="%[1]s",scope=%q`, env.Registry(), s.scope("pull"))
	if r.code != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") != want {
		t.Errorf("without credentials: %d, challenge %s", r.code, r.header.Get("WWW-Authenticate"))
	}
	r = s.send(t, http.MethodGet, access.TokenPath+"?scope="+url.QueryEscape(s.scope("pull")), "")
	if strings.TrimSpace(r.body) != `{"token":"anonymous","access_token":"anonymous"}` {
		t.Fatalf("nobody's token is %d %s", r.code, r.body)
	}
	s.want(t, http.StatusOK, http.MethodGet, "/v2/", bearer("anonymous"))
	s.want(t, http.StatusUnauthorized, http.MethodGet, s.path("tags/list"), bearer("anonymous"))
	s.bind(t, "everybody", roles.ImagePuller, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"})
	testenv.Eventually(t, "nobody to be let in", func() error {
		return answered(http.StatusOK, s.send(t, http.MethodGet, s.path("tags/list"), bearer("anonymous")))
	})
	s.want(t, http.StatusUnauthorized, http.MethodPost, s.path(uploads), bearer("anonymous"))
}

// A right that is taken away ends soon, for tokens that were issued before as well.
func TestAccessRevokedRightsEnd(t *testing.T) {
	s := newShop(t)
	puller := s.account(t, "puller", roles.ImagePuller)
	testenv.Eventually(t, "the puller's rights", func() error {
		return answered(http.StatusOK, s.send(t, http.MethodGet, s.path("tags/list"), bearer(puller)))
	})
	token := s.token(t, puller, s.scope("pull"))
	s.want(t, http.StatusOK, http.MethodGet, s.path("tags/list"), bearer(token))
	if err := env.Kube.RbacV1().RoleBindings(s.namespace).Delete(t.Context(), "puller", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	testenv.Eventually(t, "the right to end", func() error {
		return answered(http.StatusUnauthorized, s.send(t, http.MethodGet, s.path("tags/list"), bearer(token)))
	})
	if took := time.Since(since); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}

// A service account that is deleted has no password any more.
func TestAccessDeletedAccountsCannotLogIn(t *testing.T) {
	s := newShop(t)
	token := s.account(t, "short", "")
	testenv.Eventually(t, "the API to know the new account", func() error {
		return answered(http.StatusOK, s.send(t, http.MethodGet, "/v2/", basic(token)))
	})
	if err := env.Kube.CoreV1().ServiceAccounts(s.namespace).Delete(t.Context(), "short", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the account's token to end", func() error {
		return answered(http.StatusUnauthorized, s.send(t, http.MethodGet, "/v2/", basic(token)))
	})
}

// A token of the registry is nothing to the API.
func TestAccessTokensAreNoCredentialsOfTheAPI(t *testing.T) {
	s := newShop(t)
	for _, token := range []string{password(t, 600), s.token(t, password(t, 600), "registry:catalog:*")} {
		c := rest.AnonymousClientConfig(env.Config)
		c.BearerToken = token
		_, err := testenv.ImagesFor(c).ImageV1().ImageStreams(s.namespace).List(t.Context(), metav1.ListOptions{})
		if !testenv.IsReason(err, metav1.StatusReasonUnauthorized) {
			t.Errorf("the API answers %v", err)
		}
	}
}

// Replicas that start at once agree on one key, and each takes the others' tokens.
func TestAccessReplicasShareAKey(t *testing.T) {
	const replicas = 8
	s := newShop(t)
	name, robot := "race-"+s.namespace, s.account(t, "robot", "")
	all := make([]*access.Access, replicas)
	issued := make([]string, replicas)
	var racing sync.WaitGroup
	for n := range replicas {
		a, err := access.New(access.Options{Config: env.Config, KeyName: name})
		if err != nil {
			t.Fatal(err)
		}
		all[n] = a
		racing.Go(func() { issued[n] = tokenOf(t, a, robot) })
	}
	racing.Wait()
	for _, a := range all {
		for _, token := range issued {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry/v2/", http.NoBody)
			r.Header.Set("Authorization", bearer(token))
			if c, err := a.Authenticate(r); err != nil || c.Grants == nil {
				t.Fatalf("a replica does not take another's token: %+v, %v", c, err)
			}
		}
	}
	secret, err := env.Kube.CoreV1().Secrets(tokens.DefaultNamespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil || strings.Count(string(secret.Data["keys.json"]), `"id"`) != 1 {
		t.Errorf("the Secret has %d entries, %v", len(secret.Data), err)
	}
	// Rotation: with an age of nothing each token has a key of its own, which all know.
	a, err := access.New(access.Options{Config: env.Config, KeyName: name, KeyMaxAge: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	token := tokenOf(t, a, robot)
	secret, err = env.Kube.CoreV1().Secrets(tokens.DefaultNamespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil || strings.Count(string(secret.Data["keys.json"]), `"id"`) != 2 {
		t.Errorf("after rotation the Secret has %d entries, %v", len(secret.Data), err)
	}
	for _, known := range append([]string{token}, issued...) {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry/v2/", http.NoBody)
		r.Header.Set("Authorization", bearer(known))
		if _, err := all[0].Authenticate(r); err != nil {
			t.Errorf("after rotation: %v", err)
		}
	}
	if err := env.Kube.CoreV1().Secrets(tokens.DefaultNamespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// An API that cannot be reached is no refusal.
func TestAccessWithoutTheAPI(t *testing.T) {
	config := rest.CopyConfig(env.Config)
	config.Host = "https://127.0.0.1:1"
	a, err := access.New(access.Options{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry/v2/", http.NoBody)
	r.Header.Set("Authorization", bearer("some-token"))
	_, err = a.Authenticate(r)
	var e *ociregistry.Error
	if !errors.As(err, &e) || e.Code != ociregistry.CodeUnavailable || e.RetryAfter == 0 || strings.Contains(err.Error(), "some-token") {
		t.Errorf("got %v", err)
	}
}
