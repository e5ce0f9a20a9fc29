package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// What a client said of an image by a mapping is replaced by what the registry finds in
// the push, with a tag and without.
func TestPushCorrectsWhatAClientClaimed(t *testing.T) {
	for _, reference := range []string{"1", ""} {
		t.Run("tag "+reference, func(t *testing.T) {
			owner, stranger := newTenant(t), newTenant(t)
			layer := owner.blob(t, "app", "a layer of "+string(unique("claimed")))
			config := owner.blob(t, "app", fmt.Sprintf(`{"architecture":"arm64","os":"linux","author":%q}`, unique("author")))
			config.MediaType = ocispec.MediaTypeImageConfig
			manifest, content := document(t, ocispec.MediaTypeImageManifest, map[string]any{"config": config, "layers": []ocispec.Descriptor{layer}})

			name := manifest.Digest.String()
			stranger.mapImage(t, "claim", imagev1.Image{
				ObjectMeta:                   metav1.ObjectMeta{Name: name, Labels: map[string]string{"by": "evil"}, Annotations: map[string]string{"images.openshift.io/deny-execution": "true"}},
				DockerImageReference:         "evil.example.com/app@" + name,
				DockerImageManifestMediaType: ocispec.MediaTypeImageManifest,
				DockerImageMetadata:          runtime.RawExtension{Raw: fmt.Appendf(nil, `{"Id":%q,"Config":{"Entrypoint":["evil"]}}`, config.Digest)},
				DockerImageLayers:            []imagev1.ImageLayer{{Name: digest.FromString("evil").String(), LayerSize: 4, MediaType: layer.MediaType}},
			}, false)
			path := "app/manifests/" + name
			if reference != "" {
				path = "app/manifests/" + reference
			}
			owner.want(t, http.StatusCreated, http.MethodPut, path, content, manifest.MediaType)

			img, err := env.Images.ImageV1().Images().Get(t.Context(), name, metav1.GetOptions{})
			fatal(t, err)
			text, err := json.Marshal(img)
			fatal(t, err)
			if strings.Contains(string(text), "evil") || img.Annotations["images.openshift.io/deny-execution"] != "" || img.Annotations["weir.dev/claimed-by"] != "" {
				t.Errorf("the image still shows what was claimed: %s", text)
			}
			if len(img.DockerImageLayers) != 1 || img.DockerImageLayers[0].Name != layer.Digest.String() || !strings.Contains(string(img.DockerImageMetadata.Raw), "arm64") {
				t.Errorf("the image does not show what was pushed: %s", text)
			}
			owner.want(t, http.StatusOK, http.MethodGet, "app/blobs/"+layer.Digest.String(), nil, "")
		})
	}
}
