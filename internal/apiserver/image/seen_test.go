package image

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/stream"
)

func TestSeenFrom(t *testing.T) {
	full := func(claimed bool) *imagev1.Image {
		img := &imagev1.Image{
			ObjectMeta: metav1.ObjectMeta{
				Name: "sha256:d", UID: "u", ResourceVersion: "7", Generation: 1,
				Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"images.openshift.io/deny-execution": "true"},
			},
			DockerImageReference:         "evil.io/x:1",
			DockerImageMetadata:          runtime.RawExtension{Raw: []byte(`{"Id":"x","Config":{"Entrypoint":["evil"]}}`)},
			DockerImageManifest:          "{}",
			DockerImageConfig:            "{}",
			DockerImageManifestMediaType: "x/y",
			DockerImageLayers:            []imagev1.ImageLayer{{Name: "l"}},
			DockerImageManifests:         []imagev1.ImageManifest{{Digest: "m"}},
			Signatures:                   []imagev1.ImageSignature{{Type: "t"}},
		}
		if claimed {
			dockerimage.Claim(img, "ns", "s")
		}
		return img
	}
	bare := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "sha256:d", UID: "u", ResourceVersion: "7"}}
	dockerimage.FillEmptyMetadata(bare)
	in := func(namespace, name string, unproven bool) *imagev1.ImageStream {
		s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if unproven {
			stream.MarkUnproven(s, "sha256:d")
		}
		return s
	}
	for name, test := range map[string]struct {
		image  *imagev1.Image
		stream *imagev1.ImageStream
		want   *imagev1.Image
	}{
		"verified":               {full(false), in("other", "other", false), full(false)},
		"verified, only named":   {full(false), in("other", "other", true), bare},
		"own claim":              {full(true), in("ns", "s", false), full(true)},
		"own claim, only named":  {full(true), in("ns", "s", true), full(true)},
		"another stream's claim": {full(true), in("ns", "other", false), bare},
		"another tenant's claim": {full(true), in("other", "s", false), bare},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, seenFrom(test.image, test.stream)); diff != "" {
				t.Errorf("seen (-want +got):\n%s", diff)
			}
		})
	}
}
