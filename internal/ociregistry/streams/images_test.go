package streams

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/ociregistry"
)

func TestImageFacts(t *testing.T) {
	withoutSizes := plain("old", "layer")
	withoutSizes.DockerImageManifestMediaType, withoutSizes.DockerImageLayers[0].LayerSize = dockerimage.MediaTypeSchema1, 0
	docker := plain("docker")
	docker.DockerImageManifestMediaType = dockerimage.MediaTypeSchema2
	for name, test := range map[string]struct {
		image *imagev1.Image
		want  ociregistry.Image
	}{
		"oci": {plain("oci", "one", "two"), ociregistry.Image{Blobs: []ociregistry.Part{
			{Digest: id("oci-config"), MediaType: dockerimage.MediaTypeOCIImageConfig, Size: -1},
			{Digest: id("one"), MediaType: "layer/type", Size: 1}, {Digest: id("two"), MediaType: "layer/type", Size: 2},
		}}},
		"schema 2": {docker, ociregistry.Image{Blobs: []ociregistry.Part{{Digest: id("docker-config"), MediaType: dockerimage.MediaTypeSchema2Config, Size: -1}}}},
		"schema 1": {withoutSizes, ociregistry.Image{Blobs: []ociregistry.Part{{Digest: id("layer"), MediaType: "layer/type", Size: -1}}}},
		"list": {list("list", "a", "b"), ociregistry.Image{Children: []ociregistry.Part{
			{Digest: id("a"), MediaType: dockerimage.MediaTypeOCIManifest, Size: 77}, {Digest: id("b"), MediaType: dockerimage.MediaTypeOCIManifest, Size: 77},
		}}},
		"nothing": {&imagev1.Image{}, ociregistry.Image{}},
	} {
		test.want.Digest = id(name)
		test.image.Name = id(name).String()
		if diff := cmp.Diff(&test.want, imageFacts(test.image)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestImagesAreReadOnce(t *testing.T) {
	w, c := newWorld(plain("x", "layer")), newClock()
	i := newImages(w.get, nil, c.Now)
	for range 3 {
		if image, err := i.get(t.Context(), id("x")); err != nil || image.Digest != id("x") {
			t.Errorf("%+v, %v", image, err)
		}
		if image, err := i.get(t.Context(), id("late")); err != nil || image != nil {
			t.Errorf("%+v, %v", image, err)
		}
	}
	if n := w.requests(); n != 2 {
		t.Errorf("%d requests, want one for each image", n)
	}
	w.add(plain("late"))
	c.pass(absentFor)
	if image, err := i.get(t.Context(), id("late")); err != nil || image == nil {
		t.Errorf("%+v, %v", image, err)
	}
	broken := errors.New("broken")
	w.fail(broken)
	if _, err := i.get(t.Context(), id("y")); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if image, err := i.get(t.Context(), id("x")); err != nil || image == nil {
		t.Errorf("what is known: %+v, %v", image, err)
	}
	w.fail(nil)
	if image, err := i.get(t.Context(), id("y")); err != nil || image != nil {
		t.Errorf("an error is remembered: %+v, %v", image, err)
	}
}

// TestImagesThatAreMadeMeanwhile: what this process made is there at once, whatever was
// asked before.
func TestImagesThatAreMadeMeanwhile(t *testing.T) {
	w := newWorld()
	i := newImages(w.get, nil, newClock().Now)
	if image, err := i.get(t.Context(), id("x")); err != nil || image != nil {
		t.Errorf("%+v, %v", image, err)
	}
	i.add(imageFacts(plain("x")))
	if image, err := i.get(t.Context(), id("x")); err != nil || image == nil {
		t.Errorf("%+v, %v", image, err)
	}
	w.during = func() { i.add(imageFacts(plain("y"))) }
	if image, err := i.get(t.Context(), id("y")); err != nil || image == nil {
		t.Errorf("made while it was asked for: %+v, %v", image, err)
	}
}

func TestImagesShareRequests(t *testing.T) {
	const readers = 20
	w := newWorld(plain("x"))
	i := newImages(w.get, nil, newClock().Now)
	asked, release := make(chan struct{}), make(chan struct{})
	w.during = func() { close(asked); <-release }
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			if image, err := i.get(t.Context(), id("x")); err != nil || image == nil {
				t.Errorf("%+v, %v", image, err)
			}
		})
	}
	<-asked
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.get(impatient, id("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	group.Wait()
	if n := w.requests(); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
}
