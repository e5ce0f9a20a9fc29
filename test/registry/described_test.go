package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An image is described alike by its import and by its push, whatever other programs wrote into its
// configuration and into the optional fields of its manifest.
func TestImportAndPushDescribeAlike(t *testing.T) {
	for name, test := range map[string]struct {
		config   string // %s is a label that makes the image one of its own
		manifest map[string]any
	}{
		"as it should be":     {config: `{"architecture":"arm64","config":{"WorkingDir":"/srv","Labels":{"a":"b"}},"author":%q}`},
		"Entrypoint is text":  {config: `{"architecture":"arm64","config":{"WorkingDir":"/srv","Entrypoint":"/bin/app"},"author":%q}`},
		"label is a number":   {config: `{"architecture":"arm64","config":{"WorkingDir":"/srv","Labels":{"version":1,"a":"b"}},"author":%q}`},
		"created is a number": {config: `{"architecture":"arm64","config":{"WorkingDir":"/srv"},"created":7,"author":%q}`},
		"annotation is a number": {
			config:   `{"architecture":"arm64","config":{"WorkingDir":"/srv"},"author":%q}`,
			manifest: map[string]any{"annotations": map[string]any{"a": 1}, "artifactType": []int{1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, upstream := newTenant(t), newLiar(t)
			config := fmt.Sprintf(test.config, unique("author"))
			pushed := w.blob(t, "app", config)
			pushed.MediaType = ocispec.MediaTypeImageConfig
			members := map[string]any{"config": pushed, "layers": []ocispec.Descriptor{w.blob(t, "app", "layer")}}
			for key, value := range test.manifest {
				members[key] = value
			}
			d, content := document(t, ocispec.MediaTypeImageManifest, members)
			upstream.put([]byte(config), "")
			upstream.put(content, "")
			imported := imported(t, w.namespace, upstream.host+"/team/app@"+d.Digest.String())

			w.want(t, http.StatusCreated, http.MethodPut, "app/manifests/1", content, d.MediaType)
			tag, err := env.Images.ImageV1().ImageStreamTags(w.namespace).Get(t.Context(), "app:1", metav1.GetOptions{})
			fatal(t, err)
			got, want := metadataOf(t, &tag.Image), metadataOf(t, imported)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-import +push):\n%s", diff)
			}
			if got.ID != pushed.Digest.String() || got.Architecture != "arm64" || got.Config == nil || got.Config.WorkingDir != "/srv" || got.Author == "" {
				t.Errorf("described as %s", tag.Image.DockerImageMetadata.Raw)
			}
		})
	}
}

// imported is what an import says of an image, without storing it.
func imported(t *testing.T, namespace, ref string) *imagev1.Image {
	t.Helper()
	result, err := env.Images.ImageV1().ImageStreamImports(namespace).Create(t.Context(), &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"},
		Spec: imagev1.ImageStreamImportSpec{Images: []imagev1.ImageImportSpec{{
			From: corev1.ObjectReference{Kind: "DockerImage", Name: ref}, ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
		}}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	if status := result.Status.Images[0]; status.Image == nil {
		t.Fatalf("importing %s: %s", ref, status.Status.Message)
	}
	return result.Status.Images[0].Image
}

func metadataOf(t *testing.T, image *imagev1.Image) docker10.DockerImage {
	t.Helper()
	var m docker10.DockerImage
	fatal(t, json.Unmarshal(image.DockerImageMetadata.Raw, &m))
	return m
}
