package imageapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

func mappingOf(tag, further string) *imagev1.ImageStreamMapping {
	m := &imagev1.ImageStreamMapping{Tag: tag}
	if further != "" {
		m.Annotations = map[string]string{AnnotationFurtherTags: further}
	}
	return m
}

func numbered(n int) []string {
	var tags []string
	for i := range n {
		tags = append(tags, fmt.Sprintf("t%03d", i))
	}
	return tags
}

func listOf(tags []string) string {
	text, _ := json.Marshal(tags)
	return string(text)
}

func TestMappingTags(t *testing.T) {
	for name, test := range map[string]struct {
		tag, further string
		want         []string
		wantErr      string
	}{
		"one":             {tag: "a", want: []string{"a"}},
		"an empty list":   {tag: "a", further: "[]", want: []string{"a"}},
		"none":            {tag: "a", further: "null", want: []string{"a"}},
		"several":         {tag: "b", further: `["c","a"]`, want: []string{"a", "b", "c"}},
		"one twice":       {tag: "b", further: `["a","b","a"]`, want: []string{"a", "b"}},
		"any text":        {tag: "b", further: `["not/a tag"]`, want: []string{"b", "not/a tag"}},
		"as many as can":  {tag: "t000", further: listOf(numbered(MaxMappingTags)), want: numbered(MaxMappingTags)},
		"too many":        {tag: "more", further: listOf(numbered(MaxMappingTags)), wantErr: "100 tags at most"},
		"an empty tag":    {tag: "a", further: `[""]`, wantErr: "must not be empty"},
		"no list":         {tag: "a", further: `"b"`, wantErr: "must be a JSON list"},
		"other things":    {tag: "a", further: `[1]`, wantErr: "must be a JSON list"},
		"something after": {tag: "a", further: `["b"]x`, wantErr: "must be a JSON list"},
		"no JSON":         {tag: "a", further: `b,c`, wantErr: "must be a JSON list"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := MappingTags(mappingOf(test.tag, test.further))
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Errorf("got %q, error %v; want %q", got, err, test.wantErr)
				}
				return
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestSetMappingTags(t *testing.T) {
	for _, tags := range [][]string{{"a"}, {"a", "b"}, {"a", `"`, "b c"}, numbered(MaxMappingTags)} {
		m := mappingOf("before", `["before"]`)
		if err := SetMappingTags(m, tags); err != nil {
			t.Fatal(err)
		}
		want := slices.Sorted(slices.Values(tags))
		if got, err := MappingTags(m); err != nil || !slices.Equal(got, want) {
			t.Errorf("set %q, got %q, %v", tags, got, err)
		}
	}
}
