package registryclients_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/reference"
)

// stream is an image stream of the namespace.
func (p *project) stream(t testing.TB, name string) *imagev1.ImageStream {
	t.Helper()
	stream, err := env.Images.ImageV1().ImageStreams(p.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("the stream of a push: %v", err)
	}
	return stream
}

// history expects the digests that a stream has for a tag, newest first.
func (p *project) history(t testing.TB, path, tag string, want ...string) {
	t.Helper()
	var digests []string
	for _, s := range p.stream(t, streamOf(path)).Status.Tags {
		if s.Tag == tag {
			for _, item := range s.Items {
				digests = append(digests, item.Image)
			}
		}
	}
	if diff := cmp.Diff(want, digests); diff != "" {
		t.Errorf("history of %s:%s (-want +got):\n%s", path, tag, diff)
	}
}

// pushed expects that the API knows of a push, and returns the manifest that the tag
// leads to: the newest event of the stream's tag says that image, and the Image says
// what the manifest does.
func (p *project) pushed(t testing.TB, path, tag string) manifest {
	t.Helper()
	m := p.manifest(t, path, tag)
	stream := p.stream(t, streamOf(path))
	repository := p.ref(stream.Name)
	if stream.Status.DockerImageRepository != repository {
		t.Errorf("the stream's repository is %q, want %q", stream.Status.DockerImageRepository, repository)
	}
	if stream.Name != path {
		p.nested(t, path, tag, stream, m)
	}
	at := slices.IndexFunc(stream.Status.Tags, func(s imagev1.NamedTagEventList) bool { return s.Tag == tag })
	if at < 0 || len(stream.Status.Tags[at].Items) == 0 {
		t.Fatalf("the stream %s has no tag %s: %+v", stream.Name, tag, stream.Status.Tags)
	}
	newest := stream.Status.Tags[at].Items[0]
	if want := repository + "@" + m.digest; newest.Image != m.digest || newest.DockerImageReference != want {
		t.Errorf("the newest event of %s:%s is %+v, want %s", path, tag, newest, want)
	}
	if len(stream.Spec.Tags) > 0 {
		t.Errorf("a push wrote spec.tags: %+v", stream.Spec.Tags)
	}
	p.recorded(t, m)
	return m
}

// nested expects that a stream whose name is an escaped path tells the path, and that
// the stream's own name leads to the same manifests.
func (p *project) nested(t testing.TB, path, tag string, stream *imagev1.ImageStream, m manifest) {
	t.Helper()
	if got := stream.Annotations["weir.dev/repository"]; got != path {
		t.Errorf("the stream %s tells the path %q, want %q", stream.Name, got, path)
	}
	if got := p.manifest(t, stream.Name, tag); got.digest != m.digest {
		t.Errorf("%s:%s leads to %s, %s:%s to %s", stream.Name, tag, got.digest, path, tag, m.digest)
	}
}

// streamOf is the name of the stream of a path such as charts/web.
func streamOf(path string) string { return reference.StreamName(path) }

// recorded expects the Image of a manifest, as pushes make them.
func (p *project) recorded(t testing.TB, m manifest) {
	t.Helper()
	img, err := env.Images.ImageV1().Images().Get(t.Context(), m.digest, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("the Image of a push: %v", err)
	}
	order := "ascending"
	if len(m.Manifests) > 0 {
		order = ""
	}
	for name, want := range map[string]string{
		imagev1.ManagedByOpenShiftAnnotation:      "true",
		imagev1.ImageManifestBlobStoredAnnotation: "true",
		imagev1.DockerImageLayersOrderAnnotation:  order,
	} {
		if got, there := img.Annotations[name]; !there || got != want {
			t.Errorf("the annotation %s of %s is %q, want %q", name, m.digest, got, want)
		}
	}
	if img.DockerImageManifest != "" || img.DockerImageConfig != "" {
		t.Errorf("the Image %s holds the manifest or the configuration, which belong in the blob storage", m.digest)
	}
	if img.DockerImageManifestMediaType != m.mediaType {
		t.Errorf("the Image's media type is %q, the manifest's %q", img.DockerImageManifestMediaType, m.mediaType)
	}
	var layers []imagev1.ImageLayer
	for _, l := range m.Layers {
		layers = append(layers, imagev1.ImageLayer{Name: l.Digest.String(), LayerSize: l.Size, MediaType: l.MediaType})
	}
	if diff := cmp.Diff(layers, img.DockerImageLayers); diff != "" {
		t.Errorf("layers of the Image %s (-manifest +Image):\n%s", m.digest, diff)
	}
	var children, want []string
	for _, c := range img.DockerImageManifests {
		children = append(children, fmt.Sprintf("%s %s %d", c.Digest, c.MediaType, c.ManifestSize))
	}
	for i, c := range m.Manifests {
		want = append(want, fmt.Sprintf("%s %s %d", c.Digest, c.MediaType, c.Size))
		if c.Platform == nil || i >= len(img.DockerImageManifests) {
			continue
		}
		if got := img.DockerImageManifests[i]; got.OS != c.Platform.OS || got.Architecture != c.Platform.Architecture {
			t.Errorf("the manifest %s is for %s/%s in the Image, for %+v in the index", c.Digest, got.OS, got.Architecture, *c.Platform)
		}
	}
	if diff := cmp.Diff(want, children); diff != "" {
		t.Errorf("manifests of the Image %s (-manifest +Image):\n%s", m.digest, diff)
	}
}

// referrer expects the Image of an artifact to say what it refers to.
func (p *project) referrer(t testing.TB, subject string, m manifest) {
	t.Helper()
	img, err := env.Images.ImageV1().Images().Get(t.Context(), m.digest, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("the Image of a referrer: %v", err)
	}
	if got := img.Annotations["weir.dev/subject"]; got != subject {
		t.Errorf("the Image of the referrer %s has the subject %q, want %s", m.digest, got, subject)
	}
}

// signedInAPI expects an Image to have so many signatures.
func (p *project) signedInAPI(t testing.TB, digest string, want int) {
	t.Helper()
	img, err := env.Images.ImageV1().Images().Get(t.Context(), digest, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(img.Signatures) != want {
		t.Errorf("the Image %s has the signatures %+v, want %d", digest, img.Signatures, want)
	}
}
