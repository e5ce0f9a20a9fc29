package importer_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/testenv/testimage"
)

func metadataOf(t *testing.T, image *imagev1.Image) docker10.DockerImage {
	t.Helper()
	var m docker10.DockerImage
	if err := json.Unmarshal(image.DockerImageMetadata.Raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSingleImage(t *testing.T) {
	for _, kind := range []string{"docker", "oci"} {
		t.Run(kind, func(t *testing.T) {
			s := newServer(t)
			pushed := testimage.Image(t, "linux/amd64")
			if kind == "oci" {
				pushed = testimage.OCIImage(t, "linux/amd64")
			}
			d := s.push("s/app:1", pushed)
			result := mustImport(t, newImporter(t), importer.ImageRequest{Ref: s.ref("s/app:1"), IncludeManifest: true})

			if result.Tag != "1" || result.Unchanged || len(result.Manifests) != 0 || result.Source != s.ref("s/app") {
				t.Errorf("tag %q, unchanged %v, %d manifests, source %q", result.Tag, result.Unchanged, len(result.Manifests), result.Source)
			}
			checkImage(t, result.Image, pushed, s.ref("s/app@"+d))
			manifest, _ := pushed.RawManifest()
			config, _ := pushed.RawConfigFile()
			if result.Image.DockerImageManifest != string(manifest) || result.Image.DockerImageConfig != string(config) {
				t.Error("manifest or config text differs from what was pushed")
			}
		})
	}
}

func checkImage(t *testing.T, image *imagev1.Image, pushed v1.Image, ref string) {
	t.Helper()
	manifest, err := pushed.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, _ := pushed.RawConfigFile()
	size := int64(len(config))
	var layers []imagev1.ImageLayer
	for _, l := range manifest.Layers {
		layers = append(layers, imagev1.ImageLayer{Name: l.Digest.String(), LayerSize: l.Size, MediaType: string(l.MediaType)})
		size += l.Size
	}
	if diff := cmp.Diff(layers, image.DockerImageLayers); diff != "" {
		t.Errorf("layers (-pushed +imported):\n%s", diff)
	}
	m := metadataOf(t, image)
	if m.ID != manifest.Config.Digest.String() || m.Size != size || m.Architecture != "amd64" || m.Config == nil || m.Config.Env[0] != "T=ok" {
		t.Errorf("metadata %s; want Id %s, Size %d", image.DockerImageMetadata.Raw, manifest.Config.Digest, size)
	}
	if !strings.HasPrefix(string(image.DockerImageMetadata.Raw), `{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":`) {
		t.Errorf("metadata is not in canonical form: %s", image.DockerImageMetadata.Raw)
	}
	want := &imagev1.Image{
		DockerImageReference:         ref,
		DockerImageMetadataVersion:   "1.0",
		DockerImageManifestMediaType: string(manifest.MediaType),
	}
	want.Name = testimage.Digest(t, pushed)
	want.Annotations = map[string]string{"image.openshift.io/dockerLayersOrder": "ascending"}
	rest := image.DeepCopy()
	rest.DockerImageLayers, rest.DockerImageMetadata.Raw = nil, nil
	rest.DockerImageManifest, rest.DockerImageConfig = "", ""
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Errorf("image (-want +imported):\n%s", diff)
	}
}

func TestTextOnlyWhereAskedFor(t *testing.T) {
	s := newServer(t)
	list, _ := testimage.ListOf(t, "application/vnd.oci.image.index.v1+json", "linux/amd64", "linux/arm64")
	s.push("x:list", list)
	s.push("x:1", testimage.Image(t, "linux/amd64"))
	i := newImporter(t)
	request := func(include, without bool) importer.Result {
		return i.Import(t.Context(), importer.Request{WithoutText: without, Images: []importer.ImageRequest{
			{Ref: s.ref("x:1"), Insecure: true, IncludeManifest: include},
			{Ref: s.ref("x:list"), Insecure: true, IncludeManifest: include, Mode: imagev1.ImportModePreserveOriginal},
		}})
	}
	for _, c := range []struct{ include, without, text, childText bool }{
		{include: true, text: true, childText: true},
		{include: false, text: false, childText: true}, // children are never blanked (O38)
		{include: true, without: true},
	} {
		r := request(c.include, c.without)
		if got := r.Images[0].Image.DockerImageManifest != ""; got != c.text {
			t.Errorf("%+v: text of image present: %v", c, got)
		}
		if r.Images[1].Image.DockerImageManifest != "" {
			t.Errorf("%+v: a list has manifest text", c)
		}
		for _, m := range r.Images[1].Manifests {
			if got := m.DockerImageManifest != "" && m.DockerImageConfig != ""; got != c.childText {
				t.Errorf("%+v: text of child present: %v", c, got)
			}
		}
	}
}

func TestArtifacts(t *testing.T) {
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	for name, c := range map[string]struct {
		configType string
		config     []byte
		text       bool
	}{
		"empty config":       {"application/vnd.oci.empty.v1+json", []byte("{}"), true},
		"image config of {}": {"application/vnd.oci.image.config.v1+json", []byte("{}"), true},
		"foreign JSON":       {"application/vnd.cncf.helm.config.v1+json", []byte(`{"config":"not what docker means","architecture":7}`), true},
		"binary config":      {"application/vnd.example.config", []byte{0xff, 0xfe, 0}, false},
		"image, no JSON":     {"application/vnd.oci.image.config.v1+json", []byte("no JSON"), true},
		"image, but a list":  {"application/vnd.oci.image.config.v1+json", []byte("[1]"), true},
		"image, but deep":    {"application/vnd.oci.image.config.v1+json", []byte(strings.Repeat(`{"config":`, 100) + "1" + strings.Repeat("}", 100)), true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			raw := s.manifestOf("art", manifestType, c.configType, c.config, "payload")
			d := s.put("art", "1", manifestType, raw)
			image := mustImport(t, newImporter(t), importer.ImageRequest{Ref: s.ref("art:1"), IncludeManifest: true}).Image
			m := metadataOf(t, image)
			if image.Name != d || len(image.DockerImageLayers) != 1 || m.Architecture != "" || m.Size != int64(len(c.config)+len("payload")) {
				t.Errorf("image %s, %d layers, metadata %s", image.Name, len(image.DockerImageLayers), image.DockerImageMetadata.Raw)
			}
			if !strings.HasPrefix(m.ID, "sha256:") {
				t.Errorf("Id is %q", m.ID)
			}
			if got := image.DockerImageConfig != ""; got != c.text {
				t.Errorf("config text present: %v", got)
			}
		})
	}
}

// A blob that is configuration and layer at once, as that of many artifacts is, is counted once.
func TestConfigThatIsALayerIsCountedOnce(t *testing.T) {
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	for _, configType := range []string{"application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json"} {
		s := newServer(t)
		s.put("art", "1", manifestType, s.manifestOf("art", manifestType, configType, []byte("{}"), "{}"))
		image := mustImport(t, newImporter(t), importer.ImageRequest{Ref: s.ref("art:1")}).Image
		if size := metadataOf(t, image).Size; size != 2 || len(image.DockerImageLayers) != 1 {
			t.Errorf("%s: size %d with layers %v", configType, size, image.DockerImageLayers)
		}
	}
}

func TestManifestWithoutContentType(t *testing.T) {
	const oci = "application/vnd.oci.image.manifest.v1+json"
	for _, declared := range []string{oci, ""} {
		for _, header := range []string{"text/plain; charset=utf-8", "application/octet-stream", "application/json"} {
			s := newServer(t)
			s.put("x", "1", header, s.manifestOf("x", declared, "application/vnd.oci.image.config.v1+json", []byte(`{"architecture":"arm"}`)))
			image := mustImport(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x:1")}).Image
			if image.DockerImageManifestMediaType != oci {
				t.Errorf("declared %q, header %q: taken for %q", declared, header, image.DockerImageManifestMediaType)
			}
		}
	}
}

// schema1Manifest is a manifest of docker's first format, top layer first.
func schema1Manifest(layers []string, sizes []int) []byte {
	var fs, history []string
	for i, l := range layers {
		fs = append(fs, fmt.Sprintf(`{"blobSum":%q}`, l))
		v1 := fmt.Sprintf(`{"id":"id%d","architecture":"amd64","created":"2015-01-02T03:04:05Z","config":{"Env":["A=b"]}`, i)
		if sizes != nil {
			v1 += fmt.Sprintf(`,"Size":%d`, sizes[i])
		}
		entry, _ := json.Marshal(map[string]string{"v1Compatibility": v1 + "}"})
		history = append(history, string(entry))
	}
	return []byte(`{"schemaVersion":1,"name":"x","tag":"1","architecture":"amd64","fsLayers":[` + strings.Join(fs, ",") + `],"history":[` + strings.Join(history, ",") + `]}`)
}

func TestSchema1(t *testing.T) {
	const mediaType = "application/vnd.docker.distribution.manifest.v1+json"
	for _, sized := range []bool{true, false} {
		t.Run(fmt.Sprintf("sizes in history %v", sized), func(t *testing.T) {
			s := newServer(t)
			top, base := s.putBlob("x", []byte("top layer")), s.putBlob("x", []byte("base"))
			var sizes []int
			if sized {
				sizes = []int{70, 0, 30}
			}
			d := s.put("x", "1", mediaType, schema1Manifest([]string{top, base, base}, sizes))
			i := newImporter(t)
			image := mustImport(t, i, importer.ImageRequest{Ref: s.ref("x:1")}).Image
			m := metadataOf(t, image)
			if image.Name != d || image.DockerImageManifestMediaType != mediaType || m.ID != "id0" || m.Config.Env[0] != "A=b" {
				t.Errorf("name %s, type %s, metadata %s", image.Name, image.DockerImageManifestMediaType, image.DockerImageMetadata.Raw)
			}
			want, heads := int64(100), 0
			if !sized {
				want, heads = int64(len("top layer")+len("base")), 2
			}
			if m.Size != want || s.count("HEAD blobs") != heads {
				t.Errorf("size %d after %d HEADs; want %d after %d", m.Size, s.count("HEAD blobs"), want, heads)
			}
			names := []string{image.DockerImageLayers[0].Name, image.DockerImageLayers[2].Name}
			if diff := cmp.Diff([]string{base, top}, names); diff != "" {
				t.Errorf("layers are not base first:\n%s", diff)
			}
			mustImport(t, i, importer.ImageRequest{Ref: s.ref("x:1")})
			if s.count("HEAD blobs") != heads {
				t.Error("sizes were asked for again")
			}
		})
	}
}

func TestReferenceKeepsItsSpelling(t *testing.T) {
	s := newServer(t)
	d := s.push("deep/er/app:latest", testimage.Image(t, "linux/amd64"))
	for ref, tag := range map[string]string{
		"deep/er/app":             "latest",
		"deep/er/app:latest":      "latest",
		"deep/er/app@" + d:        "",
		"deep/er/app:latest@" + d: "",
	} {
		result := mustImport(t, newImporter(t), importer.ImageRequest{Ref: s.ref(ref)})
		if result.Tag != tag || result.Image.DockerImageReference != s.ref("deep/er/app@"+d) {
			t.Errorf("%s: tag %q, reference %q", ref, result.Tag, result.Image.DockerImageReference)
		}
	}
}

func TestIdenticalWorkIsDoneOnce(t *testing.T) {
	s := newServer(t)
	s.push("x:1", testimage.Image(t, "linux/amd64"))
	req := importer.ImageRequest{Ref: s.ref("x:1"), Insecure: true}
	other := req
	other.PreferArch = "arm64"
	result := newImporter(t).Import(t.Context(), importer.Request{Images: []importer.ImageRequest{req, other, req, req}})
	if got := s.total(); got != 2 {
		t.Errorf("%d requests, want a manifest and a config", got)
	}
	for n, r := range result.Images {
		if r.Image == nil {
			t.Fatalf("image %d: %s", n, r.Status.Message)
		}
	}
	if result.Images[0].Image == result.Images[2].Image {
		t.Error("two results share one Image: a caller that changes one changes both")
	}
}

// TestInsecureAndSpellingPerEntry: what one entry says of a repository is not used for another (O34).
func TestInsecureAndSpellingPerEntry(t *testing.T) {
	s := newServer(t)
	s.push("x:1", testimage.Image(t, "linux/amd64"))
	result := newImporter(t).Import(t.Context(), importer.Request{Images: []importer.ImageRequest{
		{Ref: s.ref("x:1"), Insecure: true}, {Ref: s.ref("x:1")},
	}})
	if result.Images[0].Status.Status != "Success" || result.Images[1].Status.Status != "Failure" {
		t.Errorf("insecure: %s, secure against plain HTTP: %s", result.Images[0].Status.Status, result.Images[1].Status.Status)
	}
}

func TestCallsInFlightAreBounded(t *testing.T) {
	s := newServer(t)
	var requests []importer.ImageRequest
	for n := range 12 {
		s.push(fmt.Sprintf("x:%d", n), testimage.Image(t, "linux/amd64"))
		requests = append(requests, importer.ImageRequest{Ref: s.ref(fmt.Sprintf("x:%d", n)), Insecure: true})
	}
	// The first four are answered only when all four have come, so they do overlap.
	var arrived atomic.Int32
	four := make(chan struct{})
	s.on(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			if arrived.Add(1) == 4 {
				close(four)
			}
			select {
			case <-four:
			case <-r.Context().Done():
			}
		}
		return false
	})
	result := newImporter(t, func(o *importer.Options) { o.Concurrency = 4 }).Import(t.Context(), importer.Request{Images: requests})
	for _, r := range result.Images {
		if r.Status.Status != "Success" {
			t.Errorf("%s", r.Status.Message)
		}
	}
	if s.peak != 4 {
		t.Errorf("%d requests at once, want 4", s.peak)
	}
}
