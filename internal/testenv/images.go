package testenv

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is a small image like no other, of Docker's media types, for a platform
// such as "linux/amd64".
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
	return mutate.ConfigMediaType(mutate.MediaType(Image(t, platform), types.OCIManifestSchema1), types.OCIConfigJSON)
}

// PlatformOf parses "os/architecture[/variant]".
func PlatformOf(s string) *v1.Platform {
	parts := append(strings.Split(s, "/"), "", "")
	return &v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

// List is a manifest list of Docker's media type with an Image for each platform,
// and their digests.
func List(t TB, platforms ...string) (v1.ImageIndex, []string) {
	t.Helper()
	list := mutate.IndexMediaType(empty.Index, types.DockerManifestList)
	var digests []string
	for _, p := range platforms {
		image := Image(t, p)
		list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: PlatformOf(p)}})
		digests = append(digests, Digest(t, image))
	}
	return list, digests
}

// Nest is an OCI index whose only entry is what.
func Nest(what mutate.Appendable, platform string) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	return mutate.AppendManifests(index, mutate.IndexAddendum{Add: what, Descriptor: v1.Descriptor{Platform: PlatformOf(platform)}})
}

// Digest is what a manifest is named by.
func Digest(t TB, what interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := what.Digest()
	if err != nil {
		t.Fatalf("computing a digest: %v", err)
	}
	return d.String()
}
