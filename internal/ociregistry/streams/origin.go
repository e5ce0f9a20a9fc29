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
func belongs(o *ociregistry.Origin) bool { return o.Held || len(o.Sources) > 0 }

func (c *content) originOfManifest(n *node) *ociregistry.Origin {
	if o := n.origin.Load(); o != nil && o.epoch == c.epoch {
		return &o.Origin
	}
	o := &located{epoch: c.epoch, Origin: ociregistry.Origin{
		Manifest: n.image, MediaType: n.mediaType, Size: -1,
		Held: c.held(n.image),
	}}
	roots := c.rootsOf(n.image)
	o.Sources = c.abroad(roots, c.history.manifestSources(roots))
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
	o.Held = slices.ContainsFunc(b.referrers, func(n *node) bool { return n.has(b.digest) && c.held(n.image) })
	if len(c.history.repositories) > 0 {
		var referrers []digest.Digest
		for _, n := range b.referrers {
			referrers = append(referrers, n.image)
		}
		roots := c.rootsOf(referrers...)
		o.Sources = c.abroad(roots, c.history.blobSources(roots))
	}
	b.origin.Store(o)
	return &o.Origin
}

// held tells whether a manifest belongs to the stream through images of this registry: the
// history has it as one, or a list that is held was pushed with it.
func (c *content) held(image digest.Digest) bool {
	seen := map[digest.Digest]struct{}{}
	var climb func(digest.Digest) bool
	climb = func(d digest.Digest) bool {
		n := c.nodes[d]
		if _, been := seen[d]; been || n == nil || n.unproven {
			return false
		}
		seen[d] = struct{}{}
		if c.owns(d) {
			return true
		}
		named := c.named[d]
		return named != nil && slices.ContainsFunc(named.parents, func(list digest.Digest) bool {
			n := c.nodes[list]
			return n != nil && n.has(d) && climb(list)
		})
	}
	return climb(image)
}

// has tells whether a manifest that names a part was pushed with it.
func (f *facts) has(part digest.Digest) bool { return !slices.Contains(f.missing, part) }

// owns tells whether an event says that an image is in this registry: by a name that the
// registry has, or by the one under which the image was pushed. An event that names another
// registry does not, whoever pushed the same image here.
func (c *content) owns(image digest.Digest) bool {
	home := ""
	if n := c.nodes[image]; n != nil {
		home = n.home
	}
	return slices.ContainsFunc(c.history.of[image], func(i int) bool {
		at := c.history.events[i].repository
		return at == own || c.history.repositories[at].ref.Registry == home
	})
}

// abroad are sources without those at the registry that one of the images was pushed to.
func (c *content) abroad(images []digest.Digest, sources []ociregistry.Source) []ociregistry.Source {
	for _, image := range images {
		if n := c.nodes[image]; n != nil && n.home != "" {
			sources = slices.DeleteFunc(sources, func(s ociregistry.Source) bool { return s.Ref.Registry == n.home })
		}
	}
	if len(sources) == 0 {
		return nil
	}
	return sources
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
