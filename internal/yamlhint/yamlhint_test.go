package yamlhint

import (
	"errors"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// The hints are for the texts of both parsers, that of Weir's own files and that of Kubernetes'.
func TestAdd(t *testing.T) {
	parsers := map[string]func(string) error{
		"yaml.v3":     func(text string) error { var into any; return yaml.Unmarshal([]byte(text), &into) },
		"Kubernetes'": func(text string) error { var into any; return sigsyaml.Unmarshal([]byte(text), &into) },
	}
	for text, want := range map[string]string{
		"a:\n\tb: 1\n":          "tabs are not allowed",
		"a:\n  b: 1\n\tc: 1\n":  "tabs are not allowed",
		"a: @b\n":               "begins with @",
		"a: *.example.com\n":    "begins with *",
		"a: *example\n":         "begins with *",
		"a: b: c\n":             "a colon and a space",
		"a:\n   b: 1\n  c: 1\n": "the same indentation",
		"a:\n  b: 1\n   c: 1\n": "the same indentation",
		"a\nb: 1\n":             "",
		"a: [\n":                "",
	} {
		for name, parse := range parsers {
			err := Add(parse(text))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %q: %v, want it to have %q", name, text, err, want)
			}
		}
	}
	plain := errors.New("x")
	if !errors.Is(Add(plain), plain) || Add(plain).Error() != plain.Error() || Add(nil) != nil {
		t.Error("an error without a hint changed")
	}
}
