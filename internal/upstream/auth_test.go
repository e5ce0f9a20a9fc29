package upstream

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/pullsecrets"
)

// bearerAuth puts the token protocol in front of a registry: its realm is on
// the same server and gives a token to one user.
func bearerAuth(t *testing.T, h http.Handler, user, password string, life time.Duration) http.Handler {
	t.Helper()
	const token = "the-token-of-this-registry"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		if r.URL.Path == "/token" {
			if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
				w.WriteHeader(401)
				fmt.Fprint(w, `{"details":"incorrect username or password"}`)
				return
			}
			if scopes := r.URL.Query()["scope"]; len(scopes) != 1 || scopes[0] != "repository:team/app:pull" || r.URL.Query().Get("service") != "reg" {
				w.WriteHeader(400)
				return
			}
			json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": life.Seconds()})
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+token {
			scope := "repository:team/app:pull"
			if r.URL.Path == "/v2/" {
				scope = "repository:user/image:pull" // as ghcr.io has it
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s://%s/token",service="reg",scope="%s"`, scheme, r.Host, scope))
			w.WriteHeader(401)
			fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// basicAuth admits one user by Basic.
func basicAuth(h http.Handler, user, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			sent := r.Header.Get("Authorization")
			_, encoded, _ := strings.Cut(sent, " ")
			w.Header().Set("WWW-Authenticate", `Basic realm="reg"`)
			w.WriteHeader(401)
			fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":"you sent %s, that is %s or %s"}]}`, sent, encoded, p)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func TestBasic(t *testing.T) {
	h, _ := realRegistry(t)
	s := serve(t, basicAuth(h, "u", "correct-horse"))
	right, wrong := pullsecrets.Credential{Username: "u", Password: "correct-horse"}, pullsecrets.Credential{Username: "u", Password: "battery-staple"}
	ctx := t.Context()
	if _, err := open(t, newTestClient(t), s.host+"/team/app", right).Manifest(ctx, "latest"); err != nil {
		t.Error(err)
	}
	if _, err := open(t, newTestClient(t), s.host+"/team/app", wrong, right).Manifest(ctx, "latest"); err != nil {
		t.Errorf("second credential: %v", err)
	}
	_, err := open(t, newTestClient(t), s.host+"/team/app", wrong).Manifest(ctx, "latest")
	e := wantCode(t, err, CodeUnauthorized)
	secret := base64.StdEncoding.EncodeToString([]byte("u:battery-staple"))
	if !strings.Contains(e.Text, "you sent") || strings.Contains(e.Text, secret) || strings.Contains(e.Text, "battery-staple") {
		t.Errorf("the echoed credential shows: %s", e.Text)
	}
	_, err = open(t, newTestClient(t), s.host+"/team/app").Manifest(ctx, "latest")
	if e := wantCode(t, err, CodeUnauthorized); !strings.HasSuffix(e.Text, "no basic auth credentials") {
		t.Error(e.Text)
	}
}

func TestBearer(t *testing.T) {
	h, _ := realRegistry(t)
	s := serveTLS(t, bearerAuth(t, h, "u", "p", time.Hour))
	secure := func(o *Options) { o.RootCAs = trust(s) }
	ctx := t.Context()
	if _, err := openAs(t, newTestClient(t, secure), s.host+"/team/app", false, pullsecrets.Credential{Username: "u", Password: "p"}).Manifest(ctx, "latest"); err != nil {
		t.Error(err)
	}
	_, err := openAs(t, newTestClient(t, secure), s.host+"/team/app", false, pullsecrets.Credential{Username: "u", Password: "x"}).Manifest(ctx, "latest")
	wantCode(t, err, CodeBadCredentials)
	_, err = openAs(t, newTestClient(t, secure), s.host+"/team/app", false, pullsecrets.Credential{RegistryToken: "stale-registry-token"}).Manifest(ctx, "latest")
	wantCode(t, err, CodeUnauthorized)
	if _, err = openAs(t, newTestClient(t, secure), s.host+"/team/app", false, pullsecrets.Credential{RegistryToken: "the-token-of-this-registry"}).Manifest(ctx, "latest"); err != nil {
		t.Error(err)
	}
	// The certificate counts: without the CA there is no insecure fallback.
	_, err = openAs(t, newTestClient(t), s.host+"/team/app", false).Manifest(ctx, "latest")
	wantCode(t, err, CodeUnavailable)
	// Insecure skips it.
	if _, err = open(t, newTestClient(t), s.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "p"}).Manifest(ctx, "latest"); err != nil {
		t.Error(err)
	}
}

func TestWrongSecretDoesNotBreakPublicImages(t *testing.T) {
	h, _ := realRegistry(t)
	// The realm refuses wrong users and gives anybody else a token.
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token" && r.Header.Get("Authorization") != "":
			w.WriteHeader(403)
		case r.URL.Path == "/token":
			fmt.Fprint(w, `{"access_token":"anonymous-token"}`)
		case r.Header.Get("Authorization") == "Bearer anonymous-token":
			h.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
			w.WriteHeader(401)
		}
	}))
	r := open(t, newTestClient(t), s.host+"/team/app", pullsecrets.Credential{Username: "old", Password: "old"})
	if _, err := r.Manifest(t.Context(), "latest"); err != nil {
		t.Fatal(err)
	}
	_, err := r.Manifest(t.Context(), "gone")
	wantCode(t, err, CodeManifestUnknown)
}

func TestTokenIsRefreshedOnce(t *testing.T) {
	h, _ := realRegistry(t)
	var tokens, refuse atomic.Int32
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			fmt.Fprintf(w, `{"token":"token-%d","expires_in":300}`, tokens.Add(1))
			return
		}
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", tokens.Load()) || refuse.Load() == 2 || refuse.CompareAndSwap(1, 0) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
			w.WriteHeader(401)
			return
		}
		h.ServeHTTP(w, r)
	}))
	r := open(t, newTestClient(t), s.host+"/team/app")
	for range 2 {
		if _, err := r.Head(t.Context(), "latest"); err != nil {
			t.Fatal(err)
		}
	}
	if tokens.Load() != 1 {
		t.Fatalf("%d tokens for two calls", tokens.Load())
	}
	refuse.Store(1)
	if _, err := r.Head(t.Context(), "latest"); err != nil || tokens.Load() != 2 {
		t.Fatalf("refused in the middle: %v, %d tokens", err, tokens.Load())
	}
	refuse.Store(2)
	s.reset()
	_, err := r.Head(t.Context(), "latest")
	wantCode(t, err, CodeUnauthorized)
	if n := len(s.all()); n != 4 { // refused, token, refused, and so is the GET
		t.Errorf("%d requests when always refused: %v", n, s.lines())
	}
}

func TestIdentityToken(t *testing.T) {
	h, _ := realRegistry(t)
	for _, oauth := range []bool{true, false} {
		t.Run(fmt.Sprint(oauth), func(t *testing.T) {
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/token" && r.Method == http.MethodPost && !oauth:
					w.WriteHeader(404)
				case r.URL.Path == "/token" && r.Method == http.MethodPost:
					if r.FormValue("refresh_token") != "identity" || r.FormValue("grant_type") != "refresh_token" || r.FormValue("scope") != "repository:team/app:pull" {
						w.WriteHeader(400)
						return
					}
					fmt.Fprint(w, `{"access_token":"good"}`)
				case r.URL.Path == "/token":
					if u, p, _ := r.BasicAuth(); u != "u" || p != "p" {
						w.WriteHeader(400)
						return
					}
					fmt.Fprint(w, `{"access_token":"good"}`)
				case r.Header.Get("Authorization") == "Bearer good":
					h.ServeHTTP(w, r)
				default:
					w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
					w.WriteHeader(401)
				}
			}))
			r := open(t, newTestClient(t), s.host+"/team/app", pullsecrets.Credential{IdentityToken: "identity", Username: "u", Password: "p"})
			if _, err := r.Manifest(t.Context(), "latest"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRealmOnAnotherHost(t *testing.T) {
	h, _ := realRegistry(t)
	realm := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			w.WriteHeader(401)
			return
		}
		fmt.Fprint(w, `{"token":"good"}`)
	}))
	plain := serve(t, realm.Config.Handler)
	registry := func(realmURL string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer good" {
				h.ServeHTTP(w, r)
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realmURL+`"`)
			w.WriteHeader(401)
		})
	}
	cred := pullsecrets.Credential{Username: "u", Password: "p"}

	secure := serveTLS(t, registry(realm.URL))
	c := newTestClient(t, func(o *Options) { o.RootCAs = trust(secure, realm) })
	if _, err := openAs(t, c, secure.host+"/team/app", false, cred).Manifest(t.Context(), "latest"); err != nil {
		t.Errorf("realm over TLS: %v", err)
	}

	for name, bad := range map[string]string{
		"plain": plain.URL, "userinfo": "https://u:p@" + realm.host, "scheme": "ftp://" + realm.host, "relative": "/token", "malformed": "https://%zz",
	} {
		liar := serveTLS(t, registry(bad))
		c = newTestClient(t, func(o *Options) { o.RootCAs = trust(liar, realm) })
		_, err := openAs(t, c, liar.host+"/team/app", false, cred).Manifest(t.Context(), "latest")
		t.Log(name, err)
		wantCode(t, err, CodeProtocol)
	}
	if n := len(plain.all()); n != 0 {
		t.Errorf("the plain realm was asked %d times", n)
	}
}

func TestRealmNamedBySomebodyElseGetsNoCredentials(t *testing.T) {
	realm := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"token":"x"}`) }))
	stranger := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm.URL+`"`)
		w.WriteHeader(401)
	}))
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, stranger.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	for _, cred := range []pullsecrets.Credential{{Username: "u", Password: "p"}, {IdentityToken: "identity"}, {RegistryToken: "registry-token"}} {
		_, err := open(t, newTestClient(t), s.host+"/team/app", cred).Manifest(t.Context(), "latest")
		wantCode(t, err, CodeUnauthorized)
	}
	for _, server := range []*upstreamServer{realm, stranger} {
		for _, r := range server.all() {
			if r.Header.Get("Authorization") != "" || r.URL.Query().Get("account") != "" || r.Method == http.MethodPost {
				t.Errorf("%s %s got %q", r.Method, r.URL, r.Header.Get("Authorization"))
			}
		}
	}
	if len(stranger.all()) == 0 {
		t.Error("the redirect was not followed at all")
	}
}

func TestRedirectLeavesCredentialsBehind(t *testing.T) {
	body := []byte("blob content")
	var origin *upstreamServer
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("back") != "" {
			http.Redirect(w, r, origin.URL+"/landing", http.StatusTemporaryRedirect)
			return
		}
		w.Write(body)
	}))
	query := ""
	origin = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/landing":
			w.Write(body)
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(401)
		case r.URL.Path != "/v2/":
			http.Redirect(w, r, other.URL+"/cdn"+query, http.StatusTemporaryRedirect)
		}
	}))
	for _, query = range []string{"", "?back=1"} {
		origin.reset()
		other.reset()
		got, err := open(t, newTestClient(t), origin.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "p"}).Blob(t.Context(), digest.FromBytes(body), 100)
		if err != nil || string(got) != string(body) {
			t.Fatalf("%q: %v", got, err)
		}
		for _, r := range append(other.all(), landing(origin)...) {
			for _, name := range []string{"Authorization", "Cookie", "Referer"} {
				if r.Header.Get(name) != "" {
					t.Errorf("%s got %s: %s", r.URL, name, r.Header.Get(name))
				}
			}
		}
		if len(other.all()) != 1 {
			t.Errorf("other host asked: %v", other.lines())
		}
	}
}

func landing(s *upstreamServer) (seen []*http.Request) {
	for _, r := range s.all() {
		if r.URL.Path == "/landing" {
			seen = append(seen, r)
		}
	}
	return seen
}

func TestRedirectFromTLSToPlainIsRefused(t *testing.T) {
	plain := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(manifestOf("x")) }))
	s := serveTLS(t, v2(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) }))
	c := newTestClient(t, func(o *Options) { o.RootCAs = trust(s) })
	_, err := openAs(t, c, s.host+"/a/b", false).Manifest(t.Context(), "x")
	wantCode(t, err, CodeProtocol)
	if _, err := open(t, c, s.host+"/a/b").Manifest(t.Context(), "x"); err != nil {
		t.Errorf("insecure by configuration: %v", err)
	}
}

func TestRefreshTokenIsNotRedirected(t *testing.T) {
	thief := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"token":"x"}`) }))
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			http.Redirect(w, r, thief.URL, http.StatusPermanentRedirect)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
		w.WriteHeader(401)
	}))
	_, err := open(t, newTestClient(t), s.host+"/a/b", pullsecrets.Credential{IdentityToken: "identity"}).Manifest(t.Context(), "x")
	wantCode(t, err, CodeProtocol)
	for _, r := range thief.all() {
		// Only the attempt without a credential may follow.
		if r.Method == http.MethodPost || r.ContentLength > 0 || r.Header.Get("Authorization") != "" || strings.Contains(r.URL.String(), "identity") {
			t.Errorf("the other host got %s %s", r.Method, r.URL)
		}
	}
}

func TestTokenAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		code Code
	}{
		"no JSON":   {"<html>secret-token", CodeProtocol},
		"no token":  {"{}", CodeProtocol},
		"control":   {`{"token":"a\nb"}`, CodeProtocol},
		"long":      {`{"token":"` + strings.Repeat("x", maxTokenBytes+1) + `"}`, CodeTooLarge},
		"too large": {`{"token":"` + strings.Repeat("x", 2<<20) + `"}`, CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					fmt.Fprint(w, tt.body)
					return
				}
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
				w.WriteHeader(401)
			}))
			_, err := open(t, newTestClient(t), s.host+"/a/b").Manifest(t.Context(), "x")
			if e := wantCode(t, err, tt.code); strings.Contains(e.Text, "secret") {
				t.Error(e.Text)
			}
		})
	}
}

func TestTokenLife(t *testing.T) {
	for in, want := range map[float64]time.Duration{
		0: 54 * time.Second, -5: 54 * time.Second, 10: 9 * time.Second, 300: 290 * time.Second, 1e300: time.Hour - 10*time.Second,
	} {
		if got := usableFor(in); got != want {
			t.Errorf("expires_in %v: used for %s, want %s", in, got, want)
		}
	}
}

// The life of a token is a number, also in a string; anything else counts as absent.
func TestExpiresIn(t *testing.T) {
	now := time.Now()
	for in, want := range map[string]time.Duration{
		`300`: 290 * time.Second, `300.5`: 290500 * time.Millisecond, `"300"`: 290 * time.Second, `" 300 "`: 290 * time.Second,
		`""`: 54 * time.Second, `"soon"`: 54 * time.Second, `null`: 54 * time.Second, `{}`: 54 * time.Second, `[300]`: 54 * time.Second,
		`true`: 54 * time.Second, `"NaN"`: 54 * time.Second, `1e400`: 54 * time.Second, `"Inf"`: time.Hour - 10*time.Second,
	} {
		got, err := parseToken([]byte(`{"access_token":"x","expires_in":`+in+`}`), now)
		if err != nil || got.until.Sub(now) != want {
			t.Errorf("%s: used for %s, %v; want %s", in, got.until.Sub(now), err, want)
		}
	}
}

func TestProxyIsUsedAndForbiddenLiteralsAreNot(t *testing.T) {
	proxied := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.Write(manifestOf("proxied"))
		}
	}))
	u, _ := url.Parse(proxied.URL)
	c := newTestClient(t, func(o *Options) {
		o.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme == "http" {
				return u, nil
			}
			return nil, fmt.Errorf("no way for %s", r.URL.Scheme)
		}
	})
	if _, err := open(t, c, "registry.example.test/a/b").Manifest(t.Context(), "x"); err != nil {
		t.Errorf("through the proxy: %v", err)
	}
	proxied.reset()
	_, err := open(t, c, "169.254.169.254/a/b").Manifest(t.Context(), "x")
	wantCode(t, err, CodeForbiddenAddress)
	if len(proxied.all()) != 0 {
		t.Error("the proxy was asked for a forbidden address")
	}
}

// A proxy on this machine is used where registries on this machine are refused. The proxy's own
// address is no registry.
func TestProxyOnLoopback(t *testing.T) {
	proxied := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.Write(manifestOf("proxied"))
		}
	}))
	u, _ := url.Parse(proxied.URL)
	c := newTestClient(t, func(o *Options) {
		o.Addresses.DenyLoopback = new(true)
		o.Proxy = func(r *http.Request) (*url.URL, error) {
			switch {
			case r.URL.Hostname() == "localhost": // as http.ProxyFromEnvironment does
				return nil, nil
			case r.URL.Scheme != "http":
				return nil, fmt.Errorf("no way for %s", r.URL.Scheme)
			}
			return u, nil
		}
	})
	if _, err := open(t, c, "registry.example.test/a/b").Manifest(t.Context(), "x"); err != nil {
		t.Errorf("through the proxy: %v", err)
	}
	proxied.reset()
	_, err := open(t, c, "localhost:"+u.Port()+"/a/b").Manifest(t.Context(), "x")
	wantCode(t, err, CodeForbiddenAddress)
	if len(proxied.all()) != 0 {
		t.Error("the proxy was contacted as a registry")
	}
}
