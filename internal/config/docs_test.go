package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/registryrules"
)

const documentation = "../../docs/operate/configuration.md"

// row is a line of the documentation's tables: setting, default, description.
var row = regexp.MustCompile("(?m)^\\| `([a-zA-Z.\\[\\]]+)` \\| (required|`[^`]*`) \\| (.+) \\|$")

func readDocumentation(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// leaves calls visit with every setting below v and its path. Settings of list items have "[]" in
// theirs; they are visited on a zero item.
func leaves(path string, v reflect.Value, visit func(path string, v reflect.Value)) {
	_, scalar := scalars[v.Type()]
	switch {
	case !scalar && v.Kind() == reflect.Struct:
		for name, field := range fieldsOf(v) {
			leaves(strings.TrimPrefix(path+"."+name, "."), field, visit)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		visit(path, v)
		leaves(path+"[]", reflect.New(v.Type().Elem()).Elem(), visit)
	default:
		visit(path, v)
	}
}

// The documentation lists every setting with its default, and none that does not exist.
func TestDocumentationListsEverySetting(t *testing.T) {
	documented := map[string]string{}
	for _, match := range row.FindAllStringSubmatch(readDocumentation(t), -1) {
		if _, twice := documented[match[1]]; twice {
			t.Errorf("%s is documented twice", match[1])
		}
		documented[match[1]] = match[2]
	}
	leaves("", reflect.ValueOf(Default()).Elem(), func(path string, v reflect.Value) {
		value, ok := documented[path]
		delete(documented, path)
		switch {
		case !ok:
			t.Errorf("%s is not documented (want a line \"| `%s` | `default` | description |\")", path, path)
		case value == "required":
			if path != "apiVersion" && path != "kind" && path != "imports.allowedRegistries[].domainName" {
				t.Errorf("%s is documented as required and has a default", path)
			}
		default:
			assertDefault(t, path, strings.Trim(value, "`"))
		}
	})
	for path := range documented {
		t.Errorf("%s is documented and does not exist", path)
	}
}

// assertDefault sets path to the documented default, which must change nothing; any
// value that is not the default would.
func assertDefault(t *testing.T, path, value string) {
	t.Helper()
	if path == "imports.allowedRegistries[].insecure" {
		path, value = "imports.allowedRegistries", "[{domainName: a.example.com, insecure: "+value+"}]"
	}
	var text strings.Builder
	text.WriteString(header)
	indent := ""
	for part := range strings.SplitSeq(path, ".") {
		text.WriteString(indent + part + ":\n")
		indent += "  "
	}
	got, err := Parse([]byte(strings.TrimSuffix(text.String(), "\n") + " " + value + "\n"))
	if err != nil {
		t.Errorf("%s: the documented default %s is refused: %v", path, value, err)
		return
	}
	want := Default()
	if path == "imports.allowedRegistries" && value != "[]" {
		want.Imports.AllowedRegistries = []AllowedRegistry{{DomainName: "a.example.com"}}
	}
	if !same(got, want) {
		t.Errorf("%s: the documented default %s is not the default", path, value)
	}
}

// The examples of the documentation are files that work.
func TestDocumentedExamplesParse(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readDocumentation(t), -1)
	parsed := 0
	for _, block := range blocks {
		if !strings.Contains(block[1], "kind: "+Kind) {
			continue // a file of Kubernetes
		}
		parsed++
		if c := mustParse(t, block[1]); same(c, Default()) {
			t.Errorf("this example sets nothing:\n%s", block[1])
		}
	}
	if parsed == 0 {
		t.Error("there is no example")
	}
}

func TestDocumentedRegistriesConfIsRead(t *testing.T) {
	block := regexp.MustCompile("(?s)```toml\n(.*?)```").FindStringSubmatch(readDocumentation(t))
	if block == nil {
		t.Fatal("there is no example of a registries.conf")
	}
	path := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(path, []byte(block[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := registryrules.ReadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	rules, warnings := registryrules.New(conf, registryrules.ClusterObjects{})
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	spec, err := reference.Parse("untrusted.example.com/a/b:1")
	if err != nil {
		t.Fatal(err)
	}
	if rules.Plan(spec).Blocked == "" {
		t.Error("untrusted.example.com is not blocked")
	}
	const id = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	if spec, err = reference.Parse("docker.io/library/busybox@" + id); err != nil {
		t.Fatal(err)
	}
	if mirrors := rules.Plan(spec).Mirrors; len(mirrors) != 1 || mirrors[0].Repository() != "mirror.example.com/library/busybox" {
		t.Errorf("mirrors = %v", mirrors)
	}
}

// The mistakes shown in the documentation are what Load says.
func TestDocumentedMistakes(t *testing.T) {
	const text = header + `imports:
  allowedRegistry: []

  timeout: 10
schedule:
  interval: 30s
`
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	if err == nil {
		t.Fatal("Load accepted it")
	}
	said := strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", "")
	said = regexp.MustCompile("allowedRegistries, .*").ReplaceAllString(said, "allowedRegistries, …")
	if !strings.Contains(readDocumentation(t), "```text\n"+said+"\n```") {
		t.Errorf("the documentation does not show\n%s", said)
	}
}
