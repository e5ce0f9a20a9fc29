package streams

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

func TestHeadsAndTags(t *testing.T) {
	s := imageStream(
		tagged("b", items(2, "new", "old")),
		tagged("a-", items(1, "a")),
		tagged("A", items(1, "upper")),
		tagged("failed", nil),
		tagged("reference", []imagev1.TagEvent{{DockerImageReference: "quay.io/x/y:1"}}),
		tagged("misnamed", []imagev1.TagEvent{{DockerImageReference: "quay.io/x/y:1", Image: "latest"}}),
		tagged("misnamed now", append([]imagev1.TagEvent{{Image: "sha256:12"}}, items(1, "a")...)),
	)
	for _, test := range []struct {
		last string
		n    int
		want []string
		more bool
	}{
		{"", -1, []string{"A", "a-", "b"}, false},
		{"", 2, []string{"A", "a-"}, true},
		{"", 3, []string{"A", "a-", "b"}, false}, // what follows has no head
		{"", 40, []string{"A", "a-", "b"}, false},
		{"", 0, []string{}, false},
		{"A", 1, []string{"a-"}, true},
		{"A", 2, []string{"a-", "b"}, false},
		{"a", -1, []string{"a-", "b"}, false},
		{"b", -1, []string{}, false},
		{"z", 5, []string{}, false},
	} {
		if got, more := tagsOf(s, test.last, test.n); !slices.Equal(got, test.want) || got == nil || more != test.more {
			t.Errorf("%d tags after %q: %q, more %t; want %q, %t", test.n, test.last, got, more, test.want, test.more)
		}
	}
	for tag, want := range map[string]digest.Digest{"b": id("new"), "a-": id("a"), "failed": "", "reference": "", "misnamed": "", "misnamed now": "", "none": ""} {
		if got := headOf(s, tag); got != want {
			t.Errorf("head of %q is %q, want %q", tag, got, want)
		}
	}
	if tags, _ := tagsOf(imageStream(), "", -1); tags == nil || len(tags) != 0 {
		t.Errorf("tags of an empty stream are %v, want an empty list", tags)
	}
}

func TestRootsAreHeadsThenNewest(t *testing.T) {
	h := newHistory(versionOf(1, imageStream(
		tagged("a", items(10, "a10", "shared", "a8")),
		tagged("b", items(20, "shared", "b19")),
		tagged("c", items(5, "c5")),
	)), allowAll)
	want := []digest.Digest{id("shared"), id("a10"), id("c5"), id("b19"), id("a8")}
	if diff := cmp.Diff(want, h.roots); diff != "" {
		t.Error(diff)
	}
	if got := len(h.of[id("shared")]); got != 2 {
		t.Errorf("the shared image has %d events, want 2", got)
	}
}

func TestShownHosts(t *testing.T) {
	followed := &imagev1.ImageStream{
		Spec:   imagev1.ImageStreamSpec{DockerImageRepository: "quay.io/team/app"},
		Status: imagev1.ImageStreamStatus{DockerImageRepository: "quay.io/team/app"},
	}
	if got := shownHosts(followed); len(got) != 0 {
		t.Errorf("shown hosts are %v: the API shows where the stream follows", got)
	}
	served := &imagev1.ImageStream{Status: imagev1.ImageStreamStatus{DockerImageRepository: "a.test/ns/app", PublicDockerImageRepository: "b.test/ns/app"}}
	if got := shownHosts(served); !slices.Equal(got, []string{"b.test", "a.test"}) {
		t.Errorf("shown hosts are %v", got)
	}
}

// TestCopiedAndImported checks which images of a history need a repository besides the
// stream's own.
func TestCopiedAndImported(t *testing.T) {
	s := imageStream(
		tagged("a", items(10, "pushed", "copied", "imported=quay.io/team/app", "named="+ownHost+"/other/app")),
		tagged("b", items(20, "both=quay.io/team/app", "former=before.test:5000/ns/app", "copied")),
		tagged("c", []imagev1.TagEvent{{DockerImageReference: "quay.io/team/app:1", Created: at(30)}}),
	)
	stream.SetCopySources(s, []stream.CopySource{
		{Repository: "other/app", UID: "one", Images: []string{id("both").String(), id("copied").String(), id("gone").String()}},
		{Repository: "other/app", UID: "two", Images: []string{id("copied").String()}},
		{Repository: "third/app", Images: []string{id("copied").String(), "latest"}},
	})
	trim(s)
	h := newHistory(versionOf(1, s), allowAll)
	if diff := cmp.Diff([]digest.Digest{id("both"), id("copied")}, h.copied); diff != "" {
		t.Errorf("copied (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]digest.Digest{id("both"), id("imported"), id("named")}, h.imported); diff != "" {
		t.Errorf("imported (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[digest.Digest][]blobstore.Repository{
		id("both"):   {{Name: "other/app", Stream: "one"}},
		id("copied"): {{Name: "other/app", Stream: "one"}, {Name: "other/app", Stream: "two"}, {Name: "third/app"}},
	}, h.copies); diff != "" {
		t.Errorf("copies (-want +got):\n%s", diff)
	}
}

// TestTrimKeepsLegacyCopies: where a stream that was written before copies were recorded
// has its images from follows from its spec, which is not kept.
func TestTrimKeepsLegacyCopies(t *testing.T) {
	legacy := imageStream(tagged("1", items(1, "x")))
	legacy.Spec.Tags = []imagev1.TagReference{{Name: "1", From: &corev1.ObjectReference{Kind: "ImageStreamTag", Namespace: "other", Name: "app:1"}}}
	recorded := legacy.DeepCopy()
	stream.SetCopySources(recorded, nil)
	for name, test := range map[string]struct {
		stream *imagev1.ImageStream
		want   []stream.CopySource
	}{
		"legacy":              {legacy, []stream.CopySource{{Repository: "other/app", Images: []string{id("x").String()}}}},
		"recorded to be none": {recorded, nil},
	} {
		for range 2 {
			trim(test.stream)
			if got := stream.CopySources(test.stream); !cmp.Equal(got, test.want, cmpopts.EquateEmpty()) || len(test.stream.Spec.Tags) != 0 {
				t.Errorf("%s: copies %v, want %v", name, got, test.want)
			}
		}
	}
}

func TestTrimKeepsWhatIsRead(t *testing.T) {
	full := imageStream(tagged("b", items(2, "x=quay.io/one/app")), tagged("a", items(1, "y")))
	full.Status.Tags[0].Conditions = []imagev1.TagEventCondition{{Message: "long"}}
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	full.Labels = map[string]string{"a": "b"}
	full.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", imageapi.AnnotationRepository: "a/b"}
	full.Spec.Tags = []imagev1.TagReference{specTag("z", true, "description", "long", annotationMirror, "disabled"), specTag("a", false, "description", "long")}
	want := imageStream(tagged("b", items(2, "x=quay.io/one/app")), tagged("a", items(1, "y")))
	want.Annotations = map[string]string{imageapi.AnnotationRepository: "a/b"}
	want.Spec.Tags = []imagev1.TagReference{specTag("z", true, annotationMirror, "disabled")}
	for range 2 {
		trim(full)
		if diff := cmp.Diff(want, full); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestRepositoryOf(t *testing.T) {
	for name, test := range map[string]struct{ stream, annotation, want string }{
		"plain":                           {"app", "", "ns/app"},
		"nested":                          {"a.x2f.b", "a/b", "ns/a/b"},
		"without annotation":              {"a.x2f.b", "", "ns/a.x2f.b"},
		"of another stream":               {"app", "other", "ns/app"},
		"of another nested stream":        {"app", "a/b", "ns/app"},
		"no path at all":                  {"app", "../other", "ns/app"},
		"its own name":                    {"app", "app", "ns/app"},
		"nested, of another":              {"a.x2f.b", "a/c", "ns/a.x2f.b"},
		"nested with other escaped parts": {"a.x2f.b.x2d2.c", "a/b--c", "ns/a/b--c"},
	} {
		s := imageStream()
		s.Name, s.Annotations = test.stream, map[string]string{imageapi.AnnotationRepository: test.annotation}
		if got := repositoryOf(s); got.String() != test.want || got.Stream != test.stream {
			t.Errorf("%s: %+v, want %s", name, got, test.want)
		}
	}
}

// BenchmarkPageOfTags: a page costs the same whatever the number of tags.
func BenchmarkPageOfTags(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		var tags []imagev1.NamedTagEventList
		for i := range n {
			tags = append(tags, tagged(fmt.Sprintf("v%05d", i), items(1, "x")))
		}
		s := imageStream(tags...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tagsOf(s, "v00010", 50)
			}
		})
	}
}
