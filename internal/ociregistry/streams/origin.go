package streams

import (
	"slices"

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
			if o := c.originOfBlob(b); belongs(o) {
				return o
			}
		}
	}
	if n := c.nodes[d]; n != nil { // a manifest may be read as a blob, too
		if o := c.originOfManifest(n); belongs(o) {
			return o
		}
	}
	return nil
}

// belongs tells whether an origin opens anything.
func belongs(o *ociregistry.Origin) bool { return o.Held || len(o.Through)+len(o.Sources) > 0 }

func (c *content) originOfManifest(n *node) *ociregistry.Origin {
	if o := n.origin.Load(); o != nil && o.epoch == c.epoch {
		return &o.Origin
	}
	o := &located{epoch: c.epoch, Origin: ociregistry.Origin{
		Manifest: n.image, MediaType: n.mediaType, Size: -1,
		Sources: c.history.manifestSources(c.rootsOf(n.image)),
	}}
	o.Held, o.Through = c.held(n.image)
	if named := c.named[n.image]; named != nil {
		o.Size = named.size
		if !c.history.has(n.image) {
			o.Parents = named.parents
		}
	}
	n.origin.Store(o)
	return &o.Origin
}

func (c *content) originOfBlob(b *blob) *ociregistry.Origin {
	if o := b.origin.Load(); o != nil && o.epoch == c.epoch {
		return &o.Origin
	}
	o := &located{epoch: c.epoch, Origin: ociregistry.Origin{Manifest: b.referrers[0].image, MediaType: b.mediaType, Size: b.size}}
	var holders []digest.Digest
	for _, n := range b.referrers {
		if n.has(b.digest) {
			holders = append(holders, n.image)
		}
	}
	o.Held, o.Through = c.held(holders...)
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

// held tells whether one of several manifests belongs to the stream through images of this
// registry: the history has it as one, or a list that is held was pushed with it. through
// are other repositories as whose image the history has one.
func (c *content) held(images ...digest.Digest) (held bool, through []ociregistry.Link) {
	seen := map[digest.Digest]struct{}{}
	for len(images) > 0 && !held {
		d := images[0]
		images = images[1:]
		n := c.nodes[d]
		if _, been := seen[d]; been || n == nil || n.unproven {
			continue
		}
		seen[d] = struct{}{}
		var neighbours []string
		if held, neighbours = c.history.owns(d); held {
			return true, nil
		}
		for _, repository := range neighbours {
			through = append(through, ociregistry.Link{Repository: repository, Manifest: d})
		}
		if named := c.named[d]; named != nil {
			for _, list := range named.parents {
				if n := c.nodes[list]; n != nil && n.has(d) {
					images = append(images, list)
				}
			}
		}
	}
	return held, through
}

// has tells whether a manifest that names a part was pushed with it.
func (f *facts) has(part digest.Digest) bool { return !slices.Contains(f.missing, part) }

// owns tells whether an event has an image as the stream's own, and otherwise which other
// repositories of this registry events have it from.
func (h *history) owns(image digest.Digest) (own bool, neighbours []string) {
	for _, i := range h.of[image] {
		if h.isOwn(i) {
			return true, nil
		}
		if key := h.repositories[h.events[i].repository].neighbour; key != "" {
			neighbours = append(neighbours, key)
		}
	}
	return false, neighbours
}

// isOwn tells whether an event's image is the stream's own.
func (h *history) isOwn(event int) bool { return h.events[event].repository == own }

// ofThisRegistry tells whether an event says that an image is in this registry.
func (h *history) ofThisRegistry(image digest.Digest) bool {
	own, neighbours := h.owns(image)
	return own || len(neighbours) > 0
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
