package registryrules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir.dev/weir/internal/reference"
)

func FuzzRegistriesConf(f *testing.F) {
	f.Add("[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"m.test\"\n", "quay.io/a/b:x")
	f.Add("[[registry]]\nprefix = \"*.example.com\"\nblocked = true\n", "a.example.com/x@"+someID)
	f.Add("[registries.insecure]\nregistries = [\"x\"]\n", "x:5000/y")
	f.Add("[[registry]]\nprefix = \"a.test/b:c\"\nlocation = \"d.test/e@"+someID+"\"\n", "a.test/b:c")
	path := filepath.Join(f.TempDir(), "registries.conf")
	f.Fuzz(func(t *testing.T, text, spec string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConf(path)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%v does not name the file", err)
			}
			return
		}
		ref, err := reference.Parse(spec)
		if err != nil {
			return
		}
		rules, _ := New(c, ClusterObjects{})
		// Whatever the rules say, what is contacted can be put into a request.
		for _, s := range rules.Plan(ref).Sources() {
			if err := CheckRepository(s.CredentialHost, s.Path); err != nil && CheckRepository(ref.WithDefaults().Registry, ref.WithDefaults().RepositoryName()) == nil {
				t.Errorf("plan of %q leads to %+v: %v", spec, s, err)
			}
		}
	})
}
