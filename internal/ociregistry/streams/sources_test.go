package streams

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/stream"
)

// shown are sources as "repository", with "!" for insecure, "~" for not mirrored and
// "here" for those of this registry.
func shown(sources []ociregistry.Source) []string {
	var texts []string
	for _, s := range sources {
		text := s.Ref.String()
		if s.Insecure {
			text += "!"
		}
		switch {
		case s.Disabled && s.Mirror:
			text += " is off and kept"
		case s.Disabled:
			text += " (off)"
		case !s.Mirror:
			text += "~"
		}
		if s.Local {
			text += " here"
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
			manifests: []string{ownHost + "/other/app~ here"},
			blobs:     []string{ownHost + "/other/app~ here"},
		},
		"a repository of this registry is one under all names": {
			tags: []imagev1.NamedTagEventList{tagged("a", items(9, "x=shown.test/other/app", "x="+ownHost+"/other/app", "x=registry.example.com/other/app", "x=before.test:5000/other/app"))},
			policy: policy{
				hosts:       stream.Registries{Internal: ownHost, Public: "registry.example.com", Former: []string{"before.test:5000"}},
				pullThrough: true, mirror: true,
			},
			ask:       []string{"x"},
			manifests: []string{ownHost + "/other/app~ here"},
			blobs:     []string{ownHost + "/other/app~ here"},
		},
		"a remembered name, until then": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(10, "x=remembered.test/other/app", "x=remembered.test/ns/app"))},
			policy:    remembering(10),
			ask:       []string{"x"},
			manifests: []string{ownHost + "/other/app~ here"},
			blobs:     []string{ownHost + "/other/app~ here"},
		},
		"a remembered name, since then": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(12, "x=remembered.test/other/app", "x=remembered.test/ns/app"))},
			policy:    remembering(10),
			ask:       []string{"x"},
			manifests: []string{"remembered.test/other/app", "remembered.test/ns/app"},
			blobs:     []string{"remembered.test/other/app", "remembered.test/ns/app"},
		},
		"a remembered name, before and after": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(11, "x=remembered.test/other/app", "x=remembered.test/other/app"))},
			policy:    remembering(10),
			ask:       []string{"x"},
			manifests: []string{"remembered.test/other/app", ownHost + "/other/app~ here"},
			blobs:     []string{"remembered.test/other/app", ownHost + "/other/app~ here"},
		},
		"a reference of this registry that is no stream's": {
			tags: []imagev1.NamedTagEventList{tagged("a", items(9, "x="+ownHost+"/app"))},
			ask:  []string{"x"},
		},
		"a nested repository": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(9, "x="+ownHost+"/a/b/c"))},
			ask:       []string{"x"},
			manifests: []string{ownHost + "/a/b/c~ here"},
			blobs:     []string{ownHost + "/a/b/c~ here"},
		},
		"tag switched off": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=quay.io/one/app")),
				tagged("b", items(10, "y=quay.io/one/app")),
			},
			spec:      []imagev1.TagReference{specTag("a", false, annotationPullThrough, "disabled")},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app (off)"},
			blobs:     []string{"quay.io/one/app (off)"},
		},
		"another tag with the same image is not switched off": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=quay.io/one/app")),
				tagged("b", items(10, "x=quay.io/two/app")),
			},
			spec:      []imagev1.TagReference{specTag("a", false, annotationPullThrough, "disabled")},
			ask:       []string{"x"},
			manifests: []string{"quay.io/two/app", "quay.io/one/app (off)"},
			blobs:     []string{"quay.io/two/app", "quay.io/one/app (off)"},
		},
		"what is switched off is no help to others": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=quay.io/one/app")),
				tagged("b", items(10, "y=quay.io/two/app")),
			},
			spec:      []imagev1.TagReference{specTag("b", false, annotationPullThrough, "disabled")},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app"},
			blobs:     []string{"quay.io/one/app"},
		},
		"stream switched off": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(20, "x=quay.io/one/app"))},
			stream:    map[string]string{annotationPullThrough: "disabled"},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app (off)"},
			blobs:     []string{"quay.io/one/app (off)"},
		},
		"another value switches nothing off": {
			tags:      []imagev1.NamedTagEventList{tagged("a", items(20, "x=quay.io/one/app"))},
			stream:    map[string]string{annotationPullThrough: "enabled", annotationMirror: "yes"},
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
			spec:      []imagev1.TagReference{specTag("a", false, annotationMirror, "disabled")},
			ask:       []string{"x"},
			manifests: []string{"quay.io/one/app~"},
			blobs:     []string{"quay.io/one/app~", "quay.io/two/app~"},
		},
		"mirrored for another tag": {
			tags: []imagev1.NamedTagEventList{
				tagged("a", items(20, "x=quay.io/one/app")),
				tagged("b", items(10, "x=quay.io/one/app")),
			},
			spec:      []imagev1.TagReference{specTag("a", false, annotationMirror, "disabled")},
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

// remembering is a policy with a name of this registry until n seconds after the epoch.
func remembering(n int) policy {
	return policy{
		hosts:       stream.Registries{Internal: ownHost, Remembered: map[string]time.Time{"remembered.test": at(n).Time}},
		pullThrough: true, mirror: true,
	}
}
