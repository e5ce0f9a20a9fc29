package dockerimage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// stored is an image as Fill left it.
func stored(t *testing.T) *imagev1.Image {
	t.Helper()
	manifest := schema2(MediaTypeSchema2)
	img := &imagev1.Image{
		ObjectMeta:           metav1.ObjectMeta{Name: digest.FromString(manifest).String()},
		DockerImageReference: "q.io/x", DockerImageManifest: manifest, DockerImageConfig: config,
	}
	if err := Fill(img, now); err != nil {
		t.Fatal(err)
	}
	return img
}

func update(t *testing.T, old *imagev1.Image, change func(*imagev1.Image)) *imagev1.Image {
	t.Helper()
	updated := old.DeepCopy()
	change(updated)
	if err := PrepareUpdate(updated, old, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return updated
}

func TestUpdateRestoresContent(t *testing.T) {
	old := stored(t)
	old.DockerImageSignatures = [][]byte{[]byte("s")}
	got := update(t, old, func(i *imagev1.Image) {
		i.DockerImageMetadata.Raw = []byte(`{"Id":"evil"}`)
		i.DockerImageMetadataVersion = "pre012"
		i.DockerImageLayers = nil
		i.DockerImageSignatures = nil
	})
	if diff := cmp.Diff(old, got); diff != "" {
		t.Error(diff)
	}
}

func TestUpdateKeepsTheOrderOfRestoredLayers(t *testing.T) {
	old := stored(t)
	for _, annotations := range []map[string]string{nil, {imagev1.DockerImageLayersOrderAnnotation: "descending"}} {
		got := update(t, old, func(i *imagev1.Image) { i.Annotations = annotations })
		if layerNames(got) != "base top base" || got.Annotations[imagev1.DockerImageLayersOrderAnnotation] != "ascending" {
			t.Errorf("annotations %v: layers %q, annotations %v", annotations, layerNames(got), got.Annotations)
		}
	}
}

func TestUpdateLeavesTheRestFree(t *testing.T) {
	old := stored(t)
	change := func(i *imagev1.Image) {
		i.DockerImageReference = "other.io/y"
		i.DockerImageManifestMediaType = "x/y"
		i.DockerImageManifests = wantManifests
		i.Signatures = []imagev1.ImageSignature{{Type: "t"}}
		i.Labels = map[string]string{"a": "b"}
		i.Annotations["c"] = "d"
		i.DockerImageSignatures = [][]byte{[]byte("new")}
	}
	want := old.DeepCopy()
	change(want)
	if diff := cmp.Diff(want, update(t, old, change)); diff != "" {
		t.Error(diff)
	}
}

func TestManifestUpdates(t *testing.T) {
	full := stored(t)
	bare := stored(t)
	bare.DockerImageManifest, bare.DockerImageConfig = "", ""
	other := schema2(MediaTypeOCIManifest)
	for name, test := range map[string]struct {
		old  *imagev1.Image
		sent string
		want string
	}{
		"dropped":          {full, "", ""},
		"kept":             {full, full.DockerImageManifest, full.DockerImageManifest},
		"other content":    {full, other, full.DockerImageManifest},
		"no JSON":          {full, "x", full.DockerImageManifest},
		"comes back":       {bare, full.DockerImageManifest, full.DockerImageManifest},
		"other comes back": {bare, other, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := update(t, test.old, func(i *imagev1.Image) { i.DockerImageManifest = test.sent })
			if got.DockerImageManifest != test.want {
				t.Errorf("manifest is %.60q, want %.60q", got.DockerImageManifest, test.want)
			}
		})
	}
	t.Run("a misnamed image never gets its manifest back", func(t *testing.T) {
		misnamed := bare.DeepCopy()
		misnamed.Name = "sha256:other"
		got := update(t, misnamed, func(i *imagev1.Image) { i.DockerImageManifest = full.DockerImageManifest })
		if got.DockerImageManifest != "" {
			t.Error("it did")
		}
	})
	t.Run("the old media type counts", func(t *testing.T) {
		untyped := bare.DeepCopy()
		untyped.DockerImageManifestMediaType = "x/y"
		got := update(t, untyped, func(i *imagev1.Image) {
			i.DockerImageManifest = full.DockerImageManifest
			i.DockerImageManifestMediaType = MediaTypeSchema2
		})
		if got.DockerImageManifest != "" {
			t.Error("the new one did")
		}
	})
}

func TestConfigUpdates(t *testing.T) {
	full := stored(t)
	noConfig := full.DeepCopy()
	noConfig.DockerImageConfig = ""
	bare := noConfig.DeepCopy()
	bare.DockerImageManifest = ""
	v1 := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: digest.FromString(schema1).String()}, DockerImageManifest: signed(schema1)}
	if err := Fill(v1, now); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		old  *imagev1.Image
		sent string
		want string
	}{
		"dropped":          {full, "", ""},
		"kept":             {full, config, config},
		"other":            {full, config + " ", config},
		"comes back":       {noConfig, config, config},
		"other comes back": {noConfig, config + " ", ""},
		"no manifest":      {bare, config, ""},
		"schema1":          {v1, config, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := update(t, test.old, func(i *imagev1.Image) { i.DockerImageConfig = test.sent })
			if got.DockerImageConfig != test.want {
				t.Errorf("config is %.60q, want %.60q", got.DockerImageConfig, test.want)
			}
		})
	}
	t.Run("with a manifest that comes back", func(t *testing.T) {
		got := update(t, bare, func(i *imagev1.Image) {
			i.DockerImageManifest = full.DockerImageManifest
			i.DockerImageConfig = config
		})
		if got.DockerImageConfig != config {
			t.Error("the new manifest was not looked at")
		}
	})
}

func TestUpdateFillsWhatWasMissing(t *testing.T) {
	manifest := schema2(MediaTypeSchema2)
	old := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: digest.FromString(manifest).String()}, DockerImageManifestMediaType: MediaTypeSchema2}
	if err := Fill(old, now); err != nil {
		t.Fatal(err)
	}
	got := update(t, old, func(i *imagev1.Image) {
		i.DockerImageManifest, i.DockerImageConfig = manifest, config
		i.Annotations = map[string]string{imagev1.ImageManifestBlobStoredAnnotation: "true"}
	})
	if layerNames(got) != "base top base" || string(got.DockerImageMetadata.Raw) != wantFromConfig() {
		t.Errorf("layers %q, metadata %s", layerNames(got), got.DockerImageMetadata.Raw)
	}
	if got.DockerImageManifest != "" || got.DockerImageConfig != "" {
		t.Error("text was kept")
	}
}

func TestUpdateOfAListChangesNothing(t *testing.T) {
	old := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "sha256:name"}, DockerImageManifest: list, DockerImageManifestMediaType: MediaTypeManifestList}
	if err := Fill(old, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(old, update(t, old, func(*imagev1.Image) {})); diff != "" {
		t.Error(diff)
	}
}
