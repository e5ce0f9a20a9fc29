package dockerimage_test

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

func withMetadata(raw []byte, version string) *imagev1.Image {
	img := &imagev1.Image{DockerImageMetadataVersion: version}
	img.DockerImageMetadata.Raw = raw
	return img
}

func TestMetadataID(t *testing.T) {
	for text, want := range map[string]string{
		``:                         "",
		`null`:                     "",
		`[]`:                       "",
		`{`:                        "",
		`{}`:                       "",
		`{"Id":""}`:                "",
		`{"Id":1}`:                 "",
		`{"Id":null}`:              "",
		`{"Config":{"Id":"no"}}`:   "",
		`{"Config":{"Id":"no"}`:    "",
		`{"Id":"a"}`:               "a",
		`{"id":"a"}`:               "a",
		`{"Id":"a","Broken":`:      "a",
		`{"Config":[{}],"Id":"a"}`: "a",
		`{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"sha256:1","Created":null}`: "sha256:1",
	} {
		if got := dockerimage.MetadataID(withMetadata([]byte(text), "")); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// FuzzMetadataID holds it against the whole reading, on documents in the form that is stored.
func FuzzMetadataID(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"Id":"a"}`, `{"Parent":"p","Id":"a","Config":{"Labels":{"Id":"b"}}}`, `{"Id":"a","Id":"b"}`} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, old bool) {
		version := dockerimage.MetadataVersion10
		if old {
			version = dockerimage.MetadataVersionPre012
		}
		img := withMetadata(raw, version)
		dockerimage.MetadataID(img)
		if dockerimage.CanonicalMetadata(img) != nil {
			return
		}
		whole, err := dockerimage.Metadata(img)
		if err != nil {
			t.Fatalf("canonical metadata cannot be read: %v", err)
		}
		if got := dockerimage.MetadataID(img); got != whole.ID {
			t.Errorf("%s: %q, want %q", img.DockerImageMetadata.Raw, got, whole.ID)
		}
	})
}
