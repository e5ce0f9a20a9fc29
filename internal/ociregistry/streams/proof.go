package streams

import (
	"context"
	"encoding/json"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/reference"
)

// StoredManifest reads a manifest that was pushed from the registry's storage, with the parts of it that
// somebody who pushed it did not have. Of one that is not there, content is nil.
type StoredManifest func(ctx context.Context, d digest.Digest) (content []byte, missing []digest.Digest, err error)

// Who may post mappings may describe any Image, with whatever layers they like. Content of
// this registry is therefore opened by what manifests say that were pushed to it, for these
// are verified when they come in, and not by what Images say. Images are believed of content
// that is fetched from elsewhere: what storage has of that is opened by where it came from.

// prove replaces what an Image says of its parts by what the manifest says.
func (i *images) prove(ctx context.Context, f *facts) (*facts, error) {
	if i.stored == nil {
		return f, nil
	}
	content, missing, err := i.stored(ctx, f.image)
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", f.image, err)
	}
	if content == nil {
		f.unproven = true
		return f, nil
	}
	proven := factsOfManifest(f, content)
	proven.missing = missing
	return proven, nil
}

// parts are what a manifest of any format names, schema 1 apart.
type parts struct {
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Blobs     []ocispec.Descriptor `json:"blobs"`
	Manifests []ocispec.Descriptor `json:"manifests"`
	FSLayers  []struct {
		BlobSum digest.Digest `json:"blobSum"`
	} `json:"fsLayers"`
}

// factsOfManifest are the facts as the manifest's own text has them. What cannot be
// read names nothing.
func factsOfManifest(f *facts, content []byte) *facts {
	proven := &facts{image: f.image, mediaType: f.mediaType}
	var p parts
	if json.Unmarshal(content, &p) != nil {
		return proven
	}
	if p.Config != nil && reference.ValidDigest(p.Config.Digest.String()) {
		proven.config = descriptor{p.Config.Digest, p.Config.MediaType, told(p.Config.Size)}
	}
	for _, layer := range p.FSLayers {
		p.Layers = append(p.Layers, ocispec.Descriptor{Digest: layer.BlobSum})
	}
	proven.layers = descriptorsOf(append(p.Layers, p.Blobs...))
	proven.children = descriptorsOf(p.Manifests)
	return proven
}

func descriptorsOf(list []ocispec.Descriptor) []descriptor {
	var all []descriptor
	for _, d := range list {
		if reference.ValidDigest(d.Digest.String()) {
			all = append(all, descriptor{d.Digest, d.MediaType, told(d.Size)})
		}
	}
	return all
}

// credible tells whether an image's facts open anything: they are proven, or the image is
// somebody else's, of which they only tell where it is to be fetched from.
func (c *content) credible(f *facts) bool {
	return !f.unproven || !c.history.onlyOwn(c.rootsOf(f.image))
}

// onlyOwn tells whether all events of some images refer to this registry.
func (h *history) onlyOwn(images []digest.Digest) bool {
	for _, i := range h.eventsOf(images) {
		if h.events[i].repository != own {
			return false
		}
	}
	return true
}
