package contract_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// passwords of the registries of these tests.
var passwords = map[string]string{"team": "team-password", "shared": "shared-password"}

// both runs a test against a registry that demands passwords and one that demands tokens.
func both(t *testing.T, access testenv.Access, test func(t *testing.T, ns string, upstream *testenv.Registry)) {
	for name, demand := range map[string]func(*testenv.Registry, map[string]string, testenv.Access){
		"basic": (*testenv.Registry).DemandBasic, "tokens": (*testenv.Registry).DemandTokens,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := testenv.NewRegistry(t)
			demand(upstream, passwords, access)
			test(t, env.Namespace(t, "login"), upstream)
		})
	}
}

func TestSecretsOfTheNamespaceAreUsed(t *testing.T) {
	t.Parallel()
	both(t, testenv.Everybody, func(t *testing.T, ns string, upstream *testenv.Registry) {
		name := upstream.Push(t, "a/x:1", testimage.Image(t, "linux/amd64"))
		isi := looking(image(upstream.Ref("a/x:1"), ""))
		wantFailure(t, post(t, ns, isi).Status.Images[0].Status, metav1.StatusReasonUnauthorized, fmt.Sprintf("you may not have access to the container image %q", upstream.Ref("a/x:1")))
		makeSecret(t, ns, testenv.PullSecret(t, "pull", map[string]string{upstream.Host: "team:team-password"}))
		wantSuccess(t, post(t, ns, isi).Status.Images[0], name)
		elsewhere := post(t, env.Namespace(t, "login"), isi)
		wantFailure(t, elsewhere.Status.Images[0].Status, metav1.StatusReasonUnauthorized, "you may not have access")
	})
}

// byRepository lets team read a/, and shared read all else.
func byRepository(user, repository string) bool {
	if strings.HasPrefix(repository, "a/") {
		return user == "team"
	}
	return user == "shared" || repository == "" && user != ""
}

func TestMorePreciseCredentialComesFirst(t *testing.T) {
	t.Parallel()
	both(t, byRepository, func(t *testing.T, ns string, upstream *testenv.Registry) {
		a := upstream.Push(t, "a/x:1", testimage.Image(t, "linux/amd64"))
		b := upstream.Push(t, "b/x:1", testimage.Image(t, "linux/amd64"))
		makeSecret(t, ns, testenv.PullSecret(t, "a-host", map[string]string{upstream.Host: "shared:shared-password"}))
		makeSecret(t, ns, testenv.PullSecret(t, "b-path", map[string]string{"https://" + upstream.Host + "/v2/a": "team:team-password"}))
		var mu sync.Mutex
		shown := map[string]bool{}
		upstream.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if user, _, ok := r.BasicAuth(); ok && strings.Contains(r.URL.String(), "a/x") {
				mu.Lock()
				defer mu.Unlock()
				shown[user] = true
			}
			return false
		})
		answer := post(t, ns, looking(image(upstream.Ref("a/x:1"), ""), image(upstream.Ref("b/x:1"), "")))
		wantSuccess(t, answer.Status.Images[0], a)
		wantSuccess(t, answer.Status.Images[1], b)
		mu.Lock()
		defer mu.Unlock()
		if shown["shared"] {
			t.Error("the credential of the host was shown where that of the path is right")
		}
	})
}

func TestSecondCredentialIsTried(t *testing.T) { // O40
	t.Parallel()
	both(t, byRepository, func(t *testing.T, ns string, upstream *testenv.Registry) {
		b := upstream.Push(t, "b/x:1", testimage.Image(t, "linux/amd64"))
		makeSecret(t, ns, testenv.PullSecret(t, "path", map[string]string{upstream.Host + "/b": "team:team-password"}))
		makeSecret(t, ns, testenv.PullSecret(t, "host", map[string]string{upstream.Host: "shared:shared-password"}))
		wantSuccess(t, post(t, ns, looking(image(upstream.Ref("b/x:1"), ""))).Status.Images[0], b)
	})
}

// TestWrongSecretLeavesPublicImagesAlone: others of the same request succeed as well,
// and what needs the right password says that it is wrong.
func TestWrongSecretLeavesPublicImagesAlone(t *testing.T) {
	t.Parallel()
	public := func(user, repository string) bool {
		return user != "" || repository == "" || strings.HasPrefix(repository, "public/")
	}
	both(t, public, func(t *testing.T, ns string, upstream *testenv.Registry) {
		open := upstream.Push(t, "public/x:1", testimage.Image(t, "linux/amd64"))
		upstream.Push(t, "private/x:1", testimage.Image(t, "linux/amd64"))
		makeSecret(t, ns, testenv.PullSecret(t, "wrong", map[string]string{upstream.Host: "team:not-the-password"}))
		answer := post(t, ns, importing("s", image(upstream.Ref("public/x:1"), "public"), image(upstream.Ref("private/x:1"), "private")))
		wantSuccess(t, answer.Status.Images[0], open)
		message := "you may not have access to the container image"
		if strings.HasSuffix(t.Name(), "tokens") {
			message = "incorrect username or password for image"
		}
		wantFailure(t, answer.Status.Images[1].Status, metav1.StatusReasonUnauthorized, fmt.Sprintf("%s %q", message, upstream.Ref("private/x:1")))
		if contains(asJSON(t, answer), "not-the-password") {
			t.Error("the answer holds the password")
		}
	})
}

func TestMalformedSecretIsReported(t *testing.T) { // O39
	t.Parallel()
	ns, upstream := env.Namespace(t, "login"), testenv.NewRegistry(t)
	upstream.DemandBasic(passwords, testenv.Everybody)
	name := upstream.Push(t, "a/x:1", testimage.Image(t, "linux/amd64"))
	makeSecret(t, ns, testenv.PullSecret(t, "good", map[string]string{upstream.Host: "team:team-password"}))
	bad := testenv.PullSecret(t, "bad", nil)
	bad.Data[corev1.DockerConfigJsonKey] = []byte(`{"auths":{"q.io":{"auth":"?hidden-in-a-malformed-secret?"}}}`)
	makeSecret(t, ns, bad)
	result := env.Images.ImageV1().RESTClient().Post().Namespace(ns).Resource("imagestreamimports").Body(looking(image(upstream.Ref("a/x:1"), ""))).Do(t.Context())
	isi := looking()
	if err := result.Into(isi); err != nil {
		t.Fatal(err)
	}
	wantSuccess(t, isi.Status.Images[0], name)
	warned := false
	for _, w := range result.Warnings() {
		warned = warned || contains(w.Text, "secret "+ns+"/bad")
		if contains(w.Text, "hidden") {
			t.Errorf("warning %q", w.Text)
		}
	}
	if !warned {
		t.Errorf("warnings %v do not name the secret", result.Warnings())
	}
	testenv.Eventually(t, "an event on the secret", func() error {
		events, err := env.Kube.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.Kind == "Secret" && e.Regarding.Name == "bad" && e.Type == corev1.EventTypeWarning {
				if contains(asJSON(t, e), "hidden") {
					t.Errorf("event %s", asJSON(t, e))
				}
				return nil
			}
		}
		return fmt.Errorf("%d events", len(events.Items))
	})
}

func TestExcludedSecretIsNotUsed(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "login"), testenv.NewRegistry(t)
	upstream.DemandBasic(passwords, testenv.Everybody)
	upstream.Push(t, "a/x:1", testimage.Image(t, "linux/amd64"))
	secret := testenv.PullSecret(t, "excluded", map[string]string{upstream.Host: "team:team-password"})
	secret.Annotations = map[string]string{"openshift.io/image.excludeSecret": "true"}
	makeSecret(t, ns, secret)
	wantFailure(t, post(t, ns, looking(image(upstream.Ref("a/x:1"), ""))).Status.Images[0].Status, metav1.StatusReasonUnauthorized, "")
}

func TestCredentialsOfTheNode(t *testing.T) {
	t.Parallel()
	user, password, _ := strings.Cut(nodeLogin, ":")
	guarded.DemandBasic(map[string]string{user: password, "team": "team-password"}, func(user, repository string) bool {
		return user == "node" || user == "team" && !strings.HasPrefix(repository, "node-only/")
	})
	shared := guarded.Push(t, "shared/x:1", testimage.Image(t, "linux/amd64"))
	own := guarded.Push(t, "node-only/x:1", testimage.Image(t, "linux/amd64"))
	ns := env.Namespace(t, "node")
	isi := looking(image(guarded.Ref("shared/x:1"), ""), image(guarded.Ref("node-only/x:1"), ""))
	check := func(when string) {
		t.Helper()
		answer := post(t, ns, isi)
		t.Log(when)
		wantSuccess(t, answer.Status.Images[0], shared)
		wantSuccess(t, answer.Status.Images[1], own)
	}
	check("without secrets")
	makeSecret(t, ns, testenv.PullSecret(t, "pull", map[string]string{guarded.Host: "team:team-password"}))
	check("with a secret that is right for one of two")
	makeSecret(t, ns, testenv.PullSecret(t, "wrong", map[string]string{guarded.Host + "/shared": "team:wrong"}))
	check("with a wrong secret beside it")
}
