package reference

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	sha256ID = "sha256:" + strings.Repeat("0123456789abcdef", 4)
	sha512ID = "sha512:" + strings.Repeat("0123456789abcdef", 8)
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		in   string
		want PullSpec
	}{
		{"app", PullSpec{Name: "app"}},
		{"app:1", PullSpec{Name: "app", Tag: "1"}},
		{"app:_A.b-c", PullSpec{Name: "app", Tag: "_A.b-c"}},
		{"org/app", PullSpec{Namespace: "org", Name: "app"}},
		{"org/a/b:1", PullSpec{Namespace: "org", Name: "a/b", Tag: "1"}},
		{"org/b.c", PullSpec{Namespace: "org", Name: "b.c"}},
		{"quay.io/app", PullSpec{Registry: "quay.io", Name: "app"}},
		{"quay.io/org/app", PullSpec{Registry: "quay.io", Namespace: "org", Name: "app"}},
		{"quay.io/org/a/b/c:v1", PullSpec{Registry: "quay.io", Namespace: "org", Name: "a/b/c", Tag: "v1"}},
		{"host:5000/app:1", PullSpec{Registry: "host:5000", Name: "app", Tag: "1"}},
		{"localhost/app", PullSpec{Registry: "localhost", Name: "app"}},
		{"QUAY.IO/org/app", PullSpec{Registry: "QUAY.IO", Namespace: "org", Name: "app"}},
		{"my_host.local/org/app", PullSpec{Registry: "my_host.local", Namespace: "org", Name: "app"}},
		{"localhostess/app", PullSpec{Namespace: "localhostess", Name: "app"}},
		{"org/localhost", PullSpec{Namespace: "org", Name: "localhost"}},
		{"quay.io", PullSpec{Registry: "quay.io"}},
		{"quay.io:5000", PullSpec{Registry: "quay.io", Tag: "5000"}},
		{"localhost", PullSpec{Registry: "localhost"}},
		{"localhostess", PullSpec{Registry: "localhostess"}},
		{"app@" + sha256ID, PullSpec{Name: "app", ID: sha256ID}},
		{"q.io/org/app:1@" + sha512ID, PullSpec{Registry: "q.io", Namespace: "org", Name: "app", Tag: "1", ID: sha512ID}},
		{"a-b_c__d.e---f/x", PullSpec{Namespace: "", Registry: "a-b_c__d.e---f", Name: "x"}},
		{"o/a-b_c__d.e---f", PullSpec{Namespace: "o", Name: "a-b_c__d.e---f"}},
		{strings.Repeat("a", 255), PullSpec{Name: strings.Repeat("a", 255)}},
		{"app:" + strings.Repeat("t", 128), PullSpec{Name: "app", Tag: strings.Repeat("t", 128)}},
	} {
		t.Run(test.in, func(t *testing.T) {
			got, err := Parse(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Parse (-want +got):\n%s", diff)
			}
			if got.String() != test.in {
				t.Errorf("String() = %q, want it as it was written", got.String())
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":                  "",
		"only a tag":               ":1",
		"only a digest":            "@" + sha256ID,
		"upper case path":          "org/App",
		"upper case namespace":     "Org/app",
		"upper case registry only": "Quay.io",
		"empty tag":                "app:",
		"tag starts with a dash":   "app:-1",
		"tag too long":             "app:" + strings.Repeat("t", 129),
		"empty digest":             "app@",
		"short digest":             "app@sha256:" + strings.Repeat("a", 32),
		"long digest":              "app@" + sha256ID + "0",
		"upper case digest":        "app@sha256:" + strings.Repeat("A", 64),
		"unknown algorithm":        "app@md5:" + strings.Repeat("a", 32),
		"no algorithm":             "app@" + strings.Repeat("a", 64),
		"two digests":              "app@" + sha256ID + "@" + sha256ID,
		"leading slash":            "/app",
		"trailing slash":           "org/",
		"double slash":             "org//app",
		"three underscores":        "a___b",
		"two dots":                 "a/b..c",
		"mixed separators":         "a/b.-c",
		"starts with a dash":       "-app",
		"ends with a dash":         "app-",
		"registry: two dots":       "q..io/app",
		"registry: dash at end":    "q-.io/app",
		"registry: empty port":     "q.io:/app",
		"registry: word as port":   "q.io:http/app",
		"registry: underscore":     "my_host:5000/app",
		"IPv6":                     "[::1]:5000/app",
		"too long":                 strings.Repeat("a", 256),
		"too long with a registry": "q.io/" + strings.Repeat("a", 251),
		"white space":              "app ",
		"search of old":            "*",
		"scheme":                   "https://q.io/app",
		"beyond ASCII":             "org/äpp",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(in)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("Parse(%q) = %+v, %v; want a *SyntaxError", in, got, err)
			}
			if got != (PullSpec{}) || syntax.Text != in || syntax.Reason == "" {
				t.Errorf("Parse(%q) = %+v, %+v", in, got, syntax)
			}
		})
	}
}

func TestWithDefaults(t *testing.T) {
	for in, want := range map[string]string{
		"app":                      "docker.io/library/app:latest",
		"org/app:1":                "docker.io/org/app:1",
		"docker.io/app":            "docker.io/library/app:latest",
		"index.docker.io/app":      "index.docker.io/library/app:latest",
		"registry-1.docker.io/app": "registry-1.docker.io/library/app:latest",
		"quay.io/app":              "quay.io/app:latest",
		"app@" + sha256ID:          "docker.io/library/app@" + sha256ID,
		"app:1@" + sha256ID:        "docker.io/library/app:1@" + sha256ID,
	} {
		if got := mustParse(t, in).WithDefaults().String(); got != want {
			t.Errorf("%s with defaults is %s, want %s", in, got, want)
		}
	}
	if got := mustParse(t, "docker.io").WithDefaults(); got.Namespace != "" {
		t.Errorf("a registry alone has got the namespace %q", got.Namespace)
	}
}

func TestParts(t *testing.T) {
	spec := mustParse(t, "q.io/org/a/b:1@"+sha256ID)
	for name, pair := range map[string][2]string{
		"MostSpecific":        {spec.MostSpecific().String(), "q.io/org/a/b@" + sha256ID},
		"MostSpecific of tag": {mustParse(t, "org/a:1").MostSpecific().String(), "org/a:1"},
		"AsRepository":        {spec.AsRepository().String(), "q.io/org/a/b"},
		"WithTag":             {spec.WithTag("2").String(), "q.io/org/a/b:2"},
		"WithID":              {spec.WithID(sha512ID).String(), "q.io/org/a/b@" + sha512ID},
		"RepositoryName":      {spec.RepositoryName(), "org/a/b"},
		"RepositoryName flat": {mustParse(t, "q.io/a").RepositoryName(), "a"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %s, want %s", name, pair[0], pair[1])
		}
	}
}

func TestContactHost(t *testing.T) {
	for in, want := range map[string]string{
		"app":                          "registry-1.docker.io",
		"docker.io/org/app":            "registry-1.docker.io",
		"index.docker.io/org/app":      "registry-1.docker.io",
		"registry-1.docker.io/org/app": "registry-1.docker.io",
		"quay.io/org/app":              "quay.io",
		"host:5000/app":                "host:5000",
	} {
		if got := mustParse(t, in).ContactHost(); got != want {
			t.Errorf("%s is served by %s, want %s", in, got, want)
		}
	}
}

func TestIdentity(t *testing.T) {
	for in, want := range map[string]string{
		"app":                             "app",
		"app:latest":                      "app",
		"docker.io/library/app:latest":    "app",
		"index.docker.io/library/app":     "app",
		"registry-1.docker.io/app:latest": "app",
		"docker.io/org/app:1":             "org/app:1",
		"library/app":                     "app",
		"quay.io/library/app:latest":      "quay.io/library/app",
		"quay.io/org/app:1":               "quay.io/org/app:1",
		"app@" + sha256ID:                 "app@" + sha256ID,
		"docker.io/app@" + sha256ID:       "app@" + sha256ID,
		// Shortened they would name a registry.
		"docker.io/library/a.b":     "docker.io/library/a.b",
		"docker.io/library/localho": "localho",
		"docker.io/localhost/app":   "docker.io/localhost/app",
		// library/a/b is not an official image: a/b is something else.
		"docker.io/library/a/b": "library/a/b",
	} {
		if got := mustParse(t, in).Identity(); got != want {
			t.Errorf("the identity of %s is %s, want %s", in, got, want)
		}
	}
}

func TestValidDigest(t *testing.T) {
	for _, id := range []string{sha256ID, sha512ID, "sha384:" + strings.Repeat("a", 96)} {
		if !ValidDigest(id) {
			t.Errorf("%s is refused", id)
		}
	}
	for _, id := range []string{"", ":", "sha256", "sha256:", "sha256:" + strings.Repeat("g", 64), "sha384:" + strings.Repeat("a", 64)} {
		if ValidDigest(id) {
			t.Errorf("%s is accepted", id)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "app", "app:1", "org/app", "quay.io/org/app:v1", "localhost:5000/a/b/c", "localhost", "foo.bar:5000",
		"app@" + sha256ID, "q.io/a:1@" + sha512ID, "*", "a//b", "A.B/c", "docker.io/library/x.y",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		spec, err := Parse(s)
		if err != nil {
			return
		}
		if spec.String() != s {
			t.Fatalf("Parse(%q).String() = %q", s, spec.String())
		}
		again, err := Parse(spec.String())
		if err != nil || again != spec {
			t.Fatalf("Parse(%q) = %+v, then %+v, %v", s, spec, again, err)
		}
		if spec.Name == "" {
			return
		}
		full := spec.WithDefaults()
		if again, err := Parse(full.String()); len(full.AsRepository().String()) <= maxNameLength && (err != nil || again != full) {
			t.Fatalf("with defaults %+v, parsed %+v, %v", full, again, err)
		}
		if full.WithDefaults() != full {
			t.Fatalf("defaults are added twice to %q", s)
		}
		// An identity stands for what it came from.
		identity, err := Parse(spec.Identity())
		if err == nil && identity.Identity() != spec.Identity() {
			t.Fatalf("%q has the identity %q, which has %q", s, spec.Identity(), identity.Identity())
		}
	})
}

func mustParse(t *testing.T, s string) PullSpec {
	t.Helper()
	spec, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}
