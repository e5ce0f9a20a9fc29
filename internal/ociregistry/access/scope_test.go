package access

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir.dev/weir/internal/ociregistry"
)

func TestParseScopes(t *testing.T) {
	for _, test := range []struct {
		parameters []string
		want       []string // "kind name stream: words"
	}{
		{nil, nil},
		{[]string{"", "  "}, nil},
		{[]string{"repository:shop/web:pull"}, []string{"repository shop/web web: pull"}},
		{[]string{"repository:shop/web:pull,push"}, []string{"repository shop/web web: pull push sign"}},
		{[]string{"repository:shop/web:push,pull,push,what,,PULL"}, []string{"repository shop/web web: pull push sign"}},
		{[]string{"repository:shop/web:*"}, []string{"repository shop/web web: delete pull push sign"}},
		{[]string{"repository:shop/web:delete"}, []string{"repository shop/web web: delete"}},
		{[]string{"repository:shop/web:"}, []string{"repository shop/web web: "}},
		{[]string{"repository:shop/a/b:pull"}, []string{"repository shop/a/b a.x2f.b: pull"}},
		{[]string{"repository(plugin):shop/web:pull"}, []string{"repository shop/web web: pull"}},
		{[]string{"signature:shop/web:get"}, []string{"signature shop/web web: pull"}},
		{[]string{"signature:shop/web:put"}, []string{"signature shop/web web: sign"}},
		{[]string{"signature:shop/web:*"}, []string{"signature shop/web web: pull sign"}},
		{[]string{"signature:shop/web:push,delete"}, []string{"signature shop/web web: "}},
		{[]string{"repository:shop/web:get,put"}, []string{"repository shop/web web: "}},
		{[]string{"registry:catalog:*"}, []string{"registry catalog : "}},
		{[]string{"repository:a/b:pull repository:c/d:pull", "repository:e/f:pull"}, []string{"repository a/b b: pull", "repository c/d d: pull", "repository e/f f: pull"}},
		{[]string{"repository:a/b:pull repository:a/b:pull", "repository:a/b:pull"}, []string{"repository a/b b: pull"}},
	} {
		if diff := cmp.Diff(test.want, described(parseScopes(test.parameters))); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.parameters, diff)
		}
	}
}

func described(scopes []scope) (all []string) {
	for _, s := range scopes {
		all = append(all, fmt.Sprintf("%s %s %s: %s", s.kind, s.name, s.repository.Stream, strings.Join(slices.Sorted(maps.Keys(s.wants())), " ")))
	}
	return all
}

// ungrantable are scopes that nothing can be granted for.
var ungrantable = []string{
	"repository", "repository:shop/web", ":shop/web:pull", "::", "repository:web:pull", "repository::pull", "repository:Shop/web:pull",
	"repository:shop/../x:pull", "signature:web:get", "repository:registry.example.com:5000/web:pull", "repository:my.org/web:pull",
	"Repository:shop/web:pull", "other:host:5000/a:b", "registry:catalog:pull", "registry:other:*", "aws:x:*", "x",
	"repository:a/" + strings.Repeat("b", 300) + ":pull", "x:" + strings.Repeat("a", 2*maxScopeBytes) + ":pull",
}

// Scopes that nothing can be granted for cost the others nothing, before or behind them, in
// one parameter or several, few or many.
func TestUngrantableScopesAreLeftOut(t *testing.T) {
	const good = "repository:shop/web:pull"
	want := []string{"repository shop/web web: pull"}
	var all []string
	for n := range 2 * maxScopes {
		all = append(all, fmt.Sprintf("repository:web%d:pull", n))
	}
	for name, bad := range map[string][]string{"each": ungrantable, "many": all} {
		for _, parameters := range [][]string{
			append([]string{good}, bad...), append(slices.Clone(bad), good),
			{strings.Join(bad, " ") + " " + good}, {good, strings.Join(bad, " ")},
		} {
			if diff := cmp.Diff(want, described(parseScopes(parameters))); diff != "" {
				t.Errorf("%s: %.200q (-want +got):\n%s", name, parameters, diff)
			}
		}
	}
	for _, text := range ungrantable {
		if scopes := parseScopes([]string{text}); scopes != nil {
			t.Errorf("%.60s is read as %+v", text, scopes)
		}
	}
}

// Of too many scopes the first ones are granted.
func TestScopesAreBounded(t *testing.T) {
	var many []string
	for n := range 3 * maxScopes {
		many = append(many, fmt.Sprintf("repository:a/b%d:pull", n))
	}
	if got := parseScopes(many); len(got) != maxScopes || got[0].name != "a/b0" {
		t.Errorf("of %d scopes %d are read", len(many), len(got))
	}
	var long []string
	for n := range maxScopes {
		long = append(long, fmt.Sprintf("repository:a/%s%d:pull", strings.Repeat("b", 190), n))
	}
	got, bytes := parseScopes(append(long, "repository:a/short:pull")), 0
	for _, s := range got {
		bytes += len(s.name)
	}
	if bytes > maxScopeBytes || len(got) < 2 || got[len(got)-1].name != "a/short" {
		t.Errorf("%d scopes of %d bytes are read", len(got), bytes)
	}
}

func FuzzParseScopes(f *testing.F) {
	for _, seed := range []string{"repository:shop/web:pull,push", "signature:a/b:get", "registry:catalog:*", "a:b:c:d:e", ":::", "repository(x):a/b:*", "repository:a/b:pull repository:c/d:push"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, parameter string) {
		scopes := parseScopes([]string{parameter})
		if len(scopes) > maxScopes {
			t.Fatalf("%d scopes", len(scopes))
		}
		for _, s := range scopes {
			if s.catalog() {
				continue
			}
			if s.repository.String() != s.name || s.kind != typeRepository && s.kind != typeSignature {
				t.Fatalf("%q: %+v", parameter, s)
			}
			for word, action := range s.wants() {
				grants := []ociregistry.Grant{{Type: typeRepository, Name: s.name, Actions: []string{word}}}
				if !granted(grants, s.repository, action) || granted(grantsOf(nil), s.repository, action) {
					t.Fatalf("%q: %s is not what grants %s", parameter, word, action)
				}
			}
		}
	})
}
