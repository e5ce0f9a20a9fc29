package streams

import (
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/stream"
)

// TestCopiersFollowTheStreams holds that the streams with copies of a repository are those that say
// so now.
func TestCopiersFollowTheStreams(t *testing.T) {
	k := newKnown(newClock().Now)
	version := 0
	put := func(name string, sources ...string) {
		version++
		s := imageStream()
		s.Name, s.UID, s.ResourceVersion = name, types.UID(name), strings.Repeat("1", version)
		var copies []string
		for _, source := range sources {
			copies = append(copies, `{"repository":"`+source+`","uid":"u","images":["`+id(source).String()+`"]}`)
		}
		if len(copies) > 0 {
			s.Annotations = map[string]string{stream.AnnotationCopiedFrom: "[" + strings.Join(copies, ",") + "]"}
		}
		_ = k.Update(s)
	}
	want := func(repository string, names ...string) {
		t.Helper()
		var got []string
		for _, s := range k.copiersOf(repository) {
			got = append(got, s.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, names) {
			t.Errorf("%s: %q, want %q", repository, got, names)
		}
	}
	put("a", "ns/x", "ns/y")
	put("b", "ns/x")
	put("c")
	want("ns/x", "a", "b")
	want("ns/y", "a")
	put("a", "ns/x")
	put("c", "ns/z")
	want("ns/y")
	want("ns/z", "c")
	put("b")
	want("ns/x", "a")
	_ = k.Delete(&imagev1.ImageStream{ObjectMeta: k.streams[types.NamespacedName{Namespace: "ns", Name: "a"}].stream.ObjectMeta})
	_ = k.Replace(nil, strings.Repeat("1", version+1))
	if len(k.copiers) != 0 {
		t.Errorf("%v is kept", k.copiers)
	}
}
