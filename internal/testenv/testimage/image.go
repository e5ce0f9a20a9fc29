// Package testimage makes images for tests: as go-containerregistry has them, which pushes and
// compares them, and as plain bytes for tests that send requests themselves. Put stores them in a
// registry of this process, past what stands in front of it.
package testimage

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TB is the part of testing.TB that this package uses.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Image is a small image with random layers and Docker's media types, for a platform such as
// "linux/amd64".
func Image(t TB, platform string) v1.Image {
	t.Helper()
	base, err := random.Image(64, 2)
	if err != nil {
		t.Fatalf("making an image: %v", err)
	}
	config, err := base.ConfigFile()
	if err != nil {
		t.Fatalf("making an image: %v", err)
	}
	config = config.DeepCopy()
	p := PlatformOf(platform)
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	config.Config.Env = []string{"T=ok"}
	image, err := mutate.ConfigFile(base, config)
	if err != nil {
		t.Fatalf("making an image: %v", err)
	}
	return image
}

// OCIImage is Image with OCI media types.
func OCIImage(t TB, platform string) v1.Image {
	t.Helper()
	return AsOCI(Image(t, platform))
}

// AsOCI is an image with OCI media types.
func AsOCI(image v1.Image) v1.Image {
	return mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
}

// Of is an image, the same each time, of layers that are not compressed.
func Of(t TB, layers ...[]byte) v1.Image {
	t.Helper()
	image := empty.Image
	for _, content := range layers {
		var err error
		if image, err = mutate.AppendLayers(image, static.NewLayer(content, types.OCIUncompressedLayer)); err != nil {
			t.Fatalf("making an image: %v", err)
		}
	}
	return image
}

// PlatformOf parses "os/architecture[/variant]".
func PlatformOf(s string) *v1.Platform {
	parts := append(strings.Split(s, "/"), "", "")
	return &v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

// List is a manifest list of Docker's media type with an Image for each platform, and their digests.
func List(t TB, platforms ...string) (v1.ImageIndex, []string) {
	t.Helper()
	return ListOf(t, types.DockerManifestList, platforms...)
}

// ListOf is List with another media type.
func ListOf(t TB, mediaType types.MediaType, platforms ...string) (v1.ImageIndex, []string) {
	t.Helper()
	var entries []Entry
	var digests []string
	for _, p := range platforms {
		image := Image(t, p)
		entries = append(entries, Entry{image, p})
		digests = append(digests, Digest(t, image))
	}
	return Index(mediaType, entries...), digests
}

// Entry is a member of an index: an image or an index, and its platform, "" for none.
type Entry struct {
	Of       mutate.Appendable
	Platform string
}

// Index is an index of entries.
func Index(mediaType types.MediaType, entries ...Entry) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, mediaType)
	for _, e := range entries {
		var descriptor v1.Descriptor
		if e.Platform != "" {
			descriptor.Platform = PlatformOf(e.Platform)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: e.Of, Descriptor: descriptor})
	}
	return index
}

// Nest is an OCI index with one entry.
func Nest(of mutate.Appendable, platform string) v1.ImageIndex {
	return Index(types.OCIImageIndex, Entry{of, platform})
}

// Digest is the digest of an image or an index.
func Digest(t TB, of interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := of.Digest()
	if err != nil {
		t.Fatalf("computing a digest: %v", err)
	}
	return d.String()
}
