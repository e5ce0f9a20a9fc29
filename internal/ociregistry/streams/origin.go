package streams

import (
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
)

// origin tells how a digest belongs to the stream, as far as that is known; nil when it
// is not. Origins are shared: nobody changes what they point to.
func (c *content) origin(d digest.Digest, as kind) *ociregistry.Origin {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if as == asBlob {
		if b := c.blobs[d]; b != nil {
			return c.originOfBlob(b)
		}
	}
	if n := c.nodes[d]; n != nil { // a manifest may be read as a blob, too
		return c.originOfManifest(n)
	}
	return nil
}

func (c *content) originOfManifest(n *node) *ociregistry.Origin {
	if o := n.origin.Load(); o != nil && o.epoch == c.epoch {
		return &o.Origin
	}
	o := &located{epoch: c.epoch, Origin: ociregistry.Origin{Manifest: n.image, MediaType: n.mediaType, Size: -1}}
	if named := c.named[n.image]; named != nil {
		o.Size = named.size
		if !c.history.has(n.image) {
			o.Parents = named.parents
		}
	}
	o.Sources = c.history.manifestSources(c.rootsOf(n.image))
	n.origin.Store(o)
	return &o.Origin
}

func (c *content) originOfBlob(b *blob) *ociregistry.Origin {
	if o := b.origin.Load(); o != nil && o.epoch == c.epoch {
		return &o.Origin
	}
	o := &located{epoch: c.epoch, Origin: ociregistry.Origin{Manifest: b.referrers[0].image, MediaType: b.mediaType, Size: b.size}}
	if len(c.history.repositories) > 0 {
		var referrers []digest.Digest
		for _, n := range b.referrers {
			referrers = append(referrers, n.image)
		}
		o.Sources = c.history.blobSources(c.rootsOf(referrers...))
	}
	b.origin.Store(o)
	return &o.Origin
}

// rootsOf are the images of the history that others belong to: themselves, and the lists
// that name them, however far up.
func (c *content) rootsOf(images ...digest.Digest) []digest.Digest {
	var roots []digest.Digest
	seen := map[digest.Digest]struct{}{}
	for len(images) > 0 {
		d := images[0]
		images = images[1:]
		if _, been := seen[d]; been {
			continue
		}
		seen[d] = struct{}{}
		if c.history.has(d) {
			roots = append(roots, d)
		}
		if named := c.named[d]; named != nil {
			images = append(images, named.parents...)
		}
	}
	return roots
}
