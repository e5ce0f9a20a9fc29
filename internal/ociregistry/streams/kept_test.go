package streams

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

// TestKeptAtImport holds what the annotation of a tag, that of its stream and the server's
// setting decide together.
func TestKeptAtImport(t *testing.T) {
	for _, test := range []struct {
		tag, stream string
		server      bool
		want        bool
	}{
		{"", "", false, false},
		{"", "", true, true},
		{"always", "", false, true},
		{"", "always", false, true},
		{"pulled", "always", false, false},
		{"pulled", "", true, false},
		{"always", "pulled", false, true},
		{"disabled", "always", true, false},
		{"always", "disabled", true, false},
		{"something", "", true, true},
	} {
		s := imageStream(tagged("a", items(9, "pushed", "imported=quay.io/x/y", "inside="+ownHost+"/other/app")))
		s.Spec.Tags = []imagev1.TagReference{{Name: "a"}}
		if test.tag != "" {
			s.Spec.Tags[0].Annotations = map[string]string{annotationMirror: test.tag}
		}
		if test.stream != "" {
			s.Annotations = map[string]string{annotationMirror: test.stream}
		}
		p := allowAll
		p.atImport = test.server
		got := newHistory(versionOf(1, s), p).atImport
		if (len(got) > 0) != test.want || test.want && !(len(got) == 1 && got[0] == id("imported")) {
			t.Errorf("tag %q, stream %q, server %t: kept are %v, want any: %t", test.tag, test.stream, test.server, got, test.want)
		}
	}
}
