package upstream

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"weir.dev/weir/internal/pullsecrets"
)

// grants is a token realm's answer to a list of scopes: a token, or a status.
type grants func(scopes []string) (string, int)

// scopedRegistry demands the token "good", with challenges that name scopes ("" for none) to
// /v2/ and to a repository. open leaves /v2/ to everyone.
func scopedRegistry(t *testing.T, ping, repository string, open bool, grant grants) *upstreamServer {
	h, _ := realRegistry(t)
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scope := repository
		switch {
		case r.URL.Path == "/token":
			token, status := grant(r.URL.Query()["scope"])
			if token == "" {
				w.WriteHeader(status)
				fmt.Fprint(w, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`)
				return
			}
			fmt.Fprintf(w, `{"token":%q}`, token)
			return
		case r.URL.Path == "/v2/" && open:
			return
		case r.URL.Path == "/v2/":
			scope = ping
		case r.Header.Get("Authorization") == "Bearer good":
			h.ServeHTTP(w, r)
			return
		}
		challenge := `Bearer realm="http://` + r.Host + `/token",service="reg"`
		if scope != "" {
			challenge += `,scope="` + scope + `"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
	}))
}

// The scope in the challenge to /v2/ is about no repository, and never requested. That in the
// challenge to a request for the repository is, and alone: realms differ in what they do with
// several.
func TestScopes(t *testing.T) {
	const own, placeholder, mapped = "repository:team/app:pull", "repository:user/image:pull", "repository:mapped/app:pull"
	only := func(scope string, otherwise int) grants {
		return func(scopes []string) (string, int) {
			if slices.Equal(scopes, []string{scope}) {
				return "good", 0
			}
			return "", otherwise
		}
	}
	whole := func(scope string) grants {
		return func(scopes []string) (string, int) {
			if slices.Contains(scopes, scope) {
				return "good", 0
			}
			return "for-something-else", 0
		}
	}
	last := func(scope string) grants {
		return func(scopes []string) (string, int) {
			if len(scopes) > 0 && scopes[len(scopes)-1] == scope {
				return "good", 0
			}
			return "for-something-else", 0
		}
	}
	for name, c := range map[string]struct {
		ping, repository string
		open             bool
		grant            grants
	}{
		"a placeholder that is denied":          {placeholder, own, false, only(own, 403)},
		"a placeholder, one scope a token":      {placeholder, own, false, only(own, 400)},
		"a placeholder, the last scope counts":  {placeholder, own, false, last(own)},
		"a placeholder and no challenge later":  {placeholder, "", false, only(own, 403)},
		"mapped":                                {"", mapped, false, whole(mapped)},
		"mapped, all others are denied":         {"", mapped, false, only(mapped, 403)},
		"mapped, an open ping":                  {"", mapped, true, only(mapped, 403)},
		"a placeholder in every challenge":      {placeholder, placeholder, false, only(own, 403)},
		"the same, an open ping":                {"", placeholder, true, only(own, 403)},
		"the same, a token for the placeholder": {"", placeholder, true, whole(own)},
		"more actions than are granted":         {"", "repository:team/app:pull,push", true, only(own, 401)},
		"two scopes": {"", own + " " + mapped, true, func(scopes []string) (string, int) {
			if slices.Equal(scopes, []string{own, mapped}) {
				return "good", 0
			}
			return "", 403
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var requested []string
			s := scopedRegistry(t, c.ping, c.repository, c.open, func(scopes []string) (string, int) {
				requested = append(requested, strings.Join(scopes, " "))
				return c.grant(scopes)
			})
			r := open(t, newTestClient(t), s.host+"/team/app")
			if _, err := r.Manifest(t.Context(), "latest"); err != nil {
				t.Errorf("%v; requested %q", err, requested)
			}
			if c.repository != placeholder && slices.ContainsFunc(requested, func(r string) bool { return strings.Contains(r, placeholder) }) {
				t.Errorf("requested %q", requested)
			}
			// What worked is remembered.
			s.reset()
			if _, err := r.Head(t.Context(), "latest"); err != nil || len(s.all()) != 1 {
				t.Errorf("%v; again cost %v", err, s.lines())
			}
		})
	}
}

// A registry that never accepts a token is not asked for ever.
func TestLoginsAreBounded(t *testing.T) {
	var n atomic.Int32
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			fmt.Fprintf(w, `{"token":"token-%d"}`, n.Add(1))
			return
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",scope="repository:another/one-%d:pull"`, r.Host, n.Add(1)))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	_, err := open(t, newTestClient(t), s.host+"/team/app").Manifest(t.Context(), "latest")
	wantCode(t, err, CodeUnauthorized)
	if got := len(s.all()); got > 2+2*maxLogins+1 {
		t.Errorf("%d requests: %v", got, s.lines())
	}
}

// A remembered token that is refused in any way is forgotten and replaced once.
func TestRefusedTokenIsReplaced(t *testing.T) {
	for name, refuse := range map[string]func(w http.ResponseWriter, realm string){
		"401 without a challenge": func(w http.ResponseWriter, _ string) { w.WriteHeader(401) },
		"401 with one that names no realm": func(w http.ResponseWriter, _ string) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(401)
		},
		"401 with one of an unknown scheme": func(w http.ResponseWriter, _ string) {
			w.Header().Set("WWW-Authenticate", `Negotiate`)
			w.WriteHeader(401)
		},
		"401 with one without a scope": func(w http.ResponseWriter, realm string) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",error="invalid_token"`)
			w.WriteHeader(401)
		},
		"400": func(w http.ResponseWriter, _ string) { w.WriteHeader(400) },
		"403": func(w http.ResponseWriter, _ string) { w.WriteHeader(403) },
	} {
		for _, repository := range []bool{false, true} { // whether the challenge is to the ping or to the repository
			t.Run(fmt.Sprint(name, ", learned from the repository: ", repository), func(t *testing.T) {
				h, _ := realRegistry(t)
				var epoch, refusing, tokens atomic.Int32
				s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					realm := "http://" + r.Host + "/token"
					shown := r.Header.Get("Authorization")
					switch {
					case r.URL.Path == "/token":
						fmt.Fprintf(w, `{"token":"token-%d-%d","expires_in":3600}`, epoch.Load(), tokens.Add(1))
					case r.URL.Path == "/v2/" && repository:
					case shown == "":
						w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="reg"`)
						w.WriteHeader(401)
					case !strings.HasPrefix(shown, fmt.Sprintf("Bearer token-%d-", epoch.Load())) || refusing.Load() == 1:
						refuse(w, realm)
					default:
						h.ServeHTTP(w, r)
					}
				}))
				r := open(t, newTestClient(t), s.host+"/team/app")
				get := func() error {
					_, head := r.Head(t.Context(), "latest")
					_, err := r.Manifest(t.Context(), "latest")
					if (head == nil) != (err == nil) {
						t.Errorf("HEAD ends with %v, GET with %v", head, err)
					}
					return err
				}
				if err := get(); err != nil {
					t.Fatal(err)
				}
				epoch.Add(1)
				for range 2 {
					if err := get(); err != nil {
						t.Error(err)
					}
				}
				if tokens.Load() != 2 {
					t.Errorf("%d tokens", tokens.Load())
				}
				// A refusal that is not about the token stands after one more.
				refusing.Store(1)
				s.reset()
				if _, err := r.Manifest(t.Context(), "latest"); err == nil || len(s.all()) != 3 {
					t.Errorf("%v after %v", err, s.lines())
				}
			})
		}
	}
}

// What was remembered of a registry is looked up again when it is what fails.
func TestMovedRealmIsFound(t *testing.T) {
	for name, gone := range map[string]int{"answers 404": 404, "answers 401": 401, "answers 500": 500, "answers with a page": 200} {
		for _, repository := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", learned from the repository: ", repository), func(t *testing.T) {
				h, _ := realRegistry(t)
				var moved atomic.Bool
				s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					realm, token := "/old", "Bearer old"
					if moved.Load() {
						realm, token = "/new", "Bearer new"
					}
					switch {
					case r.URL.Path == realm:
						fmt.Fprintf(w, `{"token":%q}`, strings.TrimPrefix(token, "Bearer "))
					case r.URL.Path == "/old" || r.URL.Path == "/new":
						w.WriteHeader(gone)
					case r.Header.Get("Authorization") == token:
						h.ServeHTTP(w, r)
					case r.Header.Get("Authorization") != "":
						w.WriteHeader(401) // and no word of a realm
					case r.URL.Path == "/v2/" && repository:
					default:
						w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+realm+`"`)
						w.WriteHeader(401)
					}
				}))
				c := newTestClient(t)
				r := open(t, c, s.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "p"})
				if _, err := r.Manifest(t.Context(), "latest"); err != nil {
					t.Fatal(err)
				}
				moved.Store(true)
				for session := range c.sessions.Values() {
					session.take(token{}) // it ran out
				}
				if _, err := r.Manifest(t.Context(), "latest"); err != nil {
					t.Errorf("%v after %v", err, s.lines())
				}
			})
		}
	}
}

// A registry that begins to want logins is understood although its 401 says nothing.
func TestRegistryBeginsToWantLogins(t *testing.T) {
	h, _ := realRegistry(t)
	var private atomic.Bool
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); private.Load() && !ok {
			if r.URL.Path == "/v2/" {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			}
			w.WriteHeader(401)
			return
		}
		h.ServeHTTP(w, r)
	}))
	r := open(t, newTestClient(t), s.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "p"})
	for _, now := range []bool{false, true} {
		private.Store(now)
		if _, err := r.Manifest(t.Context(), "latest"); err != nil {
			t.Errorf("private %v: %v", now, err)
		}
	}
}
