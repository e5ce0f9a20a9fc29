package depcheck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckLayers(t *testing.T) {
	layers := [][]string{{"cmd"}, {"internal/a", "internal/b"}, {"internal/c"}}
	valid := []Import{
		{"cmd/weir/main.go", Module + "/internal/a"},
		{"internal/a/a.go", Module + "/internal/c/deep"},
		{"internal/a/sub/a.go", Module + "/internal/a"},
		{"internal/b/b.go", Module + "/internal/c"},
		{"internal/b/b_test.go", Module + "/internal/a"},
		{"internal/c/c.go", "fmt"},
	}
	tests := []struct {
		name string
		add  Import
		want string
	}{
		{"downwards", Import{"cmd/weir/main.go", Module + "/internal/c"}, ""},
		{"a test may look up", Import{"internal/c/c_test.go", Module + "/internal/a"}, ""},
		{"upwards", Import{"internal/c/sub/c.go", Module + "/internal/a"}, "internal/c/sub/c.go imports internal/a"},
		{"a peer", Import{"internal/a/sub/a.go", Module + "/internal/b"}, "internal/a/sub/a.go imports internal/b"},
		{"nowhere", Import{"internal/d/d.go", "fmt"}, "internal/d stands in no layer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			one(t, CheckLayers(append(valid, test.add), layers), test.want)
		})
	}
	t.Run("a component that is gone", func(t *testing.T) {
		one(t, CheckLayers(valid[:len(valid)-1], layers), "internal/c, which has no Go file")
	})
}

func TestCheckImports(t *testing.T) {
	rules := []Rule{
		{In: []string{"."}, Except: []string{"internal/host"}, Not: []string{"k8s.io/kubernetes"}, Why: "the reason"},
		{In: []string{"internal/pure"}, Not: []string{"net"}, Tests: true, Why: "the reason"},
	}
	tests := []struct {
		name string
		line Import
		want string
	}{
		{"forbidden", Import{"internal/apiserver/x.go", "k8s.io/kubernetes/pkg/features"}, "why not: the reason"},
		{"excepted", Import{"internal/host/x.go", "k8s.io/kubernetes/pkg/features"}, ""},
		{"below the exception", Import{"internal/host/sub/x.go", "k8s.io/kubernetes/pkg/features"}, ""},
		{"a like name is no exception", Import{"internal/hosts/x.go", "k8s.io/kubernetes"}, "internal/hosts/x.go imports k8s.io/kubernetes"},
		{"a like path is allowed", Import{"internal/apiserver/x.go", "k8s.io/kubernetes-sigs"}, ""},
		{"a test", Import{"internal/apiserver/x_test.go", "k8s.io/kubernetes"}, ""},
		{"a test under a rule for tests", Import{"internal/pure/x_test.go", "net/http"}, "internal/pure/x_test.go imports net/http"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			one(t, CheckImports([]Import{test.line}, rules), test.want)
		})
	}
}

func TestCheckReach(t *testing.T) {
	graph := Graph{
		Module + "/internal/pure": {"fmt", "example.com/a", "example.com/b"},
		Module + "/internal/free": {"example.com/b"},
		"example.com/a":           {"example.com/c"},
		"example.com/b":           {"example.com/c", "net"},
		"example.com/c":           {"example.com/d"},
		"example.com/d":           {"net", "example.com/c"},
	}
	rule := Rule{In: []string{"internal/pure"}, Not: []string{"net"}, Reach: true, Why: "the reason"}
	one(t, CheckReach(graph, []Rule{rule}),
		"internal/pure reaches net\nthrough: "+Module+"/internal/pure → example.com/b → net\nwhy not: the reason")

	rule.Not = []string{"example.com/e"}
	one(t, CheckReach(graph, []Rule{rule}), "")
	rule.Not, rule.Reach = []string{"net"}, false
	one(t, CheckReach(graph, []Rule{rule}), "")
}

func TestCheckNames(t *testing.T) {
	one(t, CheckNames([]Import{{"internal/x/util/a.go", "fmt"}, {"internal/x/util/b.go", "fmt"}}), "internal/x/util")
	one(t, CheckNames([]Import{{"internal/x/utility/a.go", "fmt"}}), "")
}

func TestCheckReasons(t *testing.T) {
	const gomod = `module weir.dev/weir

require example.com/single v1.0.0

require (
	example.com/a v1.0.0
	example.com/b v0.0.0-2026 // indirect
)

replace (
	example.com/c => example.com/c v1.0.0
)
`
	if diff := cmp.Diff([]string{"example.com/single", "example.com/a"}, DirectRequirements(gomod)); diff != "" {
		t.Errorf("direct requirements (-want +got):\n%s", diff)
	}
	row := func(module, reason string) string { return "| `" + module + "` | " + reason + " |\n" }
	const reason = "does what we would otherwise write"
	both := row("example.com/single", reason) + row("example.com/a", reason)
	one(t, CheckReasons(gomod, both), "")
	one(t, CheckReasons(gomod, row("example.com/single", reason)), "no reason is given for example.com/a")
	one(t, CheckReasons(gomod, row("example.com/single", reason)+row("example.com/a", "useful")), "no reason is given for example.com/a")
	one(t, CheckReasons(gomod, both+row("example.com/b", reason)), "example.com/b, which go.mod does not require directly")
}

func TestReadImports(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"a/a.go":               "package a\nimport (\n\tx \"example.com/x\"\n\t_ \"embed\"\n)\n",
		"a/a_windows.go":       "package a\nimport \"example.com/windows\"\n",
		"a/a_test.go":          "package a\nimport \"testing\"\n",
		"a/readme.txt":         "import nothing",
		"a/testdata/broken.go": "this is no Go",
		"_old/old.go":          "package old\nimport \"example.com/old\"\n",
		".hidden/h.go":         "package h\nimport \"example.com/hidden\"\n",
		"other/go.mod":         "module example.com/other\n",
		"other/o.go":           "package o\nimport \"example.com/o\"\n",
	}
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadImports(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Import{
		{"a/a.go", "example.com/x"}, {"a/a.go", "embed"},
		{"a/a_test.go", "testing"},
		{"a/a_windows.go", "example.com/windows"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
}

// one fails unless wrong holds one text with want in it, or none when want is empty.
func one(t *testing.T, wrong []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(wrong) > 0:
		t.Errorf("got %q, want nothing", wrong)
	case want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], want)):
		t.Errorf("got %q, want one with %q", wrong, want)
	}
}
