package streams

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/ociregistry"
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
	if diff := cmp.Diff([]string{"A", "a-", "b"}, tagsOf(s)); diff != "" {
		t.Error(diff)
	}
	for tag, want := range map[string]digest.Digest{"b": id("new"), "a-": id("a"), "failed": "", "reference": "", "misnamed": "", "misnamed now": "", "none": ""} {
		if got := headOf(s, tag); got != want {
			t.Errorf("head of %q is %q, want %q", tag, got, want)
		}
	}
	if tags := tagsOf(imageStream()); tags == nil || len(tags) != 0 {
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

// shown are sources as "repository", with "!" for insecure and "~" for not mirrored.
func shown(sources []ociregistry.Source) []string {
	var texts []string
	for _, s := range sources {
		text := s.Ref.String()
		if s.Insecure {
			text += "!"
		}
		switch {
		case s.Off && s.Mirror:
			text += " is off and kept"
		case s.Off:
			text += " (off)"
		case !s.Mirror:
			text += "~"
		}
		texts = append(texts, text)
	}
	return texts
}

func specTag(name string, insecure bool, annotations ...string) imagev1.TagReference {
	tag := imagev1.TagReference{Name: name, ImportPolicy: imagev1.TagImportPolicy{Insecure: insecure}}
	for i := 0; i < len(annotations); i += 2 {
		if tag.Annotations == nil {
			tag.Annotations = map[string]string{}
		}
		tag.Annotations[annotations[i]] = annotations[i+1]
	}
	return tag
}

func TestSources(t *testing.T) {
	for name, test := range map[string]struct {
		tags      []imagev1.NamedTagEventList
		spec      []imagev1.TagReference
		stream    map[string]string
		policy    policy
		ask       []string
		manifests []string
		blobs     []string
	}{
		"pushed here": {
			tags: []imagev1.NamedTagEventList{tagged("a", items(2, "x", "y=quay.io/other/one"))},
			ask:  []string{"x"},
		},
		"imported": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(1, "x=quay.io/team/app"))},
			ask:       []string{"x"},
			manifests: []string{"quay.io/team/app"},
			blobs:     []string{"quay.io/team/app"},
		},
		"docker.io is one repository under all its names": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(3, "x=busybox", "x=docker.io/library/busybox", "x=index.docker.io/library/busybox")),
			},
			ask:       []string{"x"},
			manifests: []string{"docker.io/library/busybox"},
			blobs:     []string{"docker.io/library/busybox"},
		},
		"newest event first, then other heads by name, then older": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(10, "x=quay.io/one/app", "old=quay.io/z/older")),
				tagged("b", items(20, "x=quay.io/two/app", "older=quay.io/a/older")),
				tagged("c", items(15, "other=quay.io/z/head", "x=quay.io/one/app")),
				tagged("d", items(15, "another=quay.io/a/head")),
			},
			ask:       []string{"x"},
			manifests: []string{"quay.io/two/app", "quay.io/one/app"},
			blobs:     []string{"quay.io/two/app", "quay.io/one/app", "quay.io/a/head", "quay.io/z/head", "quay.io/a/older", "quay.io/z/older"},
		},
		"several images that refer to it": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(10, "x=quay.io/one/app")),
				tagged("b", items(20, "y=quay.io/two/app")),
			},
			ask:       []string{"x", "y"},
			manifests: []string{"quay.io/two/app", "quay.io/one/app"},
			blobs:     []string{"quay.io/two/app", "quay.io/one/app"},
		},
		"secure first": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=plain.test:5001/one/app")),
				tagged("b", items(10, "x=quay.io/two/app")),
				tagged("c", items(10, "y=plain.test:5001/three/app")),
				tagged("d", items(10, "y=quay.io/z/app")),
			},
			spec:      []imagev1.TagReference{specTag("a", true)},
			ask:       []string{"x"},
			manifests: []string{"quay.io/two/app", "plain.test:5001/one/app!"},
			blobs:     []string{"quay.io/two/app", "plain.test:5001/one/app!", "quay.io/z/app", "plain.test:5001/three/app!"},
		},
		"the newest event decides for a manifest, any of the host for a blob": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=host.test/one/app")),
				tagged("b", items(10, "x=host.test/one/app")),
			},
			spec:      []imagev1.TagReference{specTag("b", true)},
			ask:       []string{"x"},
			manifests: []string{"host.test/one/app"},
			blobs:     []string{"host.test/one/app!"},
		},
		"insecure stream": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(1, "x=host.test/one/app"))},
			stream:    map[string]string{"openshift.io/image.insecureRepository": "true"},
			ask:       []string{"x"},
			manifests: []string{"host.test/one/app!"},
			blobs:     []string{"host.test/one/app!"},
		},
		"the own repository is none, another of this registry is": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(9, "x="+ownHost+"/other/app", "x=registry.example.com/ns/app", "x=shown.test/ns/app"))},
			ask:       []string{"x"},
			manifests: []string{ownHost + "/other/app"},
			blobs:     []string{ownHost + "/other/app"},
		},
		"tag switched off": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=quay.io/one/app")),
				tagged("b", items(10, "y=quay.io/one/app")),
			},
			spec:      []imagev1.TagReference{specTag("a", false, AnnotationPullThrough, "disabled")},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app (off)"},
			blobs:     []string{"quay.io/one/app (off)"},
		},
		"another tag with the same image is not switched off": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=quay.io/one/app")),
				tagged("b", items(10, "x=quay.io/two/app")),
			},
			spec:      []imagev1.TagReference{specTag("a", false, AnnotationPullThrough, "disabled")},
			ask:       []string{"x"},
			manifests: []string{"quay.io/two/app", "quay.io/one/app (off)"},
			blobs:     []string{"quay.io/two/app", "quay.io/one/app (off)"},
		},
		"what is switched off is no help to others": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=quay.io/one/app")),
				tagged("b", items(10, "y=quay.io/two/app")),
			},
			spec:      []imagev1.TagReference{specTag("b", false, AnnotationPullThrough, "disabled")},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app"},
			blobs:     []string{"quay.io/one/app"},
		},
		"stream switched off": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(20, "x=quay.io/one/app"))},
			stream:    map[string]string{AnnotationPullThrough: "disabled"},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app (off)"},
			blobs:     []string{"quay.io/one/app (off)"},
		},
		"another value switches nothing off": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(20, "x=quay.io/one/app"))},
			stream:    map[string]string{AnnotationPullThrough: "enabled", AnnotationMirror: "yes"},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app"},
			blobs:     []string{"quay.io/one/app"},
		},
		"server switched off": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(20, "x=quay.io/one/app"))},
			policy:    policy{hosts: testHosts, mirror: true},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app (off)"},
			blobs:     []string{"quay.io/one/app (off)"},
		},
		"not mirrored": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=quay.io/one/app")),
				tagged("b", items(10, "y=quay.io/two/app")),
			},
			spec:      []imagev1.TagReference{specTag("a", false, AnnotationMirror, "disabled")},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app~"},
			blobs:     []string{"quay.io/one/app~", "quay.io/two/app~"},
		},
		"mirrored for another tag": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=quay.io/one/app")),
				tagged("b", items(10, "x=quay.io/one/app")),
			},
			spec:      []imagev1.TagReference{specTag("a", false, AnnotationMirror, "disabled")},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app"},
			blobs:     []string{"quay.io/one/app"},
		},
		"server does not mirror": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(20, "x=quay.io/one/app"))},
			policy:    policy{hosts: testHosts, pullThrough: true},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app~"},
			blobs:     []string{"quay.io/one/app~"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := imageStream(test.tags...)
			s.Spec.Tags, s.Annotations = test.spec, test.stream
			s.Status.PublicDockerImageRepository = "shown.test/ns/app"
			trim(s)
			p := test.policy
			if p.hosts.Internal == "" {
				p = policy{hosts: testHosts, pullThrough: true, mirror: true}
			}
			h := newHistory(versionOf(1, s), p)
			var asked []digest.Digest
			for _, name := range test.ask {
				asked = append(asked, id(name))
			}
			if diff := cmp.Diff(test.manifests, shown(h.manifestSources(asked))); diff != "" {
				t.Errorf("manifests (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.blobs, shown(h.blobSources(asked))); diff != "" {
				t.Errorf("blobs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOwnHosts(t *testing.T) {
	followed := &imagev1.ImageStream{
		Spec:   imagev1.ImageStreamSpec{DockerImageRepository: "quay.io/team/app"},
		Status: imagev1.ImageStreamStatus{DockerImageRepository: "quay.io/team/app"},
	}
	if got := ownHosts(followed, stream.Registries{Internal: ownHost}); !slices.Equal(got, []string{ownHost}) {
		t.Errorf("own hosts are %v: the API shows where the stream follows", got)
	}
	served := &imagev1.ImageStream{Status: imagev1.ImageStreamStatus{DockerImageRepository: "a.test/ns/app", PublicDockerImageRepository: "b.test/ns/app"}}
	if got := ownHosts(served, testHosts); !slices.Equal(got, []string{ownHost, "registry.example.com", "b.test", "a.test"}) {
		t.Errorf("own hosts are %v", got)
	}
}

func TestTrimKeepsWhatIsRead(t *testing.T) {
	full := imageStream(tagged("b", items(2, "x=quay.io/one/app")), tagged("a", items(1, "y")))
	full.Status.Tags[0].Conditions = []imagev1.TagEventCondition{{Message: "long"}}
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	full.Labels = map[string]string{"a": "b"}
	full.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "{}", AnnotationRepository: "a/b"}
	full.Spec.Tags = []imagev1.TagReference{specTag("z", true, "description", "long", AnnotationMirror, "disabled"), specTag("a", false, "description", "long")}
	want := imageStream(tagged("b", items(2, "x=quay.io/one/app")), tagged("a", items(1, "y")))
	want.Annotations = map[string]string{AnnotationRepository: "a/b"}
	want.Spec.Tags = []imagev1.TagReference{specTag("z", true, AnnotationMirror, "disabled")}
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
		s.Name, s.Annotations = test.stream, map[string]string{AnnotationRepository: test.annotation}
		if got := repositoryOf(s); got.String() != test.want || got.Stream != test.stream {
			t.Errorf("%s: %+v, want %s", name, got, test.want)
		}
	}
}
