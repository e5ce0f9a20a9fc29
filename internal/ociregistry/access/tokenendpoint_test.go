package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/ociregistry"
)

// askRaw asks the token endpoint with GET.
func askRaw(a *Access, authorization string, scopes ...string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.ServeToken(w, request(http.MethodGet, TokenPath+"?"+url.Values{"service": {"x"}, "account": {"u"}, "scope": scopes}.Encode(), authorization))
	return w
}

// post asks it with a form.
func post(a *Access, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, TokenPath, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	a.ServeToken(w, r)
	return w
}

func decodeAnswer(t testing.TB, w *httptest.ResponseRecorder) tokenAnswer {
	t.Helper()
	var answer tokenAnswer
	if w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &answer) != nil || answer.Token == "" || answer.Token != answer.AccessToken {
		t.Fatalf("the token endpoint answered %d %s", w.Code, w.Body)
	}
	return answer
}

// ask asks for a token that must be issued.
func ask(t testing.TB, a *Access, authorization string, scopes ...string) tokenAnswer {
	t.Helper()
	return decodeAnswer(t, askRaw(a, authorization, scopes...))
}

// as is who shows a token.
func as(t testing.TB, a *Access, token string) ociregistry.Caller {
	t.Helper()
	c, err := a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+token))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTokenOfSomebody(t *testing.T) {
	w := newWorld()
	a := w.access()
	r := askRaw(a, basicHeader(tokenOfAlice))
	answer := decodeAnswer(t, r)
	if r.Header().Get("Content-Type") != "application/json" || r.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", r.Header())
	}
	if answer.ExpiresIn != 300 || answer.IssuedAt != "2030-01-02T03:04:05Z" || answer.TokenType != "" {
		t.Errorf("the answer is %s", r.Body)
	}
	c := as(t, a, answer.Token)
	if c.User.GetName() != "alice" || !cmp.Equal(c.User.GetGroups(), w.tokens[tokenOfAlice].GetGroups()) || c.Grants == nil || len(c.Grants) != 0 {
		t.Errorf("the token is %+v's", c)
	}
}

func TestTokenOfNobody(t *testing.T) {
	a := newWorld().access()
	for _, scopes := range [][]string{nil, {"repository:shop/web:pull"}, {"repository:shop/web:pull,push", "registry:catalog:*"}} {
		r := askRaw(a, "", scopes...)
		if r.Code != http.StatusOK || strings.TrimSpace(r.Body.String()) != `{"token":"anonymous","access_token":"anonymous"}` {
			t.Errorf("%v: %d %s", scopes, r.Code, r.Body)
		}
	}
	if c := as(t, a, "anonymous"); c.User.GetName() != user.Anonymous || !cmp.Equal(c.User.GetGroups(), []string{user.AllUnauthenticated}) {
		t.Errorf("it is the token of %+v", c.User)
	}
}

func TestTokensThatAreNotIssued(t *testing.T) {
	a := newWorld().access()
	empty := func(r *httptest.ResponseRecorder) bool { return r.Body.Len() == 0 }
	for name, test := range map[string]struct {
		authorization, scope string
		body                 func(*httptest.ResponseRecorder) bool
	}{
		"wrong password":           {basicHeader("wrong"), "", empty},
		"no password":              {basicHeader(""), "", empty},
		"Basic that is none":       {"Basic !", "", empty},
		"Bearer":                   {"Bearer " + tokenOfAlice, "", empty},
		"Bearer of nobody":         {"Bearer anonymous", "", empty},
		"a password of nobody":     {basicHeader("anonymous"), "", empty},
		"another scheme":           {"Digest x", "", empty},
		"malformed":                {"nonsense", "", empty},
		"wrong in every way":       {basicHeader("wrong"), "everything", empty},
		"scope of many components": {basicHeader("wrong"), "repository:a/b/c:pull", empty},
	} {
		r := askRaw(a, test.authorization, test.scope)
		if r.Code != http.StatusUnauthorized || r.Header().Get("Content-Type") != "application/json" || !test.body(r) {
			t.Errorf("%s: %d %v %q", name, r.Code, r.Header(), r.Body)
		}
	}
}

// A request is answered with a token for what can be granted, whatever else is in it: names
// of other registries, scopes of other kinds, parameters of other token services. A name that
// no repository has is explained where it is used, by the registry.
func TestATokenForWhatCanBeGranted(t *testing.T) {
	w := newWorld()
	w.allow("alice get imagestreams/layers shop/web")
	a := w.access()
	const good = "repository:shop/web:pull"
	want := []ociregistry.Action{"pull", "signature-read"}
	for _, bad := range append(slices.Clone(ungrantable), strings.Join(ungrantable, " ")) {
		for _, scopes := range [][]string{{good, bad}, {bad, good}, {bad + " " + good}} {
			form := url.Values{
				"grant_type": {"password"}, "password": {tokenOfAlice}, "scope": {strings.Join(scopes, " ")},
				"service": {"x", "y"}, "audience": {"z"}, "client_id": {"containerd-client"}, "access_type": {"offline"},
			}
			for how, r := range map[string]*httptest.ResponseRecorder{"GET": askRaw(a, basicHeader(tokenOfAlice), scopes...), "POST": post(a, form)} {
				if diff := cmp.Diff(want, allowed(t, a, as(t, a, decodeAnswer(t, r).Token), "shop/web")); diff != "" {
					t.Errorf("%s %.100q (-want +got):\n%s", how, scopes, diff)
				}
			}
		}
	}
	none := as(t, a, ask(t, a, basicHeader(tokenOfAlice), ungrantable...).Token)
	if none.User.GetName() != "alice" || none.Grants == nil || len(none.Grants) != 0 {
		t.Errorf("for names that cannot be, alice gets %+v", none)
	}
	if answer := ask(t, a, "", ungrantable...); answer.Token != anonymousToken {
		t.Errorf("without credentials: %+v", answer)
	}
}

func TestMethodsOfTheTokenEndpoint(t *testing.T) {
	a := newWorld().access()
	for _, method := range []string{http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
		w := httptest.NewRecorder()
		a.ServeToken(w, request(method, TokenPath, ""))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestTokenByForm(t *testing.T) {
	w := newWorld()
	w.allow("alice get imagestreams/layers shop/web")
	a := w.access()
	for _, form := range []url.Values{
		{"grant_type": {"password"}, "username": {"u"}, "password": {tokenOfAlice}, "scope": {"repository:shop/web:pull"}},
		{"grant_type": {"refresh_token"}, "refresh_token": {tokenOfAlice}, "scope": {"repository:shop/web:pull"}},
	} {
		answer := decodeAnswer(t, post(a, form))
		if answer.TokenType != "Bearer" || answer.ExpiresIn != 300 {
			t.Errorf("%v: %+v", form, answer)
		}
		if diff := cmp.Diff([]ociregistry.Action{"pull", "signature-read"}, allowed(t, a, as(t, a, answer.Token), "shop/web")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", form, diff)
		}
	}
	for name, test := range map[string]struct {
		form url.Values
		code int
		text string
	}{
		"no grant type":      {url.Values{"password": {tokenOfAlice}}, 400, `{"error":"invalid_request"}`},
		"another grant type": {url.Values{"grant_type": {"authorization_code"}}, 400, `{"error":"unsupported_grant_type"}`},
		"wrong password":     {url.Values{"grant_type": {"password"}, "password": {"wrong"}}, 401, ""},
		"no password":        {url.Values{"grant_type": {"password"}}, 401, ""},
		"no refresh token":   {url.Values{"grant_type": {"refresh_token"}}, 401, ""},
		"too long":           {url.Values{"grant_type": {"password"}, "password": {strings.Repeat("x", maxForm)}}, 400, `{"error":"invalid_request"}`},
	} {
		if r := post(a, test.form); r.Code != test.code || strings.TrimSpace(r.Body.String()) != test.text {
			t.Errorf("%s: %d %s", name, r.Code, r.Body)
		}
	}
	// What stands in the URL is not the form, and is logged on the way.
	r := httptest.NewRequest(http.MethodPost, TokenPath+"?grant_type=password&password="+tokenOfAlice, nil)
	rec := httptest.NewRecorder()
	a.ServeToken(rec, r)
	if rec.Code != http.StatusBadRequest {
		t.Errorf("a password in the URL: %d", rec.Code)
	}
}

// A token is good for what was asked for and allowed, both when it was issued and now.
func TestGrants(t *testing.T) {
	const (
		get    = "alice get imagestreams/layers shop/web"
		update = "alice update imagestreams/layers shop/web"
		tags   = "alice delete imagestreamtags shop/"
		sign   = "alice create imagesignatures shop/web"
	)
	type actions = []ociregistry.Action
	all := []string{get, update, tags, sign}
	for name, test := range map[string]struct {
		atIssue []string
		scopes  []string
		now     []string
		want    actions
	}{
		"no scope":                     {all, nil, all, nil},
		"pull":                         {all, []string{"repository:shop/web:pull"}, all, actions{"pull", "signature-read"}},
		"push alone":                   {all, []string{"repository:shop/web:push"}, all, actions{"push", "sign"}},
		"pull and push":                {all, []string{"repository:shop/web:pull,push"}, all, actions{"pull", "push", "sign", "signature-read"}},
		"all":                          {all, []string{"repository:shop/web:*"}, all, actions{"delete", "pull", "push", "sign", "signature-read"}},
		"delete":                       {all, []string{"repository:shop/web:delete"}, all, actions{"delete"}},
		"in two scopes":                {all, []string{"repository:shop/web:pull", "repository:shop/web:delete"}, all, actions{"delete", "pull", "signature-read"}},
		"signatures":                   {all, []string{"signature:shop/web:get,put"}, all, actions{"pull", "sign", "signature-read"}},
		"another repository":           {all, []string{"repository:shop/other:pull,push"}, all, nil},
		"another namespace":            {all, []string{"repository:other/web:pull,push"}, all, nil},
		"the catalog":                  {all, []string{"registry:catalog:*"}, all, nil},
		"not allowed when issued":      {[]string{get}, []string{"repository:shop/web:pull,push"}, all, actions{"pull", "signature-read"}},
		"not allowed any more":         {all, []string{"repository:shop/web:*"}, []string{get}, actions{"pull", "signature-read"}},
		"never allowed":                {nil, []string{"repository:shop/web:*"}, nil, nil},
		"another spelling of it":       {all, []string{"repository:shop/web:pull repository:shop/x:pull"}, all, actions{"pull", "signature-read"}},
		"signer without right to push": {[]string{get, sign}, []string{"repository:shop/web:pull,push"}, []string{get, sign}, actions{"pull", "sign", "signature-read"}},
	} {
		w := newWorld()
		w.allow(test.atIssue...)
		a := w.access()
		c := as(t, a, ask(t, a, basicHeader(tokenOfAlice), test.scopes...).Token)
		w.revoke(all...)
		w.allow(test.now...)
		if diff := cmp.Diff(test.want, allowed(t, a, c, "shop/web")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestGrantsKnowARepositoryByEachOfItsNames(t *testing.T) {
	w := newWorld()
	w.allow("alice get imagestreams/layers shop/a.x2f.b")
	a := w.access()
	for _, asked := range []string{"shop/a/b", "shop/a.x2f.b"} {
		c := as(t, a, ask(t, a, basicHeader(tokenOfAlice), "repository:"+asked+":pull").Token)
		for _, used := range []string{"shop/a/b", "shop/a.x2f.b"} {
			if err := a.Allow(context.Background(), c, repo(t, used), ociregistry.ActionPull); err != nil {
				t.Errorf("issued for %s, used on %s: %v", asked, used, err)
			}
		}
		if a.Allow(context.Background(), c, repo(t, "shop/a"), ociregistry.ActionPull) == nil {
			t.Errorf("issued for %s, good for shop/a", asked)
		}
	}
}

func TestCatalog(t *testing.T) {
	a := newWorld().access()
	bound := as(t, a, ask(t, a, basicHeader(tokenOfAlice), "repository:shop/web:pull").Token)
	e := failure(t, a.AllowCatalog(bound))
	if e.Code != ociregistry.CodeUnauthorized || !strings.Contains(e.Challenge, `scope="registry:catalog:*"`) {
		t.Errorf("%v, challenge %s", e, e.Challenge)
	}
	for _, token := range []string{tokenOfAlice, "anonymous", ask(t, a, basicHeader(tokenOfAlice), "registry:catalog:*").Token} {
		if err := a.AllowCatalog(as(t, a, token)); err != nil {
			t.Error(err)
		}
	}
}

// Exchanging a token for another gives neither more rights nor more time.
func TestTokensAreNotWidenedByExchange(t *testing.T) {
	w := newWorld()
	w.allow("alice get imagestreams/layers *", "alice update imagestreams/layers *")
	a := w.access()
	first := ask(t, a, basicHeader(tokenOfAlice), "repository:shop/web:pull").Token
	w.pass(4 * time.Minute)
	again := ask(t, a, basicHeader(first), "repository:shop/web:pull,push", "repository:shop/other:pull", "registry:catalog:*")
	if again.ExpiresIn != 60 {
		t.Errorf("the second token lasts %d s more", again.ExpiresIn)
	}
	c := as(t, a, again.Token)
	if diff := cmp.Diff([]ociregistry.Action{"pull", "signature-read"}, allowed(t, a, c, "shop/web")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if may := allowed(t, a, c, "shop/other"); may != nil || a.AllowCatalog(c) == nil {
		t.Errorf("the second token is good for %v elsewhere", may)
	}
	w.pass(time.Minute)
	if r := askRaw(a, basicHeader(again.Token)); r.Code != http.StatusUnauthorized {
		t.Errorf("a token of no time at all: %d %s", r.Code, r.Body)
	}
}

func TestTokensOfTheAPIEndTheRegistrysTokens(t *testing.T) {
	w := newWorld()
	short := jwtThatEnds(w.at.Add(42 * time.Second))
	w.tokens[short] = &user.DefaultInfo{Name: "robot"}
	a := w.access()
	answer := ask(t, a, basicHeader(short))
	if answer.ExpiresIn != 42 {
		t.Errorf("it lasts %d s", answer.ExpiresIn)
	}
	w.pass(time.Minute)
	e := failure(t, second(a.Authenticate(request(http.MethodPut, "/v2/shop/web/manifests/v1", "Bearer "+answer.Token))))
	if want := plainChallenge + `,scope="repository:shop/web:pull,push",error="invalid_token"`; e.Challenge != want {
		t.Errorf("an expired token is answered %s", e.Challenge)
	}
}

// A password that the API issued for a certificate is one for the registry.
func TestPasswords(t *testing.T) {
	w := newWorld()
	w.allow("cert get imagestreams/layers shop/web", "cert update imagestreams/layers shop/web", "cert delete images /")
	a := w.access()
	password, _, err := a.issuer.Issue(context.Background(), tokens.Password, &user.DefaultInfo{Name: "cert"}, nil, time.Hour, tokens.End{})
	if err != nil {
		t.Fatal(err)
	}
	want := []ociregistry.Action{"delete", "pull", "push", "signature-read"}
	if diff := cmp.Diff(want, allowed(t, a, as(t, a, password), "shop/web")); diff != "" {
		t.Errorf("used as it is (-want +got):\n%s", diff)
	}
	c := as(t, a, ask(t, a, basicHeader(password), "repository:shop/web:pull").Token)
	if diff := cmp.Diff([]ociregistry.Action{"pull", "signature-read"}, allowed(t, a, c, "shop/web")); diff != "" {
		t.Errorf("exchanged (-want +got):\n%s", diff)
	}
	if w.asked != 0 {
		t.Errorf("the API was asked %d times for the registry's own token", w.asked)
	}
}

// A token that does not say when it ends is given back: one of the registry would outlive it.
func TestTokensWithoutAnEnd(t *testing.T) {
	w := newWorld()
	w.tokens["opaque"] = &user.DefaultInfo{Name: "static"}
	a := w.access()
	if answer := ask(t, a, basicHeader("opaque"), "repository:shop/web:pull"); answer.Token != "opaque" || answer.ExpiresIn != 0 {
		t.Errorf("for a token without an end, there is %+v", answer)
	}
}

// Users in more groups than fit into a token get back what they showed.
func TestUsersOfVeryManyGroups(t *testing.T) {
	w := newWorld()
	big := &user.DefaultInfo{Name: "big"}
	for n := range 500 {
		big.Groups = append(big.Groups, fmt.Sprintf("a-group-with-a-long-name-%d", n))
	}
	tokenOfBig := jwtThatEnds(w.at.Add(time.Hour))
	w.tokens[tokenOfBig] = big
	a := w.access()
	if answer := ask(t, a, basicHeader(tokenOfBig), "repository:shop/web:pull"); answer.Token != tokenOfBig {
		t.Errorf("the token has %d bytes", len(answer.Token))
	}
}

func TestTokenEndpointWhileTheAPICannotBeAsked(t *testing.T) {
	w := newWorld()
	w.allow("alice get imagestreams/layers shop/web")
	a := w.access()
	own := ask(t, a, basicHeader(tokenOfAlice), "repository:shop/web:pull").Token
	w.setDown(true)
	for name, header := range map[string]string{"an API token": basicHeader(tokenOfAlice), "a token of ours, whose rights cannot be asked": basicHeader(own)} {
		r := askRaw(a, header, "repository:shop/web:pull")
		if r.Code != http.StatusServiceUnavailable || r.Header().Get("Retry-After") == "" || strings.Contains(r.Body.String(), errDown.Error()) {
			t.Errorf("%s: %d %s", name, r.Code, r.Body)
		}
	}
	if r := askRaw(a, ""); r.Code != http.StatusOK {
		t.Errorf("nobody: %d", r.Code)
	}
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld()
	w.allow("alice get imagestreams/layers shop/web")
	a := w.access()
	var all sync.WaitGroup
	errs := make(chan error, 64)
	for range 64 {
		all.Go(func() {
			r := askRaw(a, basicHeader(tokenOfAlice), "repository:shop/web:pull")
			var answer tokenAnswer
			err := json.Unmarshal(r.Body.Bytes(), &answer)
			for range 20 {
				c, failed := a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+answer.Token))
				if failed == nil {
					failed = a.Allow(context.Background(), c, repo(t, "shop/web"), ociregistry.ActionPull)
				}
				err = errors.Join(err, failed)
			}
			errs <- err
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzTokenEndpoint(f *testing.F) {
	w := newWorld()
	w.allow("alice get imagestreams/layers *")
	a := w.access()
	f.Add("Basic dTpwYXNz", "repository:shop/web:pull", "grant_type=password&password=x")
	f.Add(basicHeader(tokenOfAlice), "repository:shop/web:*", "grant_type=refresh_token&refresh_token="+tokenOfAlice+"&scope=repository:a/b:pull")
	f.Add("Bearer x", ":::", "grant_type=%")
	f.Fuzz(func(t *testing.T, authorization, scope, form string) {
		get := request(http.MethodGet, TokenPath+"?"+url.Values{"scope": {scope}}.Encode(), "")
		get.Header["Authorization"] = []string{authorization}
		post := httptest.NewRequest(http.MethodPost, TokenPath, strings.NewReader(form))
		post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, r := range []*http.Request{get, post} {
			rec := httptest.NewRecorder()
			a.ServeToken(rec, r)
			switch rec.Code {
			case http.StatusOK:
				c := as(t, a, decodeAnswer(t, rec).Token)
				if a.Allow(context.Background(), c, repo(t, "shop/web"), ociregistry.ActionPush) == nil {
					t.Fatalf("%q %q %q: a token to push was issued", authorization, scope, form)
				}
			case http.StatusUnauthorized, http.StatusBadRequest:
			default:
				t.Fatalf("%s: %d %s", r.Method, rec.Code, rec.Body)
			}
		}
	})
}
