package realinput_test

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func statusTag(s *imagev1.ImageStream, name string) *imagev1.NamedTagEventList {
	at := slices.IndexFunc(s.Status.Tags, func(tag imagev1.NamedTagEventList) bool { return tag.Tag == name })
	if at < 0 {
		return nil
	}
	return &s.Status.Tags[at]
}

func specTag(s *imagev1.ImageStream, name string) *imagev1.TagReference {
	at := slices.IndexFunc(s.Spec.Tags, func(tag imagev1.TagReference) bool { return tag.Name == name })
	if at < 0 {
		return nil
	}
	return &s.Spec.Tags[at]
}

// verify compares a stream whose imports are done with the file that it came from.
// A stream is made at generation 1, and each import brings it one further: there is one
// for each registry host that its tags name, so that none waits for another. An imported
// tag and its event are at the generation of its import; what follows it has its event.
func (w world) verify(t *testing.T, wanted, got *imagev1.ImageStream) {
	if last := int64(1 + len(hostsOf(wanted))); got.Generation < 2 || got.Generation > last {
		t.Errorf("generation %d, want 2 to %d", got.Generation, last)
	}
	repository := integrated + "/" + got.Namespace + "/" + got.Name
	if got.Status.DockerImageRepository != repository {
		t.Errorf("status.dockerImageRepository %q, want %q", got.Status.DockerImageRepository, repository)
	}
	if len(got.Spec.Tags) != len(wanted.Spec.Tags) || len(got.Status.Tags) != len(wanted.Spec.Tags) {
		t.Errorf("%d spec tags and %d status tags for %d tags", len(got.Spec.Tags), len(got.Status.Tags), len(wanted.Spec.Tags))
	}
	for i := range wanted.Spec.Tags {
		tag := &wanted.Spec.Tags[i]
		event := w.verifyTag(t, tag, got)
		if event == nil {
			continue
		}
		if tag.From.Kind == "DockerImage" {
			w.verifyImported(t, tag, event)
		} else if source := statusTag(got, tag.From.Name); source == nil || *event != source.Items[0] {
			t.Errorf("tag %s has %+v, what it follows has %+v", tag.Name, *event, source)
		}
		w.verifyView(t, got, tag, event)
	}
}

// verifyTag compares the tag's spec, and returns its only event.
func (w world) verifyTag(t *testing.T, wanted *imagev1.TagReference, s *imagev1.ImageStream) *imagev1.TagEvent {
	t.Helper()
	spec, status := specTag(s, wanted.Name), statusTag(s, wanted.Name)
	if spec == nil || status == nil {
		t.Errorf("tag %s: spec %v, status %v", wanted.Name, spec, status)
		return nil
	}
	if len(status.Conditions) != 0 || len(status.Items) != 1 || status.Items[0].Generation < 2 || status.Items[0].Generation > s.Generation {
		t.Errorf("status of tag %s: conditions %v, events %v; want none and one of generation 2 to %d", wanted.Name, status.Conditions, status.Items, s.Generation)
		return nil
	}
	full := wanted.DeepCopy()
	full.Generation = new(int64(1))
	if wanted.From.Kind == "DockerImage" {
		full.Generation = &status.Items[0].Generation
	}
	full.ImportPolicy.ImportMode = imagev1.ImportModeLegacy
	full.ReferencePolicy.Type = cmp.Or(wanted.ReferencePolicy.Type, imagev1.SourceTagReferencePolicy)
	if diff := gocmp.Diff(full, spec); diff != "" {
		t.Errorf("spec of tag %s (-want +got):\n%s", wanted.Name, diff)
	}
	return &status.Items[0]
}

// verifyImported compares what a tag points to with what stands in the registry.
func (w world) verifyImported(t *testing.T, tag *imagev1.TagReference, event *imagev1.TagEvent) {
	t.Helper()
	upstream := w.images[inMirror(tag.From.Name)]
	if reference := repositoryOf(tag.From.Name) + "@" + upstream.digest; event.Image != upstream.digest || event.DockerImageReference != reference {
		t.Errorf("tag %s points to %s, %s; want %s, %s", tag.Name, event.Image, event.DockerImageReference, upstream.digest, reference)
		return
	}
	w.verifyImage(t, event.Image, repositoryOf(tag.From.Name), upstream.image)
}

// repositoryOf is the name as it is written, without the tag.
func repositoryOf(name string) string {
	if at := strings.LastIndex(name, ":"); at > strings.LastIndex(name, "/") {
		return name[:at]
	}
	return name
}

// metadata is what the tests look at of an image's dockerImageMetadata.
type metadata struct {
	ID           string `json:"Id"`
	Architecture string
	Size         int64
	Config       struct {
		Env, Cmd, Entrypoint []string
		Labels               map[string]string
		ExposedPorts         map[string]struct{}
	}
}

// verifyImage compares a stored Image with the image in the registry.
func (w world) verifyImage(t *testing.T, digest, repository string, upstream v1.Image) {
	t.Helper()
	image, err := w.Images.ImageV1().Images().Get(t.Context(), digest, metav1.GetOptions{})
	if err != nil {
		t.Errorf("an event names an image that cannot be read: %v", err)
		return
	}
	var got metadata
	if err := json.Unmarshal(image.DockerImageMetadata.Raw, &got); err != nil {
		t.Errorf("metadata of %s: %v", digest, err)
	}
	mediaType, _ := upstream.MediaType()
	if image.DockerImageManifestMediaType != string(mediaType) || image.DockerImageReference != repository+"@"+digest {
		t.Errorf("image of type %s, reference %s; want %s, %s", image.DockerImageManifestMediaType, image.DockerImageReference, mediaType, repository+"@"+digest)
	}
	want, layers := wantedMetadata(t, upstream)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("metadata of %s (-want +got):\n%s", digest, diff)
	}
	if diff := gocmp.Diff(layers, image.DockerImageLayers); diff != "" {
		t.Errorf("layers of %s (-want +got):\n%s", digest, diff)
	}
}

func wantedMetadata(t *testing.T, upstream v1.Image) (metadata, []imagev1.ImageLayer) {
	t.Helper()
	config, err := upstream.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := upstream.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	want := metadata{ID: manifest.Config.Digest.String(), Architecture: config.Architecture, Size: manifest.Config.Size}
	want.Config.Env, want.Config.Cmd, want.Config.Entrypoint = config.Config.Env, config.Config.Cmd, config.Config.Entrypoint
	want.Config.Labels, want.Config.ExposedPorts = config.Config.Labels, config.Config.ExposedPorts
	var layers []imagev1.ImageLayer
	for _, layer := range manifest.Layers {
		want.Size += layer.Size
		layers = append(layers, imagev1.ImageLayer{Name: layer.Digest.String(), LayerSize: layer.Size, MediaType: string(layer.MediaType)})
	}
	return want, layers
}

// verifyView reads the tag as an ImageStreamTag, where the reference policy shows.
func (w world) verifyView(t *testing.T, s *imagev1.ImageStream, tag *imagev1.TagReference, event *imagev1.TagEvent) {
	t.Helper()
	view, err := w.Images.ImageV1().ImageStreamTags(s.Namespace).Get(t.Context(), s.Name+":"+tag.Name, metav1.GetOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	want := event.DockerImageReference
	if tag.ReferencePolicy.Type == imagev1.LocalTagReferencePolicy {
		want = s.Status.DockerImageRepository + "@" + event.Image
	}
	if view.Image.Name != event.Image || view.Image.DockerImageReference != want {
		t.Errorf("imagestreamtag %s has image %s, reference %s; want %s, %s", view.Name, view.Image.Name, view.Image.DockerImageReference, event.Image, want)
	}
	if diff := gocmp.Diff(tag.Annotations, view.Annotations); diff != "" {
		t.Errorf("annotations of imagestreamtag %s (-want +got):\n%s", view.Name, diff)
	}
}
