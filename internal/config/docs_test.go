package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
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
	if !equality.Semantic.DeepEqual(got, want) {
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
		if c := mustParse(t, block[1]); equality.Semantic.DeepEqual(c, Default()) {
			t.Errorf("this example sets nothing:\n%s", block[1])
		}
	}
	if parsed == 0 {
		t.Error("there is no example")
	}
}
