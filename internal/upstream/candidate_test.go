package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/pullsecrets"
)

// secretOf is the password or bearer token of a request.
func secretOf(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// asToken serves a registry whose token realm gives each password itself as a token, but
// for one that it answers with a status.
func asToken(refused string, status int, content http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token" && secretOf(r) == refused:
			w.WriteHeader(status) // a 200 holds no token
		case r.URL.Path == "/token" && secretOf(r) == "":
			fmt.Fprint(w, `{"token":"anonymous"}`)
		case r.URL.Path == "/token":
			fmt.Fprintf(w, `{"token":%q}`, secretOf(r))
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			content(w, r)
		}
	})
}

// Any refusal moves on to the next credential and at last to none, and what worked is tried
// first the next time. Other failures end the attempts at a source.
func TestRefusalsMoveOn(t *testing.T) {
	answer := func(statuses map[string]int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if status := statuses[secretOf(r)]; status != 0 {
				w.WriteHeader(status)
				return
			}
			w.Write(manifestOf("x"))
		}
	}
	for name, c := range map[string]struct {
		statuses map[string]int // of the registry, by password
		refused  int            // of the token realm to the first
		asked    string         // credentials that the registry saw
		again    string         // and the next time
		code     Code
	}{
		"the first works":           {nil, 0, "one", "one", ""},
		"401":                       {map[string]int{"one": 401}, 0, "one two", "two", ""},
		"403":                       {map[string]int{"one": 403}, 0, "one two", "two", ""},
		"404":                       {map[string]int{"one": 404}, 0, "one two", "two", ""},
		"realm 400":                 {nil, 400, "two", "two", ""},
		"realm 401":                 {nil, 401, "two", "two", ""},
		"realm 403":                 {nil, 403, "two", "two", ""},
		"realm 404":                 {nil, 404, "two", "two", ""},
		"realm 422":                 {nil, 422, "two", "two", ""},
		"realm without a token":     {nil, 200, "two", "two", ""},
		"realm 500":                 {nil, 500, "", "", CodeUnavailable},
		"400":                       {map[string]int{"one": 400}, 0, "one two", "two", ""},
		"451":                       {map[string]int{"one": 451}, 0, "one two", "two", ""},
		"none works but no secret":  {map[string]int{"one": 403, "two": 404}, 0, "one two anonymous", "anonymous", ""},
		"all refused":               {map[string]int{"one": 403, "two": 403, "anonymous": 403}, 0, "one two anonymous", "one two anonymous", CodeDenied},
		"unknown to one of them":    {map[string]int{"one": 403, "two": 404, "anonymous": 403}, 0, "one two anonymous", "one two anonymous", CodeManifestUnknown},
		"unknown to the first":      {map[string]int{"one": 404, "two": 403, "anonymous": 403}, 0, "one two anonymous", "one two anonymous", CodeManifestUnknown},
		"another failure ends it":   {map[string]int{"one": 204}, 0, "one", "one", CodeProtocol},
		"another failure after 403": {map[string]int{"one": 403, "two": 204}, 0, "one two", "one two", CodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			refused := "another"
			if c.refused != 0 {
				refused = "one"
			}
			s := serve(t, asToken(refused, c.refused, answer(c.statuses)))
			r := open(t, newTestClient(t), s.host+"/a/b", pullsecrets.Credential{Username: "u", Password: "one"}, pullsecrets.Credential{Username: "u", Password: "two"})
			for _, want := range []string{c.asked, c.again} {
				s.reset()
				_, err := r.Manifest(t.Context(), "latest")
				if c.code == "" && err != nil {
					t.Errorf("%v", err)
				} else if c.code != "" {
					wantCode(t, err, c.code)
				}
				var asked []string
				for _, req := range s.all() {
					if secret := secretOf(req); strings.Contains(req.URL.Path, "/manifests/") && secret != "" {
						asked = append(asked, secret)
					}
				}
				if got := strings.Join(slices.Compact(asked), " "); got != want {
					t.Errorf("the registry was asked with %q, want %q", got, want)
				}
			}
		})
	}
}

// Candidates of a digest: mirrors first, then the source, then mirrors for tags only, each
// with its credentials and without.
func TestCandidates(t *testing.T) {
	rules := rulesOf(t, `
[[registry]]
location = "source.test/team"
[[registry.mirror]]
location = "tags.test/m"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "digests.test/m"
pull-from-mirror = "digest-only"
[[registry]]
location = "blocked.test"
blocked = true
`)
	c := newTestClient(t)
	c.SetRules(rules)
	d := digest.FromString("x")
	list := func() (got []string) {
		r := open(t, c, "source.test/team/app", pullsecrets.Credential{Username: "u", Password: "p"}, pullsecrets.Credential{Username: "n", Password: "p", Node: true}, pullsecrets.Credential{Username: "u", Password: "p"})
		candidates, err := r.Candidates(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range candidates {
			got = append(got, fmt.Sprintf("%s %q secret=%v", c.Repository(), c.cred.Username, c.Secret()))
		}
		return got
	}
	var want []string
	for _, at := range []string{"digests.test/m/app", "source.test/team/app", "tags.test/m/app"} {
		want = append(want, at+` "u" secret=true`, at+` "n" secret=false`, at+` "" secret=false`)
	}
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	r := open(t, c, "source.test/team/app")
	for _, bad := range []digest.Digest{"", "latest", "sha256:abc", "../../x"} {
		_, err := r.Candidates(bad)
		wantCode(t, err, CodeName)
	}
	// Without candidates nothing is asked.
	_, _, err := First(t.Context(), nil, func(context.Context, *Candidate) (int, error) { return 0, nil })
	if failed := (*FailedError)(nil); !errors.As(err, &failed) || len(failed.Sources) != 0 || failed.Error() == "" {
		t.Errorf("%v", err)
	}
}
