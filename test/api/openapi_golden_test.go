package api_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// parameter is a query or path parameter in an OpenAPI document, or a reference to one.
type parameter struct {
	Ref  string `json:"$ref"`
	Name string
	In   string
}

// operation is a verb of a path.
type operation struct {
	Parameters []parameter
	Responses  map[string]any
}

// TestOpenAPIGolden holds the paths of the group with their verbs, query parameters and
// response codes, in both versions of OpenAPI.
func TestOpenAPIGolden(t *testing.T) {
	var v2 struct {
		Paths      map[string]map[string]any
		Parameters map[string]parameter
	}
	unmarshal(t, raw(t, env.As("nobody"), http.MethodGet, "/openapi/v2", "", "Accept", "application/json").body, &v2)
	two := operations(t, v2.Paths, func(ref string) parameter { return v2.Parameters[strings.TrimPrefix(ref, "#/parameters/")] })

	var v3 struct{ Paths map[string]map[string]any }
	unmarshal(t, raw(t, env.As("nobody"), http.MethodGet, "/openapi/v3"+groupPath, "", "Accept", "application/json").body, &v3)
	three := operations(t, v3.Paths, nil)

	if len(two) == 0 || !slices.Equal(two, three) {
		t.Errorf("OpenAPI v2 has %d operations, v3 %d; they differ", len(two), len(three))
	}
	wantGolden(t, "openapi-v2.txt", []byte(strings.Join(two, "")))
	wantGolden(t, "openapi-v3.txt", []byte(strings.Join(three, "")))
}

// operations are the group's, a block each: verb and path, codes, query parameters.
func operations(t *testing.T, paths map[string]map[string]any, resolve func(string) parameter) []string {
	t.Helper()
	var all []string
	for path, item := range paths {
		if !strings.HasPrefix(path, groupPath+"/") || path == groupPath+"/" {
			continue
		}
		var shared []parameter
		for verb, raw := range item {
			if verb == "parameters" {
				decode(t, raw, &shared)
			}
		}
		for verb, raw := range item {
			if verb == "parameters" {
				continue
			}
			var op operation
			decode(t, raw, &op)
			all = append(all, fmt.Sprintf("%s %s\n  %s\n%s", path, strings.ToUpper(verb), codes(op), queries(append(op.Parameters, shared...), resolve)))
		}
	}
	slices.Sort(all)
	return all
}

func codes(op operation) string {
	var all []string
	for code := range op.Responses {
		all = append(all, code)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// queries are the names of query parameters, a line each.
func queries(parameters []parameter, resolve func(string) parameter) string {
	var lines []string
	for _, p := range parameters {
		if p.Ref != "" && resolve != nil {
			p = resolve(p.Ref)
		}
		if p.In == "query" {
			lines = append(lines, "  ?"+p.Name+"\n")
		}
	}
	slices.SortFunc(lines, cmp.Compare[string])
	return strings.Join(lines, "")
}

func decode(t *testing.T, document, into any) {
	t.Helper()
	unmarshal(t, indented(t, document), into)
}
