package dockerimage

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// canonicalTwice checks that what was made canonical stays: stored images are read that way.
func canonicalTwice(t *testing.T, img *imagev1.Image) {
	t.Helper()
	once := bytes.Clone(img.DockerImageMetadata.Raw)
	if err := CanonicalMetadata(img); err != nil {
		t.Fatalf("canonical metadata %s cannot be read: %v", once, err)
	}
	if !bytes.Equal(once, img.DockerImageMetadata.Raw) {
		t.Fatalf("canonical metadata changed\nfrom %s\nto   %s", once, img.DockerImageMetadata.Raw)
	}
}

func FuzzFill(f *testing.F) {
	for _, manifest := range []string{schema1, signed(schema1), schema2(""), schema2(MediaTypeOCIManifest), list, `{"schemaVersion":2}`, `[]`, `null`, ``} {
		for _, mediaType := range []string{"", MediaTypeSchema1, MediaTypeSchema2, MediaTypeOCIIndex} {
			f.Add(manifest, config, mediaType)
		}
	}
	f.Add(schema2(""), `{"created":"9999-12-31T23:59:59-12:00"}`, "")
	f.Add(schema2(""), `null`, "")
	f.Fuzz(func(t *testing.T, manifest, config, mediaType string) {
		img := &imagev1.Image{
			ObjectMeta:          metav1.ObjectMeta{Name: "n"},
			DockerImageManifest: manifest, DockerImageConfig: config, DockerImageManifestMediaType: mediaType,
		}
		old := img.DeepCopy()
		_ = Fill(img, now) // bad text is an error, yet the image can be stored
		canonicalTwice(t, img)
		if m, err := Metadata(img); err != nil || m.Size < 0 {
			t.Fatalf("metadata %+v, error %v", m, err)
		}
		_ = PrepareUpdate(old, img, now)
		canonicalTwice(t, old)
		if diff := cmp.Diff(img.DockerImageLayers, old.DockerImageLayers); diff != "" {
			t.Fatalf("an update changed layers:\n%s", diff)
		}
	})
}

func FuzzMetadataFromConfig(f *testing.F) {
	for _, seed := range []string{config, `{}`, `null`, `{"created":""}`, `{"created":"0000-01-01T00:00:00+14:00"}`, `{"config":{"Env":null}}`, `[`, `{"CONFIG":{"ENV":["a"]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		metadata, err := metadataFromConfig("sha256:c", config, nil)
		if err != nil {
			return
		}
		if metadata.ID != "sha256:c" || metadata.Size != int64(len(config)) {
			t.Fatalf("Id %q, Size %d", metadata.ID, metadata.Size)
		}
		for _, version := range []string{MetadataVersion10, MetadataVersionPre012} {
			img := &imagev1.Image{DockerImageMetadataVersion: version}
			if err := SetMetadata(img, metadata); err != nil {
				t.Fatal(err)
			}
			canonicalTwice(t, img)
		}
	})
}

func FuzzCanonicalMetadata(f *testing.F) {
	for _, version := range []string{"", "1.0", "pre012", "2"} {
		f.Add([]byte(`{"Id":"x","Created":"2020-01-02T03:04:05Z","Config":{"Env":["a"]}}`), version)
		f.Add([]byte(`{"kind":"DockerImage","apiVersion":"image.openshift.io/pre012","id":"x","container_config":{}}`), version)
		f.Add([]byte(`{"Created":"9999-12-31T23:59:59-12:00"}`), version)
		f.Add([]byte(`null`), version)
		f.Add([]byte(`{"kind":1}`), version)
	}
	f.Fuzz(func(t *testing.T, raw []byte, version string) {
		img := &imagev1.Image{DockerImageMetadata: runtime.RawExtension{Raw: raw}, DockerImageMetadataVersion: version}
		before := img.DeepCopy()
		if err := CanonicalMetadata(img); err != nil {
			if diff := cmp.Diff(before, img); diff != "" {
				t.Fatalf("an error left the image changed:\n%s", diff)
			}
			return
		}
		canonicalTwice(t, img)
	})
}

func FuzzCanonicalDigest(f *testing.F) {
	for _, mediaType := range []string{"", MediaTypeSchema2, MediaTypeOCIManifest} {
		f.Add([]byte(signed(schema1)), mediaType)
		f.Add([]byte(schema2("")), mediaType)
	}
	f.Fuzz(func(t *testing.T, manifest []byte, mediaType string) {
		if d, err := canonicalDigest(manifest, mediaType); err == nil && d.Validate() != nil {
			t.Fatalf("digest %q", d)
		}
	})
}

func TestSizesDoNotOverflow(t *testing.T) {
	huge := []imagev1.ImageLayer{{Name: "a", LayerSize: math.MaxInt64}, {Name: "b", LayerSize: 2}, {Name: "c", LayerSize: -5}}
	if got := Size("", 10, huge); got != math.MaxInt64 {
		t.Errorf("size %d", got)
	}
	if got := Size("", 10, []imagev1.ImageLayer{{Name: "a", LayerSize: 1}, {Name: "a", LayerSize: 1}, {Name: "c", LayerSize: -5}}); got != 11 {
		t.Errorf("size %d", got)
	}
}

func TestPre012KeepsEveryField(t *testing.T) {
	full := docker10.DockerImage{
		ID: "i", Parent: "p", Comment: "c", Created: metav1.Unix(1, 0), Container: "k", DockerVersion: "v", Author: "a",
		ContainerConfig: docker10.DockerConfig{Hostname: "h"}, Config: &docker10.DockerConfig{Env: []string{"e"}, Labels: map[string]string{"l": "m"}},
		Architecture: "arm", Size: 9,
	}
	if diff := cmp.Diff(full, fromPre012(toPre012(full))); diff != "" {
		t.Error(diff)
	}
}
