package registryrules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const someID = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// conf reads a registries.conf out of a text.
func conf(t testing.TB, text string) *Conf {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// describe prints a plan on one line: sources in order, "+" for insecure.
func describe(p Plan) string {
	var words []string
	for _, s := range p.Sources() {
		w := s.Host + "/" + s.Path
		if strings.Contains(s.Reference, ":") {
			w += "@" + s.Reference[:10]
		} else if s.Reference != "" {
			w += ":" + s.Reference
		}
		if s.Insecure {
			w += "+"
		}
		words = append(words, w)
	}
	if len(words) == 0 {
		return "blocked"
	}
	return strings.Join(words, " ")
}

func idms(name string, entries ...configv1.ImageDigestMirrors) configv1.ImageDigestMirrorSet {
	return configv1.ImageDigestMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: configv1.ImageDigestMirrorSetSpec{ImageDigestMirrors: entries}}
}

func itms(name string, entries ...configv1.ImageTagMirrors) configv1.ImageTagMirrorSet {
	return configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: configv1.ImageTagMirrorSetSpec{ImageTagMirrors: entries}}
}

func icsp(name string, entries ...operatorv1alpha1.RepositoryDigestMirrors) operatorv1alpha1.ImageContentSourcePolicy {
	return operatorv1alpha1.ImageContentSourcePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: operatorv1alpha1.ImageContentSourcePolicySpec{RepositoryDigestMirrors: entries}}
}

func imageSources(s configv1.RegistrySources) *configv1.Image {
	return &configv1.Image{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}, Spec: configv1.ImageSpec{RegistrySources: s}}
}

func TestPlan(t *testing.T) {
	const never = configv1.NeverContactSource
	tests := []struct {
		name    string
		conf    string
		objects ClusterObjects
		want    map[string]string // pull spec → plan
	}{
		{name: "nothing", want: map[string]string{
			"busybox":                    "registry-1.docker.io/library/busybox",
			"index.docker.io/a/b:x":      "registry-1.docker.io/a/b:x",
			"quay.io/a/b:x":              "quay.io/a/b:x",
			"quay.io/a/b:x@" + someID:    "quay.io/a/b@sha256:e3b",
			"host:5000/very/deep/path:1": "host:5000/very/deep/path:1",
		}},
		{name: "mirrors of each kind", conf: `
[[registry]]
location = "quay.io"
[[registry.mirror]]
location = "both.test/q"
insecure = true
[[registry.mirror]]
location = "digests.test"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tags.test"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "all.test"
pull-from-mirror = "all"
`, want: map[string]string{
			"quay.io/a/b:x":         "both.test/q/a/b:x+ tags.test/a/b:x all.test/a/b:x quay.io/a/b:x",
			"quay.io/a/b@" + someID: "both.test/q/a/b@sha256:e3b+ digests.test/a/b@sha256:e3b all.test/a/b@sha256:e3b quay.io/a/b@sha256:e3b",
			"quay.io:8443/a/b:x":    "quay.io:8443/a/b:x",
			"other.quay.io/a/b:x":   "other.quay.io/a/b:x",
		}},
		{name: "mirror-by-digest-only", conf: `
[[registry]]
location = "quay.io/a"
mirror-by-digest-only = true
[[registry.mirror]]
location = "m.test"
`, want: map[string]string{
			"quay.io/a/b:x":          "quay.io/a/b:x",
			"quay.io/a/b@" + someID:  "m.test/b@sha256:e3b quay.io/a/b@sha256:e3b",
			"quay.io/ab/b@" + someID: "quay.io/ab/b@sha256:e3b",
		}},
		{name: "location rewrite, longest prefix", conf: `
[[registry]]
prefix = "quay.io"
location = "far.test/quay"
[[registry]]
prefix = "quay.io/team"
location = "near.test"
insecure = true
[[registry]]
prefix = "docker.io/library"
location = "hub.test/official"
`, want: map[string]string{
			"quay.io/a/b:x":    "far.test/quay/a/b:x",
			"quay.io/team/b:x": "near.test/b:x+",
			"busybox:1":        "hub.test/official/busybox:1",
			"a/busybox:1":      "registry-1.docker.io/a/busybox:1",
		}},
		{name: "wildcards", conf: `
[[registry]]
prefix = "*.example.com"
insecure = true
[[registry]]
prefix = "*.bad.example.com"
blocked = true
[[registry]]
prefix = "*.moved.test"
location = "new.test/moved"
`, want: map[string]string{
			"a.example.com/x/y:1":      "a.example.com/x/y:1+",
			"a.b.example.com:5000/x/y": "a.b.example.com:5000/x/y+",
			"example.com/x/y":          "example.com/x/y",
			"notexample.com/x/y":       "notexample.com/x/y",
			"a.bad.example.com/x/y":    "blocked",
			"a.moved.test:444/x/y:1":   "new.test/moved/x/y:1",
		}},
		{name: "blocked by path, and with mirrors", conf: `
[[registry]]
location = "quay.io/bad"
blocked = true
[[registry]]
location = "gone.test"
blocked = true
[[registry.mirror]]
location = "m.test"
[[registry]]
location = "through.test"
[[registry.mirror]]
location = "quay.io/bad"
[[registry]]
prefix = "hidden.test"
location = "quay.io/bad"
blocked = true
`, want: map[string]string{
			"quay.io/bad/x:1":   "blocked",
			"quay.io/badger/x":  "quay.io/badger/x",
			"gone.test/x/y:1":   "m.test/x/y:1",
			"through.test/x:1":  "through.test/x:1",
			"hidden.test/x/y:1": "blocked",

			"QUAY.io/bad/x:1":     "blocked",
			"quay.io:443/bad/x:1": "blocked",
			"quay.io:444/x/y:1":   "quay.io:444/x/y:1",
		}},
		{name: "insecure by physical location", conf: `
[[registry]]
location = "quay.io"
[[registry.mirror]]
location = "m.test:5000/q"
[[registry]]
location = "m.test:5000"
insecure = true
`, want: map[string]string{"quay.io/a/b:x": "m.test:5000/q/a/b:x+ quay.io/a/b:x"}},
		{name: "a prefix down to the tag", conf: `
[[registry]]
prefix = "quay.io/a/b:old"
location = "archive.test/a/b:frozen"
`, want: map[string]string{"quay.io/a/b:old": "archive.test/a/b:frozen", "quay.io/a/b:older": "quay.io/a/b:older"}},
		{name: "digest and tag mirror sets", objects: ClusterObjects{
			ContentSourcePolicies: []operatorv1alpha1.ImageContentSourcePolicy{icsp("p", operatorv1alpha1.RepositoryDigestMirrors{Source: "quay.io/a", Mirrors: []string{"icsp.test/a"}})},
			DigestMirrorSets:      []configv1.ImageDigestMirrorSet{idms("d", configv1.ImageDigestMirrors{Source: "quay.io/a", Mirrors: []configv1.ImageMirror{"idms.test/a"}})},
			TagMirrorSets:         []configv1.ImageTagMirrorSet{itms("t", configv1.ImageTagMirrors{Source: "quay.io", Mirrors: []configv1.ImageMirror{"itms.test"}})},
		}, want: map[string]string{
			"quay.io/a/b:x":         "itms.test/a/b:x quay.io/a/b:x",
			"quay.io/a/b@" + someID: "idms.test/a/b@sha256:e3b icsp.test/a/b@sha256:e3b quay.io/a/b@sha256:e3b",
			"quay.io/c/b@" + someID: "quay.io/c/b@sha256:e3b",
		}},
		{name: "entries do not accumulate (O60), the most specific counts", objects: ClusterObjects{
			DigestMirrorSets: []configv1.ImageDigestMirrorSet{idms("d",
				configv1.ImageDigestMirrors{Source: "one.test", Mirrors: []configv1.ImageMirror{"m1.test"}},
				configv1.ImageDigestMirrors{Source: "two.test", Mirrors: []configv1.ImageMirror{"m2.test"}},
				configv1.ImageDigestMirrors{Source: "two.test/deep", Mirrors: []configv1.ImageMirror{"m3.test"}},
				configv1.ImageDigestMirrors{Source: "*.wild.test", Mirrors: []configv1.ImageMirror{"m4.test/w"}},
			)},
		}, want: map[string]string{
			"one.test/x/y@" + someID:         "m1.test/x/y@sha256:e3b one.test/x/y@sha256:e3b",
			"two.test/x/y@" + someID:         "m2.test/x/y@sha256:e3b two.test/x/y@sha256:e3b",
			"two.test/deep/y@" + someID:      "m3.test/y@sha256:e3b two.test/deep/y@sha256:e3b",
			"a.wild.test:5000/x/y@" + someID: "m4.test/w/x/y@sha256:e3b a.wild.test:5000/x/y@sha256:e3b",
		}},
		{name: "never contact source", objects: ClusterObjects{
			DigestMirrorSets: []configv1.ImageDigestMirrorSet{
				idms("a", configv1.ImageDigestMirrors{Source: "q.test", Mirrors: []configv1.ImageMirror{"m.test"}, MirrorSourcePolicy: configv1.AllowContactingSource}),
				idms("b", configv1.ImageDigestMirrors{Source: "q.test", Mirrors: []configv1.ImageMirror{"n.test"}, MirrorSourcePolicy: never}),
			},
			TagMirrorSets: []configv1.ImageTagMirrorSet{itms("t", configv1.ImageTagMirrors{Source: "r.test", Mirrors: []configv1.ImageMirror{"bad host"}, MirrorSourcePolicy: never})},
		}, want: map[string]string{
			"q.test/x/y@" + someID: "m.test/x/y@sha256:e3b n.test/x/y@sha256:e3b",
			"q.test/x/y:1":         "q.test/x/y:1",
			"r.test/x/y:1":         "blocked",
		}},
		{name: "cluster lists", objects: ClusterObjects{Image: imageSources(configv1.RegistrySources{
			InsecureRegistries: []string{"*.lan", "reg.test:5000/team"},
			BlockedRegistries:  []string{"*.evil.test", "quay.io/bad"},
			AllowedRegistries:  []string{"quay.io"},
		})}, want: map[string]string{
			"a.lan/x/y:1":              "a.lan/x/y:1+",
			"reg.test:5000/team/y:1":   "reg.test:5000/team/y:1+",
			"reg.test:5000/others/y:1": "reg.test:5000/others/y:1",
			"a.evil.test/x/y:1":        "blocked",
			"quay.io/bad/y:1":          "blocked",
			"quay.io:5000/bad/y:1":     "blocked",
			"Quay.Io/bad/y:1":          "blocked",
			"quay.io/good/y:1":         "quay.io/good/y:1",
		}},
		{name: "allowed, enforced", objects: ClusterObjects{EnforceAllowed: true, Image: imageSources(configv1.RegistrySources{AllowedRegistries: []string{"quay.io/ok", "*.lan"}})}, want: map[string]string{
			"quay.io/ok/y:1":    "quay.io/ok/y:1",
			"quay.io/other/y:1": "blocked",
			"a.lan/x/y":         "a.lan/x/y",
			"busybox":           "blocked",
		}},
		{name: "file and cluster together", conf: `
[[registry]]
location = "quay.io"
[[registry.mirror]]
location = "file.test"
`, objects: ClusterObjects{
			TagMirrorSets: []configv1.ImageTagMirrorSet{itms("t",
				configv1.ImageTagMirrors{Source: "quay.io", Mirrors: []configv1.ImageMirror{"cluster.test", "file.test"}},
				configv1.ImageTagMirrors{Source: "quay.io/deep", Mirrors: []configv1.ImageMirror{"deep.test"}})},
			Image: imageSources(configv1.RegistrySources{InsecureRegistries: []string{"file.test"}, BlockedRegistries: []string{"quay.io/deep"}}),
		}, want: map[string]string{
			"quay.io/a/b:x":         "file.test/a/b:x+ cluster.test/a/b:x quay.io/a/b:x",
			"quay.io/deep/b:x":      "deep.test/b:x",
			"quay.io/a/b@" + someID: "file.test/a/b@sha256:e3b+ quay.io/a/b@sha256:e3b",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules, _ := New(conf(t, tt.conf), tt.objects)
			for spec, want := range tt.want {
				if got := describe(rules.Plan(parse(t, spec))); got != want {
					t.Errorf("%s:\n got %s\nwant %s", spec, got, want)
				}
			}
		})
	}
}

func TestNilRules(t *testing.T) {
	var r *Rules
	if got := describe(r.Plan(parse(t, "quay.io/a/b:x"))); got != "quay.io/a/b:x" {
		t.Error(got)
	}
	if !r.Allowed("quay.io/a") || r.Insecure("quay.io/a") {
		t.Error("nil rules say something")
	}
}

func TestBadClusterObjectsAreWarnings(t *testing.T) {
	_, warnings := New(nil, ClusterObjects{
		DigestMirrorSets: []configv1.ImageDigestMirrorSet{idms("d",
			configv1.ImageDigestMirrors{Source: "https://x.test", Mirrors: []configv1.ImageMirror{"m.test"}},
			configv1.ImageDigestMirrors{Source: "y.test", Mirrors: []configv1.ImageMirror{"m.test", "*.wild.test"}, MirrorSourcePolicy: "Sometimes"})},
		Image: imageSources(configv1.RegistrySources{InsecureRegistries: []string{"", "ok.test"}}),
	})
	want := []Warning{
		{"ImageDigestMirrorSet d", `source "https://x.test": URI schemes are not supported: entry left out`},
		{"ImageDigestMirrorSet d", `mirror "*.wild.test": a wildcard is not allowed here: left out`},
		{"ImageDigestMirrorSet d", `mirrorSourcePolicy "Sometimes" of source y.test is unknown: the source may be contacted`},
		{"Image cluster", `spec.registrySources.insecureRegistries[0]: "": not host[:port][/path]: left out`},
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMergeOrders(t *testing.T) {
	for _, tt := range []struct {
		lists []string
		want  string
	}{
		{[]string{"abc", "cde"}, "abcde"},
		{[]string{"cd", "ac"}, "acd"},
		{[]string{"ab", "ba"}, "ab"},
		{[]string{"abca"}, "abc"},
		{nil, ""},
	} {
		var lists [][]string
		for _, l := range tt.lists {
			lists = append(lists, strings.Split(l, ""))
		}
		if got := strings.Join(mergeOrders(lists), ""); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.lists, got, tt.want)
		}
	}
}

func TestReadRegistriesConfErrors(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"toml.conf":     "[[registry",
		"empty.conf":    "[[registry]]\nlocation = \"\"\n",
		"scheme.conf":   "[[registry]]\nlocation = \"https://quay.io\"\n",
		"pull.conf":     "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\npull-from-mirror = \"sometimes\"\n",
		"location.conf": "[[registry]]\nlocation = \"qu ay.io\"\n",
		"mirror.conf":   "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"M/UPPER\"\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadConf(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v does not name the file", name, err)
		}
	}
	if _, err := ReadConf(filepath.Join(dir, "absent")); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("missing file: %v", err)
	}
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil || os.IsNotExist(err) {
			return err
		}
		err = inner.Unwrap()
	}
}

// Neither the home folder's configuration (see TestMain) nor drop-ins beside
// the file count, and a changed file is read anew.
func TestOnlyTheGivenFileIsRead(t *testing.T) {
	dir := t.TempDir()
	blocked := "[[registry]]\nlocation = \"quay.io\"\nblocked = true\n"
	dropIns := filepath.Join(dir, "registries.conf.d")
	if err := os.Mkdir(dropIns, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dropIns, "x.conf"), []byte(blocked), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "registries.conf")
	for _, tt := range [][2]string{{"", "quay.io/a/b:x"}, {blocked, "blocked"}, {"", "quay.io/a/b:x"}} {
		text, want := tt[0], tt[1]
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConf(path)
		if err != nil {
			t.Fatal(err)
		}
		rules, _ := New(c, ClusterObjects{})
		if got := describe(rules.Plan(parse(t, "quay.io/a/b:x"))); got != want {
			t.Errorf("with %q: %s, want %s", text, got, want)
		}
	}
}

// What the library that reads the file passes over is said.
func TestUnknownKeysOfRegistriesConf(t *testing.T) {
	for text, want := range map[string]string{
		"[registries.search]\nregistries = ['docker.io']\n":                                                               "registries.search",
		"[registries.insecure]\nregistries = ['x.test']\n[[registry]]\nlocation = 'x.test'\n":                             "version 1",
		"[[registry]]\nlocation = 'x.test'\n[[registry.mirrors]]\nlocation = 'y.test'\n":                                  "registry.mirrors",
		"[[registry]]\nlocation = 'x.test'\nblock = true\n":                                                               "registry.block",
		"[[registry]]\nlocation = 'x.test'\n[[registry.mirror]]\nlocation = 'y.test'\npull_from_mirror = 'digest-only'\n": "registry.mirror.pull_from_mirror",
		"Registry = 1\nunknown = 2\n":                                                                                     "",
	} {
		path := filepath.Join(t.TempDir(), "registries.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadConf(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with the file and %s", text, err, want)
		}
	}
	conf(t, "unqualified-search-registries = ['x.test']\nshort-name-mode = 'disabled'\ncredential-helpers = ['x']\n[aliases]\na = 'x.test/a'\n[[registry]]\nlocation = 'x.test'\n")
}
