package dockerimage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var now = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

const config = `{"created":"2020-01-02T03:04:05.678Z","architecture":"amd64","os":"linux","author":"me",
	"config":{"Env":["T=ok"],"Cmd":["run"],"Labels":{"a":"b"},"StopSignal":"x"},
	"rootfs":{"type":"layers"},"history":[{}]}`

var configDigest = digest.FromString(config).String()

func schema2(mediaType string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":%q,"size":%d},
	"layers":[{"mediaType":"m1","digest":"sha256:base","size":10},{"mediaType":"m2","digest":"sha256:top","size":5},{"mediaType":"m1","digest":"sha256:base","size":10}]}`,
		mediaType, configDigest, len(config))
}

const schema1 = `{"schemaVersion":1,"name":"x","fsLayers":[{"blobSum":"sha256:top"},{"blobSum":"sha256:base"}],
	"history":[{"v1Compatibility":"{\"id\":\"v1id\",\"Size\":7,\"architecture\":\"arm64\",\"config\":{\"User\":\"u\"}}"},{"v1Compatibility":"{\"id\":\"p\",\"Size\":3}"}]}`

const list = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[
	{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"sha256:a","size":100,"platform":{"architecture":"arm","os":"linux","variant":"v7"}},
	{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"sha256:b","size":200,"platform":{"architecture":"amd64","os":"linux"}}]}`

const wantList = `{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"sha256:name","Created":"2026-02-03T04:05:06Z","ContainerConfig":{}}`

var wantManifests = []imagev1.ImageManifest{
	{Digest: "sha256:a", MediaType: MediaTypeSchema2, ManifestSize: 100, Architecture: "arm", OS: "linux", Variant: "v7"},
	{Digest: "sha256:b", MediaType: MediaTypeSchema2, ManifestSize: 200, Architecture: "amd64", OS: "linux"},
}

func wantFromConfig() string {
	return fmt.Sprintf(`{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":%q,"Created":"2020-01-02T03:04:05Z","ContainerConfig":{},"Author":"me",`+
		`"Config":{"Env":["T=ok"],"Cmd":["run"],"Labels":{"a":"b"}},"Architecture":"amd64","Size":%d}`, configDigest, len(config)+15)
}

func named(img imagev1.Image) *imagev1.Image {
	img.Name = "sha256:name"
	return &img
}

func ascending() metav1.ObjectMeta {
	return metav1.ObjectMeta{Annotations: map[string]string{imagev1.DockerImageLayersOrderAnnotation: "ascending"}}
}

func layerNames(img *imagev1.Image) string {
	var names []string
	for _, l := range img.DockerImageLayers {
		names = append(names, strings.TrimPrefix(l.Name, "sha256:"))
	}
	return strings.Join(names, " ")
}

func TestFillSchema2(t *testing.T) {
	for name, test := range map[string]struct{ inside, declared, want string }{
		"declared inside":  {MediaTypeOCIManifest, "", MediaTypeOCIManifest},
		"inside wins":      {MediaTypeSchema2, MediaTypeOCIManifest, MediaTypeSchema2},
		"declared outside": {"", MediaTypeOCIManifest, MediaTypeOCIManifest},
		"not declared":     {"", "", MediaTypeSchema2},
	} {
		t.Run(name, func(t *testing.T) {
			img := named(imagev1.Image{DockerImageManifest: schema2(test.inside), DockerImageConfig: config, DockerImageManifestMediaType: test.declared})
			if err := Fill(img, now); err != nil {
				t.Fatal(err)
			}
			if img.DockerImageManifestMediaType != test.want {
				t.Errorf("media type %q, want %q", img.DockerImageManifestMediaType, test.want)
			}
			if diff := cmp.Diff(wantFromConfig(), string(img.DockerImageMetadata.Raw)); diff != "" {
				t.Error(diff)
			}
			wantLayers := []imagev1.ImageLayer{{Name: "sha256:base", LayerSize: 10, MediaType: "m1"}, {Name: "sha256:top", LayerSize: 5, MediaType: "m2"}, {Name: "sha256:base", LayerSize: 10, MediaType: "m1"}}
			if diff := cmp.Diff(wantLayers, img.DockerImageLayers); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(ascending().Annotations, img.Annotations); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFillSchema1(t *testing.T) {
	img := named(imagev1.Image{DockerImageManifest: schema1, DockerImageManifestMediaType: MediaTypeSchema1Signed})
	if err := Fill(img, now); err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"v1id","Created":null,"ContainerConfig":{},"Config":{"User":"u"},"Architecture":"arm64","Size":10}`
	if diff := cmp.Diff(want, string(img.DockerImageMetadata.Raw)); diff != "" {
		t.Error(diff)
	}
	wantLayers := []imagev1.ImageLayer{
		{Name: "sha256:base", LayerSize: 3, MediaType: mediaTypeSchema1Layer},
		{Name: "sha256:top", LayerSize: 7, MediaType: mediaTypeSchema1Layer},
	}
	if diff := cmp.Diff(wantLayers, img.DockerImageLayers); diff != "" {
		t.Error(diff)
	}
	if img.DockerImageManifestMediaType != MediaTypeSchema1 {
		t.Errorf("media type %q", img.DockerImageManifestMediaType)
	}
}

func TestFillLists(t *testing.T) {
	index := strings.Replace(list, `"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json",`, "", 1)
	for name, test := range map[string]struct {
		manifest, declared string
		manifests          []imagev1.ImageManifest
	}{
		"declared":                    {list, MediaTypeManifestList, wantManifests},
		"not declared: nothing built": {list, "", nil},
		"index without type inside":   {index, MediaTypeOCIIndex, wantManifests},
		"index with type inside":      {strings.Replace(list, "vnd.docker.distribution.manifest.list.v2", "vnd.oci.image.index.v1", 1), MediaTypeOCIIndex, wantManifests},
	} {
		t.Run(name, func(t *testing.T) {
			img := named(imagev1.Image{DockerImageManifest: test.manifest, DockerImageManifestMediaType: test.declared})
			if err := Fill(img, now); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantList, string(img.DockerImageMetadata.Raw)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.manifests, img.DockerImageManifests); diff != "" {
				t.Error(diff)
			}
			if img.DockerImageManifestMediaType != test.declared {
				t.Errorf("media type became %q", img.DockerImageManifestMediaType)
			}
			if len(img.DockerImageLayers) > 0 || len(img.Annotations) > 0 {
				t.Errorf("layers %v, annotations %v", img.DockerImageLayers, img.Annotations)
			}
		})
	}
}

func TestLayerOrder(t *testing.T) {
	for name, test := range map[string]struct {
		mediaType, annotation, want, marked string
	}{
		"schema2 is assumed descending": {MediaTypeSchema2, "", "b a", "ascending"},
		"oci is assumed descending":     {MediaTypeOCIManifest, "", "b a", "ascending"},
		"schema1 is assumed ascending":  {MediaTypeSchema1, "", "a b", "ascending"},
		"signed schema1":                {MediaTypeSchema1Signed, "", "a b", "ascending"},
		"other types are left":          {"x/y", "", "a b", ""},
		"no type is left":               {"", "", "a b", ""},
		"told descending":               {"x/y", "descending", "b a", "ascending"},
		"told ascending":                {MediaTypeSchema2, "ascending", "a b", "ascending"},
		"told nonsense":                 {MediaTypeSchema2, "sideways", "a b", "sideways"},
	} {
		t.Run(name, func(t *testing.T) {
			img := named(imagev1.Image{
				DockerImageManifest: schema2(""), DockerImageConfig: config, DockerImageManifestMediaType: test.mediaType,
				DockerImageLayers: []imagev1.ImageLayer{{Name: "a"}, {Name: "b"}},
			})
			if test.annotation != "" {
				img.Annotations = map[string]string{imagev1.DockerImageLayersOrderAnnotation: test.annotation}
			}
			if err := Fill(img, now); err != nil {
				t.Fatal(err)
			}
			if got := layerNames(img); got != test.want {
				t.Errorf("layers %q, want %q", got, test.want)
			}
			if got := img.Annotations[imagev1.DockerImageLayersOrderAnnotation]; got != test.marked {
				t.Errorf("annotation %q, want %q", got, test.marked)
			}
		})
	}
	t.Run("without manifest text nothing is touched", func(t *testing.T) {
		img := named(imagev1.Image{DockerImageManifestMediaType: MediaTypeSchema2, DockerImageLayers: []imagev1.ImageLayer{{Name: "a"}, {Name: "b"}}})
		if err := Fill(img, now); err != nil {
			t.Fatal(err)
		}
		if got := layerNames(img); got != "a b" || len(img.Annotations) > 0 {
			t.Errorf("layers %q, annotations %v", got, img.Annotations)
		}
	})
}

func TestFillStopsWhenAllIsSet(t *testing.T) {
	img := named(imagev1.Image{
		ObjectMeta: ascending(), DockerImageManifest: schema2(MediaTypeOCIManifest), DockerImageManifestMediaType: MediaTypeSchema2,
		DockerImageLayers: []imagev1.ImageLayer{{Name: "a"}},
	})
	img.DockerImageMetadata.Raw = []byte(`{"Id":"mine","Size":1}`)
	if err := Fill(img, now); err != nil {
		t.Fatal(err) // without the stop: there is no config
	}
	want := `{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"mine","Created":null,"ContainerConfig":{},"Size":1}`
	if diff := cmp.Diff(want, string(img.DockerImageMetadata.Raw)); diff != "" {
		t.Error(diff)
	}
	if img.DockerImageManifestMediaType != MediaTypeSchema2 {
		t.Errorf("media type became %q", img.DockerImageManifestMediaType)
	}
}

func TestUnreadableTextStillStores(t *testing.T) {
	for name, img := range map[string]*imagev1.Image{
		"no JSON":              named(imagev1.Image{DockerImageManifest: "nonsense"}),
		"schemaVersion 3":      named(imagev1.Image{DockerImageManifest: `{"schemaVersion":3}`}),
		"no config":            named(imagev1.Image{DockerImageManifest: schema2("")}),
		"bad config":           named(imagev1.Image{DockerImageManifest: schema2(""), DockerImageConfig: "["}),
		"counts differ":        named(imagev1.Image{DockerImageManifest: `{"schemaVersion":1,"fsLayers":[{"blobSum":"a"}],"history":[]}`}),
		"no history":           named(imagev1.Image{DockerImageManifest: `{"schemaVersion":1}`}),
		"history is no JSON":   named(imagev1.Image{DockerImageManifest: `{"schemaVersion":1,"fsLayers":[{"blobSum":"a"}],"history":[{"v1Compatibility":"x"}]}`}),
		"negative layer size":  named(imagev1.Image{DockerImageManifest: `{"schemaVersion":2,"layers":[{"size":-1}]}`}),
		"Layers behind layers": named(imagev1.Image{DockerImageManifest: strings.TrimSuffix(schema2(""), "}") + `,"Layers":[]}`, DockerImageConfig: config}),
		"config twice":         named(imagev1.Image{DockerImageManifest: strings.TrimSuffix(schema2(""), "}") + `,"config":{}}`, DockerImageConfig: config}),
		"image and list":       named(imagev1.Image{DockerImageManifest: strings.TrimSuffix(schema2(""), "}") + `,"manifests":[]}`, DockerImageConfig: config}),
		"negative entry size":  named(imagev1.Image{DockerImageManifest: `{"schemaVersion":2,"manifests":[{"size":-1}]}`}),
	} {
		t.Run(name, func(t *testing.T) {
			err := Fill(img, now)
			if err == nil || !strings.Contains(err.Error(), "sha256:name") {
				t.Errorf("error %v, want one that names the image", err)
			}
			want := `{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"","Created":null,"ContainerConfig":{}}`
			if diff := cmp.Diff(want, string(img.DockerImageMetadata.Raw)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBlobStoredBlanksText(t *testing.T) {
	img := named(imagev1.Image{DockerImageManifest: schema2(""), DockerImageConfig: config})
	img.Annotations = map[string]string{imagev1.ImageManifestBlobStoredAnnotation: "true"}
	if err := Fill(img, now); err != nil {
		t.Fatal(err)
	}
	if img.DockerImageManifest != "" || img.DockerImageConfig != "" {
		t.Error("text was kept")
	}
	if len(img.DockerImageLayers) != 3 || string(img.DockerImageMetadata.Raw) != wantFromConfig() {
		t.Error("text was dropped before it was read")
	}
	img = named(imagev1.Image{DockerImageManifest: schema2(""), DockerImageConfig: config})
	img.Annotations = map[string]string{imagev1.ImageManifestBlobStoredAnnotation: "yes"}
	if err := Fill(img, now); err != nil || img.DockerImageManifest == "" {
		t.Error("only true means true")
	}
}

func TestManagedSignatureMarkIsRemoved(t *testing.T) {
	img := named(imagev1.Image{Signatures: []imagev1.ImageSignature{{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{AnnotationManagedSignature: "true", "other": "x"}}}}})
	if err := Fill(img, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"other": "x"}, img.Signatures[0].Annotations); diff != "" {
		t.Error(diff)
	}
}
