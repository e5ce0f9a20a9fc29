package imagestreamlayers

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/imageapi/dockerimage"
)

// madeUp is an image of that many layers of which all but the last are shared.
func madeUp(n, layers int) image.Found {
	name := digest.FromString(fmt.Sprint("image ", n)).String()
	img := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: name}, DockerImageManifestMediaType: dockerimage.MediaTypeOCIManifest}
	for i := range layers {
		of := 0
		if i == layers-1 {
			of = n
		}
		img.DockerImageLayers = append(img.DockerImageLayers, imagev1.ImageLayer{Name: digest.FromString(fmt.Sprint(of, i)).String(), LayerSize: int64(i), MediaType: "x/y"})
	}
	img.DockerImageMetadata = runtime.RawExtension{Raw: fmt.Appendf(nil, `{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"config-%d",
		"Created":"2020-01-02T03:04:05Z","ContainerConfig":{},"DockerVersion":"20.10","Config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
		"Cmd":["sh"],"Labels":{"a":"b","c":"d"}},"Architecture":"amd64","Size":1234}`, n)}
	return image.Found{Name: name, Image: img}
}

func TestLayersOfSharesBlobs(t *testing.T) {
	a, b := madeUp(1, 3), madeUp(2, 3)
	got := layersOf(&imagev1.ImageStream{}, []image.Found{a, b})
	if len(got.Blobs) != 2+2+2+2 { // manifests, configurations, shared layers, own layers
		t.Errorf("%d blobs: %v", len(got.Blobs), got.Blobs)
	}
	var names []string
	for _, layer := range a.Image.DockerImageLayers {
		names = append(names, layer.Name)
	}
	if diff := cmp.Diff(names, got.Images[a.Name].Layers); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
	if size := got.Blobs[names[2]].LayerSize; size == nil || *size != 2 {
		t.Errorf("size of the last layer: %v", size)
	}
}

func TestLayersOfKeepsARepeatedLayerInPlace(t *testing.T) {
	f := madeUp(1, 1)
	f.Image.DockerImageLayers = append(f.Image.DockerImageLayers, f.Image.DockerImageLayers[0])
	got := layersOf(&imagev1.ImageStream{}, []image.Found{f})
	if len(got.Images[f.Name].Layers) != 2 {
		t.Errorf("layers %v", got.Images[f.Name].Layers)
	}
}

func TestLayersOfImageWhoseMetadataCannotBeRead(t *testing.T) {
	for name, text := range map[string]string{"none": "", "no id": `{"Id":""}`, "damaged": `{"Id":`} {
		t.Run(name, func(t *testing.T) {
			bad, good := madeUp(1, 1), madeUp(2, 1)
			bad.Image.DockerImageMetadata.Raw = []byte(text)
			got := layersOf(&imagev1.ImageStream{}, []image.Found{bad, good})
			if got.Images[bad.Name].Config != nil || len(got.Images[bad.Name].Layers) != 1 {
				t.Errorf("the bad image: %+v", got.Images[bad.Name])
			}
			if config := got.Images[good.Name].Config; config == nil || *config != "config-2" {
				t.Errorf("the good image's config: %v", config)
			}
			if _, found := got.Blobs[""]; found {
				t.Error("a blob without a name")
			}
		})
	}
}

func BenchmarkLayersOf(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var found []image.Found
			for i := range n {
				found = append(found, madeUp(i, 12))
			}
			b.ReportAllocs()
			for b.Loop() {
				layersOf(&imagev1.ImageStream{}, found)
			}
		})
	}
}
