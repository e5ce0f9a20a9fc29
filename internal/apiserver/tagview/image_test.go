package tagview

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

func TestImage(t *testing.T) {
	s := &imagev1.ImageStream{Status: imagev1.ImageStreamStatus{DockerImageRepository: "reg.svc:5000/p/s"}}
	head := &imagev1.TagEvent{Image: "sha256:d1", DockerImageReference: "q.io/x@sha256:d1"}
	local := &imagev1.TagReference{ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.LocalTagReferencePolicy}}
	stored := &imagev1.Image{
		ObjectMeta:                 metav1.ObjectMeta{Name: "sha256:d1", UID: "u", Annotations: map[string]string{"a": "image", "b": "image"}},
		DockerImageReference:       "q.io/elsewhere@sha256:d1",
		DockerImageMetadata:        runtime.RawExtension{Raw: []byte(`{"Id":"x"}`)},
		DockerImageMetadataVersion: "1.0",
		DockerImageManifest:        "{}",
		DockerImageConfig:          "{}",
		DockerImageLayers:          []imagev1.ImageLayer{{Name: "l"}},
	}
	shown := func(ref string, annotations map[string]string) imagev1.Image {
		return imagev1.Image{
			ObjectMeta:                 metav1.ObjectMeta{Name: "sha256:d1", UID: "u", Annotations: annotations},
			DockerImageReference:       ref,
			DockerImageMetadata:        stored.DockerImageMetadata,
			DockerImageMetadataVersion: "1.0",
			DockerImageLayers:          stored.DockerImageLayers,
		}
	}
	named := undescribed
	named.Name, named.DockerImageReference = "sha256:d1", "reg.svc:5000/p/s@sha256:d1"
	mere := undescribed
	mere.DockerImageReference = "q.io/x:1"
	for name, test := range map[string]struct {
		specTag *imagev1.TagReference
		head    *imagev1.TagEvent
		img     *imagev1.Image
		want    imagev1.Image
	}{
		"no head":            {local, nil, nil, undescribed},
		"source":             {nil, head, stored, shown("q.io/x@sha256:d1", stored.Annotations)},
		"local":              {local, head, stored, shown("reg.svc:5000/p/s@sha256:d1", stored.Annotations)},
		"local, name only":   {local, head, nil, named},
		"local, a reference": {local, &imagev1.TagEvent{DockerImageReference: "q.io/x:1"}, nil, mere},
		"annotations of the tag": {
			&imagev1.TagReference{Annotations: map[string]string{"b": "tag", "c": "tag"}}, head, stored,
			shown("q.io/x@sha256:d1", stored.Annotations),
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := stored.DeepCopy()
			if diff := cmp.Diff(test.want, Image(s, test.specTag, test.head, test.img)); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, stored); diff != "" {
				t.Errorf("the stored image was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestUndescribedImageNeedsNoCompletion(t *testing.T) {
	if img := undescribed; dockerimage.LacksMetadata(&img) {
		t.Errorf("the encoder would complete %+v", img)
	}
}
