package importer_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	digest "github.com/opencontainers/go-digest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// platformImage is an image that says what it runs on.
func platformImage(t testing.TB, os, arch string) v1.Image {
	t.Helper()
	base, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	config, err := base.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = os, arch
	config.Config.Env = []string{"T=ok"}
	image, err := mutate.ConfigFile(base, config)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// ociImage is platformImage with OCI media types.
func ociImage(t testing.TB, os, arch string) v1.Image {
	return mutate.ConfigMediaType(mutate.MediaType(platformImage(t, os, arch), types.OCIManifestSchema1), types.OCIConfigJSON)
}

// entry is a member of an index; a nil platform leaves it out.
type entry struct {
	what     mutate.Appendable
	platform *v1.Platform
}

func on(os, arch string) *v1.Platform { return &v1.Platform{OS: os, Architecture: arch} }

func index(mediaType types.MediaType, entries ...entry) v1.ImageIndex {
	out := mutate.IndexMediaType(empty.Index, mediaType)
	for _, e := range entries {
		out = mutate.AppendManifests(out, mutate.IndexAddendum{Add: e.what, Descriptor: v1.Descriptor{Platform: e.platform}})
	}
	return out
}

// multiArch is a list for several platforms and the digests of its images.
func multiArch(t testing.TB, mediaType types.MediaType, platforms ...string) (v1.ImageIndex, []string) {
	t.Helper()
	var entries []entry
	var digests []string
	for _, p := range platforms {
		var os, arch string
		if _, err := fmt.Sscanf(p, "%s %s", &os, &arch); err != nil {
			t.Fatal(err)
		}
		image := platformImage(t, os, arch)
		entries = append(entries, entry{image, on(os, arch)})
		digests = append(digests, digestOf(t, image))
	}
	return index(mediaType, entries...), digests
}

func digestOf(t testing.TB, what interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// manifestOf makes an image manifest by hand, from blobs that it stores on the server.
func (s *testServer) manifestOf(path, mediaType, configType string, config []byte, layers ...string) []byte {
	s.t.Helper()
	type blob struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	manifest := struct {
		SchemaVersion int    `json:"schemaVersion"`
		MediaType     string `json:"mediaType,omitempty"`
		Config        blob   `json:"config"`
		Layers        []blob `json:"layers"`
	}{2, mediaType, blob{configType, digest.FromBytes(config).String(), len(config)}, nil}
	s.putBlob(path, config)
	for _, l := range layers {
		manifest.Layers = append(manifest.Layers, blob{"application/octet-stream", s.putBlob(path, []byte(l)), len(l)})
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}
