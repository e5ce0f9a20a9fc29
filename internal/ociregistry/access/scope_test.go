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
		{[]string{"repository:shop/web:push,pull,push,what"}, []string{"repository shop/web web: pull push sign"}},
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
		{[]string{"repository:my.org/web:pull"}, []string{"repository my.org/web : pull"}},
		{[]string{"registry:catalog:*"}, []string{"registry catalog : "}},
		{[]string{"other:host:5000/a:b"}, []string{"other host:5000/a : "}},
		{[]string{"repository:a/b:pull repository:c/d:pull", "repository:e/f:pull"}, []string{"repository a/b b: pull", "repository c/d d: pull", "repository e/f f: pull"}},
	} {
		scopes, err := parseScopes(test.parameters)
		if err != nil {
			t.Errorf("%v: %v", test.parameters, err)
		}
		var got []string
		for _, s := range scopes {
			got = append(got, fmt.Sprintf("%s %s %s: %s", s.kind, s.name, s.repository.Stream, strings.Join(slices.Sorted(maps.Keys(s.wants())), " ")))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.parameters, diff)
		}
	}
}

func TestParseScopesRefuses(t *testing.T) {
	many := strings.Repeat("repository:a/b:pull ", maxScopes+1)
	long := "x:" + strings.Repeat("a", maxScopeBytes) + ":pull"
	for _, parameter := range []string{
		"repository", "repository:shop/web", ":shop/web:pull", "repository:web:pull", "repository::pull", "repository:Shop/web:pull",
		"repository:shop/../x:pull", "signature:web:get", "repository:shop/web:5000:pull", many, long, "registry:catalog:* x",
	} {
		if scopes, err := parseScopes([]string{parameter}); err == nil {
			t.Errorf("%.60s is read as %+v", parameter, scopes)
		}
	}
	if scopes, err := parseScopes([]string{"registry:catalog:*", "registry:catalog:pull", "registry:other:*"}); err != nil || !scopes[0].catalog() || scopes[1].catalog() || scopes[2].catalog() {
		t.Errorf("the catalog's scope is not told from others: %+v, %v", scopes, err)
	}
}

func FuzzParseScopes(f *testing.F) {
	for _, seed := range []string{"repository:shop/web:pull,push", "signature:a/b:get", "registry:catalog:*", "a:b:c:d:e", ":::", "repository(x):a/b:*", "repository:a/b:pull repository:c/d:push"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, parameter string) {
		scopes, err := parseScopes([]string{parameter})
		if err != nil {
			return
		}
		if len(scopes) > maxScopes {
			t.Fatalf("%d scopes", len(scopes))
		}
		for _, s := range scopes {
			if s.repository.Stream == "" {
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
