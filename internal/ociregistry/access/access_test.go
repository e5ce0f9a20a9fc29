package access

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/ociregistry"
)

const (
	plainChallenge = `Bearer realm="http://registry.test:5000/openshift/token",service="registry.test:5000"`
	basicAnswer    = `Basic realm="registry.test:5000",error="access denied"`
	invalidToken   = plainChallenge + `,error="invalid_token"`
)

func TestAuthenticate(t *testing.T) {
	w := newWorld()
	a := w.access()
	for header, want := range map[string]string{
		"Bearer " + tokenOfAlice:        "alice",
		"bearer " + tokenOfAlice:        "alice",
		"Bearer  " + tokenOfAlice + " ": "alice",
		basicHeader(tokenOfBob):         "bob",
		basicHeader("with:colons"):      "carol",
		"Bearer anonymous":              user.Anonymous,
		strings.ToUpper("basic") + " " + strings.TrimPrefix(basicHeader(tokenOfBob), "Basic "): "bob",
	} {
		w.tokens["with:colons"] = &user.DefaultInfo{Name: "carol"}
		c, err := a.Authenticate(request(http.MethodGet, "/v2/", header))
		if err != nil || c.User.GetName() != want || c.Grants != nil {
			t.Errorf("%s: %+v, %v, want %s without grants", header, c, err, want)
		}
	}
}

func TestAuthenticateRefuses(t *testing.T) {
	a := newWorld().access()
	for header, want := range map[string]string{
		"":                                      plainChallenge,
		"Bearer":                                plainChallenge,
		tokenOfAlice:                            plainChallenge,
		"Digest username=x":                     plainChallenge,
		"Negotiate abc":                         plainChallenge,
		"Bearer ":                               invalidToken,
		"Bearer wrong":                          invalidToken,
		"Bearer Anonymous":                      invalidToken,
		"Bearer " + tokenOfAlice + " x":         invalidToken,
		"Bearer a.b.c":                          invalidToken,
		"Basic":                                 plainChallenge,
		"Basic ":                                basicAnswer,
		"Basic !!!":                             basicAnswer,
		"Basic d2hvZXZlcg==":                    basicAnswer, // no colon
		basicHeader(""):                         basicAnswer,
		basicHeader("wrong"):                    basicAnswer,
		basicHeader("anonymous"):                basicAnswer,
		"Bearer " + strings.Repeat("x", 40<<10): invalidToken,
	} {
		c, err := a.Authenticate(request(http.MethodGet, "/v2/", header))
		if err == nil {
			t.Errorf("%.40s: accepted as %s", header, c.User.GetName())
			continue
		}
		e := failure(t, err)
		if e.Code != ociregistry.CodeUnauthorized || e.HTTPStatus() != http.StatusUnauthorized || e.Challenge != want {
			t.Errorf("%.40s: %s, challenge %s, want %s", header, e.Code, e.Challenge, want)
		}
		if secret := strings.TrimPrefix(header, "Bearer "); len(secret) > 4 && strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells the token: %.100s", err)
		}
	}
}

// A challenge tells for what to come back, so that clients without a mind of their own do.
func TestChallengesHaveTheScopeOfTheRequest(t *testing.T) {
	a := newWorld().access()
	scope := func(s string) string { return plainChallenge + `,scope="` + s + `"` }
	for target, want := range map[string]string{
		"GET /v2/":                                          plainChallenge,
		"GET /v2/_catalog":                                  scope("registry:catalog:*"),
		"GET /v2/shop/web/tags/list":                        scope("repository:shop/web:pull"),
		"GET /v2/shop/web/manifests/v1":                     scope("repository:shop/web:pull"),
		"HEAD /v2/shop/a/b/manifests/v1":                    scope("repository:shop/a/b:pull"),
		"GET /v2/shop/manifests/manifests/v1":               scope("repository:shop/manifests:pull"),
		"GET /v2/shop/blobs/blobs/sha256:ab":                scope("repository:shop/blobs:pull"),
		"GET /v2/shop/web/referrers/sha256:ab":              scope("repository:shop/web:pull"),
		"PUT /v2/shop/web/manifests/v1":                     scope("repository:shop/web:pull,push"),
		"POST /v2/shop/web/blobs/uploads/":                  scope("repository:shop/web:pull,push"),
		"POST /v2/shop/web/blobs/uploads/?mount=x&from=a/b": scope("repository:shop/web:pull,push repository:a/b:pull"),
		"PATCH /v2/shop/web/blobs/uploads/1":                scope("repository:shop/web:pull,push"),
		"DELETE /v2/shop/web/blobs/uploads/1":               scope("repository:shop/web:pull,push"),
		"DELETE /v2/shop/web/manifests/v1":                  scope("repository:shop/web:delete"),
		"DELETE /v2/shop/web/blobs/sha256:ab":               scope("repository:shop/web:delete"),
		"GET /extensions/v2/shop/web/signatures/sha256:ab":  scope("repository:shop/web:pull"),
		"PUT /extensions/v2/shop/web/signatures/sha256:ab":  scope("repository:shop/web:pull,push"),
		"GET /extensions/v2/metrics":                        plainChallenge,
		"DELETE /admin/blobs/sha256:ab":                     plainChallenge,
		"GET /v2/Shop/web/manifests/v1":                     plainChallenge,
		"GET /v2/web/manifests/v1":                          plainChallenge,
		"GET /v2/shop/web/manifests":                        plainChallenge,
		`GET /v2/shop/we%22b/manifests/v1`:                  plainChallenge,
	} {
		method, path, _ := strings.Cut(target, " ")
		_, err := a.Authenticate(request(method, path, ""))
		if got := failure(t, err).Challenge; got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

func TestChallenge(t *testing.T) {
	a := newWorld().access()
	for _, test := range []struct {
		authorization, repo string
		actions             []ociregistry.Action
		want                string
	}{
		{"", "", nil, plainChallenge},
		{"", "shop/web", []ociregistry.Action{ociregistry.ActionPull}, plainChallenge + `,scope="repository:shop/web:pull"`},
		{"", "shop/web", []ociregistry.Action{ociregistry.ActionDelete, ociregistry.ActionPush}, plainChallenge + `,scope="repository:shop/web:pull,push,delete"`},
		{"", "shop/web", []ociregistry.Action{ociregistry.ActionSign}, plainChallenge + `,scope="repository:shop/web:pull,push"`},
		{"", "shop/web", nil, plainChallenge},
		{"", `shop/"`, []ociregistry.Action{ociregistry.ActionPull}, plainChallenge},
		{basicHeader("x"), "shop/web", []ociregistry.Action{ociregistry.ActionPull}, basicAnswer},
	} {
		if got := a.Challenge(request(http.MethodGet, "/v2/", test.authorization), test.repo, test.actions...); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// What RBAC must grant for what, and nothing less.
func TestAllow(t *testing.T) {
	const (
		get     = "alice get imagestreams/layers shop/web"
		update  = "alice update imagestreams/layers shop/web"
		tags    = "alice delete imagestreamtags shop/"
		images  = "alice delete images /"
		sign    = "alice create imagesignatures shop/web"
		elseGet = "alice get imagestreams/layers shop/other"
	)
	type actions = []ociregistry.Action
	for _, test := range []struct {
		rights []string
		want   actions
	}{
		{nil, nil},
		{[]string{elseGet}, nil},
		{[]string{get}, actions{"pull", "signature-read"}},
		{[]string{update}, nil},
		{[]string{get, update}, actions{"pull", "push", "signature-read"}},
		{[]string{tags}, actions{"delete"}},
		{[]string{images}, actions{"delete"}},
		{[]string{sign}, nil},
		{[]string{get, sign}, actions{"pull", "sign", "signature-read"}},
		{[]string{get, update, tags, images, sign}, actions{"delete", "pull", "push", "sign", "signature-read"}},
	} {
		w := newWorld()
		w.allow(test.rights...)
		a := w.access()
		c, err := a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+tokenOfAlice))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, allowed(t, a, c, "shop/web")); diff != "" {
			t.Errorf("with %v (-want +got):\n%s", test.rights, diff)
		}
	}
}

func TestAllowAsksForTheStream(t *testing.T) {
	w := newWorld()
	w.allow("alice get imagestreams/layers shop/a.x2f.b")
	a := w.access()
	c, _ := a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+tokenOfAlice))
	for _, name := range []string{"shop/a/b", "shop/a.x2f.b"} {
		if err := a.Allow(context.Background(), c, repo(t, name), ociregistry.ActionPull); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusalsAreToldInTheTermsOfTheCaller(t *testing.T) {
	w := newWorld()
	a := w.access()
	for header, want := range map[string]string{
		"Bearer " + tokenOfAlice:  plainChallenge + `,scope="repository:shop/web:pull,push",error="insufficient_scope"`,
		"Bearer anonymous":        plainChallenge + `,scope="repository:shop/web:pull,push",error="insufficient_scope"`,
		basicHeader(tokenOfAlice): basicAnswer,
	} {
		c, err := a.Authenticate(request(http.MethodGet, "/v2/", header))
		if err != nil {
			t.Fatal(err)
		}
		e := failure(t, a.Allow(context.Background(), c, repo(t, "shop/web"), ociregistry.ActionPush))
		if e.Code != ociregistry.CodeUnauthorized || e.Challenge != want {
			t.Errorf("%s: %s, challenge %s", header, e.Code, e.Challenge)
		}
		if diff := cmp.Diff([]record{{"repository", "shop/web", "push"}}, e.Detail); diff != "" {
			t.Errorf("detail (-want +got):\n%s", diff)
		}
	}
}

func TestClusterRights(t *testing.T) {
	w := newWorld()
	w.allow("alice delete images /", "alice get registry/metrics /")
	a := w.access()
	ctx := context.Background()
	alice, _ := a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+tokenOfAlice))
	bob, _ := a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+tokenOfBob))
	bound := alice
	bound.Grants = []ociregistry.Grant{{Type: "repository", Name: "shop/web", Actions: []string{"*"}}}
	for _, right := range [][3]string{{"delete", "images", ""}, {"get", "registry", "metrics"}} {
		if err := a.AllowCluster(ctx, alice, right[0], right[1], right[2]); err != nil {
			t.Errorf("%v: %v", right, err)
		}
		for _, c := range []ociregistry.Caller{bob, bound} {
			if e := failure(t, a.AllowCluster(ctx, c, right[0], right[1], right[2])); e.Code != ociregistry.CodeUnauthorized || e.Challenge == "" {
				t.Errorf("%v for %s: %v", right, c.User.GetName(), e)
			}
		}
	}
	if failure(t, a.AllowCluster(ctx, alice, "delete", "imagestreams", "")).Code != ociregistry.CodeUnauthorized {
		t.Error("a right that nobody gave was allowed")
	}
}

// Nobody is refused because nobody could be asked.
func TestWhileTheAPICannotBeAsked(t *testing.T) {
	w := newWorld()
	w.allow("alice get imagestreams/layers shop/web")
	a := w.access()
	c, err := a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+tokenOfAlice))
	if err != nil {
		t.Fatal(err)
	}
	w.setDown(true)
	_, err = a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+tokenOfAlice))
	errs := []error{err, a.AllowCluster(context.Background(), c, "delete", "images", "")}
	for _, action := range allActions {
		errs = append(errs, a.Allow(context.Background(), c, repo(t, "shop/web"), action))
	}
	for n, err := range errs {
		e := failure(t, err)
		if e.Code != ociregistry.CodeUnavailable || e.HTTPStatus() != http.StatusServiceUnavailable || e.RetryAfter <= 0 || !errors.Is(err, errDown) {
			t.Errorf("%d: %v, to retry after %s", n, err, e.RetryAfter)
		}
	}
}

// jwtThatEnds looks like a service account's token.
func jwtThatEnds(at time.Time) string {
	payload, _ := json.Marshal(map[string]any{"exp": at.Unix(), "sub": "system:serviceaccount:shop:robot"})
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + ".c2ln"
}

// A token that says itself that it has ended is not asked about, whatever is remembered.
func TestTokensThatSayTheyHaveEnded(t *testing.T) {
	w := newWorld()
	token := jwtThatEnds(w.at.Add(time.Minute))
	w.tokens[token] = &user.DefaultInfo{Name: "robot"}
	a := w.access()
	if _, err := a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+token)); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	asked := w.asked
	if e := failure(t, second(a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+token)))); e.Code != ociregistry.CodeUnauthorized {
		t.Errorf("got %v", e)
	}
	if w.asked != asked {
		t.Error("the API was asked about a token that has ended")
	}
}

func second[T any](_ T, err error) error { return err }

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("an Access without a config was made")
	}
	for realm, ok := range map[string]bool{
		"": true, "https://registry.example.com": true, "http://10.0.0.1:5000": true, "https://[::1]:5000": true,
		"registry.example.com": false, "ftp://x": false, "https://": false, "https://x/": false, "https://x/token": false,
		"https://x?a=b": false, "https://x?": false, "https://x#f": false, "https://u:p@x": false, `https://x"y`: false, "https://x y": false, "::": false,
	} {
		if _, err := newRealm(realm, nil); (err == nil) != ok {
			t.Errorf("%q: %v", realm, err)
		}
	}
}

func FuzzAuthorization(f *testing.F) {
	w := newWorld()
	a := w.access()
	for _, seed := range []string{"", "Basic", "Basic dTpwYXNz", "Bearer x", "Bearer anonymous", "bearer  a.b.c", "Basic \xff", "Bearer \x00", "Digest a=b", " Basic x", "Basic " + strings.Repeat("A", 1000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := request(http.MethodGet, "/v2/shop/web/tags/list", "")
		r.Header["Authorization"] = []string{header}
		c, err := a.Authenticate(r)
		if err != nil {
			e := failure(t, err)
			if e.Code != ociregistry.CodeUnauthorized || !strings.HasPrefix(e.Challenge, "B") || strings.ContainsAny(e.Challenge, "\r\n") {
				t.Fatalf("%q: %v, challenge %q", header, err, e.Challenge)
			}
			return
		}
		shown := readCredentials(header)
		if u, known := w.tokens[shown.secret]; !known && (shown.secret != anonymousToken || c.User.GetName() != user.Anonymous) || known && u != c.User {
			t.Fatalf("%q is %s", header, c.User.GetName())
		}
	})
}

// A warm request costs looks into memory.
func BenchmarkWarmRequest(b *testing.B) {
	w := newWorld()
	w.allow("alice get imagestreams/layers shop/web")
	a := w.access()
	token := ask(b, a, basicHeader(tokenOfAlice), "repository:shop/web:pull").Token
	r := request(http.MethodGet, "/v2/shop/web/manifests/v1", "Bearer "+token)
	repository := repo(b, "shop/web")
	b.ReportAllocs()
	for b.Loop() {
		c, err := a.Authenticate(r)
		if err == nil {
			err = a.Allow(r.Context(), c, repository, ociregistry.ActionPull)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleAccess_Challenge() {
	a := newWorld().access()
	fmt.Println(a.Challenge(request(http.MethodGet, "/v2/", ""), "shop/web", ociregistry.ActionPull))
	// Output: Bearer realm="http://registry.test:5000/openshift/token",service="registry.test:5000",scope="repository:shop/web:pull"
}
