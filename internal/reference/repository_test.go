package reference

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestStreamNames(t *testing.T) {
	for path, stream := range map[string]string{
		"web":              "web",
		"web-1.2_x":        "web-1.2_x",
		"a/b":              "a.x2f.b",
		"a/b/c":            "a.x2f.b.x2f.c",
		"a__b":             "a.x5f2.b",
		"a--b":             "a.x2d2.b",
		"a---------b":      "a.x2d9.b",
		"a------------b":   "a.x2d12.b",
		"a.b/c-d_e":        "a.b.x2f.c-d_e",
		"a/x2f/b":          "a.x2f.x2e.x2f.x2f.b",
		"x2f/b":            "x2f.x2f.b",
		"a/x2f":            "a.x2f.x2f",
		"a.x2f.b/c":        "a.x2e.x2f.b.x2f.c",
		"a.x2e.b/c":        "a.x2e.x2e.b.x2f.c",
		"a.x2e.x2f.b/c":    "a.x2e.x2e.x2e.x2f.b.x2f.c",
		"a.x2d2__b":        "a.x2e.x2d2.x5f2.b",
		"a.x2d1/b":         "a.x2d1.x2f.b",
		"a.x2d02/b":        "a.x2d02.x2f.b",
		"a.x2d999999999/b": "a.x2d999999999.x2f.b",
		"a.x5f2-c/b":       "a.x5f2-c.x2f.b",
	} {
		if got := StreamName(path); got != stream {
			t.Errorf("the stream of %s is %s, want %s", path, got, stream)
		}
		if got := RepositoryPath(stream); got != path {
			t.Errorf("the path of %s is %s, want %s", stream, got, path)
		}
		if got := StreamName(stream); got != stream {
			t.Errorf("the stream %s, spelled by its own name, is %s", stream, got)
		}
	}
}

// Streams whose names look escaped and are not what escaping makes keep their names.
func TestNamesThatOnlyLookEscaped(t *testing.T) {
	for _, stream := range []string{
		"x2f", "x2f.b", "a.x2f", "a.x2e.b", "a.x2e.x2f.b", "a.x2f.x2f.x2f.b", "a.x2e.x2e.b.c", "a.x2d1.b", "a.x2d300.b",
		"a.x2d1000000000.b", "a.x2f.x2d2.b.c", "x.xyz.b",
	} {
		if got := RepositoryPath(stream); got != stream {
			t.Errorf("the path of %s is %s", stream, got)
		}
	}
}

func TestParseRepository(t *testing.T) {
	long := strings.Repeat("a", 255-len("ns/"))
	for name, want := range map[string]Repository{
		"shop/web":       {"shop", "web", "web"},
		"shop/a/b":       {"shop", "a/b", "a.x2f.b"},
		"shop/a.x2f.b":   {"shop", "a.x2f.b", "a.x2f.b"},
		"shop--1/a--b":   {"shop--1", "a--b", "a.x2d2.b"},
		"ns/" + long:     {"ns", long, long},
		"0/0":            {"0", "0", "0"},
		"kube-system/x1": {"kube-system", "x1", "x1"},
	} {
		got, err := ParseRepository(name)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", name, got, err, want)
		}
		if got.String() != name {
			t.Errorf("%s prints as %s", name, got)
		}
	}
}

func TestParseRepositoryRefuses(t *testing.T) {
	for _, name := range []string{
		"", "/", "web", "shop/", "/web", "shop//web", "Shop/web", "shop/Web", "shop/../web", "shop/./web", "shop/web:1",
		"shop/web@sha256:ab", "shop/-web", "shop/web-", "shop/a___b", "shop/a..b", "shop/a.-b", "shop/%2e", "shop/we b",
		"shop/web\x00", "shop\\web", "shop/é", "ns/" + strings.Repeat("a", 253),
	} {
		var syntax *SyntaxError
		if r, err := ParseRepository(name); !errors.As(err, &syntax) || r != (Repository{}) {
			t.Errorf("%q: %+v, %v, want a SyntaxError alone", name, r, err)
		}
	}
	for _, name := range []string{
		"my.org/web", "my_org/web", "my__org/web", strings.Repeat("n", 64) + "/web", "ns/" + strings.Repeat("a/", 50) + "a",
	} {
		var none *NoRepositoryError
		if r, err := ParseRepository(name); !errors.As(err, &none) || r.String() != name {
			t.Errorf("%q: %+v, %v, want a NoRepositoryError and the repository", name, r, err)
		}
	}
}

func TestStreamRepository(t *testing.T) {
	if got := streamRepository("ns", "a.x2f.b"); got != (Repository{"ns", "a/b", "a.x2f.b"}) {
		t.Errorf("got %+v", got)
	}
	// Such a stream can be made by hand only; it is reached by its own name.
	wide := "a.x2d250.b"
	if got := streamRepository(strings.Repeat("n", 60), wide); got.Path != wide {
		t.Errorf("the path is %s", got.Path)
	}
	if got := streamRepository("ns", wide); got.Path != "a"+strings.Repeat("-", 250)+"b" {
		t.Errorf("the path is %s", got.Path)
	}
}

// nameGrammar is the specification's own expression; parsing here is by hand.
var (
	nameGrammar   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	streamGrammar = regexp.MustCompile(`^[0-9a-z]+([-._][0-9a-z]+)*$`)
)

func FuzzParseRepository(f *testing.F) {
	for _, seed := range []string{
		"shop/web", "shop/a/b/c", "shop/a.x2f.b/c", "shop/a__b", "a--b/c---d", "shop/a/x2e/b", "my.org/web", "web", "shop/../etc", "n/x2d2.x2d2.x2d2__a",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		r, err := ParseRepository(name)
		var syntax *SyntaxError
		wellFormed := nameGrammar.MatchString(name) && !strings.HasSuffix(name, "\n") && len(name) <= 255 && strings.Contains(name, "/")
		if wellFormed == errors.As(err, &syntax) {
			t.Fatalf("%q: %v, the grammar says %t", name, err, wellFormed)
		}
		if !wellFormed {
			return
		}
		if r.String() != name {
			t.Fatalf("%q is read as %q", name, r)
		}
		if !streamGrammar.MatchString(r.Stream) {
			t.Fatalf("%q has the stream %q, which cannot be", name, r.Stream)
		}
		if back := RepositoryPath(r.Stream); back != r.Path && r.Path != r.Stream {
			t.Fatalf("%q becomes %q becomes %q", r.Path, r.Stream, back)
		}
	})
}

func FuzzRepositoryPath(f *testing.F) {
	for _, seed := range []string{"web", "a.x2f.b", "a.x2e.x2f.b.x2f.c", "x2f.x2f.x2f", "a.x2d12.b", "a.x2e.x2e.x2e.b", "a.x5f2.x2e.x5f2.x5f2.b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		path := RepositoryPath(stream)
		if valid := streamGrammar.MatchString(stream) && !strings.HasSuffix(stream, "\n"); !valid {
			return
		}
		if again := StreamName(path); again != stream {
			t.Fatalf("%q becomes %q becomes %q", stream, path, again)
		}
		for component := range strings.SplitSeq(path, "/") {
			if !validComponent(component) {
				t.Fatalf("%q becomes %q, which is no path", stream, path)
			}
		}
	})
}
