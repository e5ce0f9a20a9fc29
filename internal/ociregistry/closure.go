package ociregistry

import (
	"context"
	"errors"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/caches"
	imagemanifest "weir.dev/weir/internal/manifest"
)

const (
	// maxDepth bounds the depth of nested lists, and maxVisited the number of manifests
	// visited for one image.
	maxDepth   = 8
	maxVisited = 4096
	// lookupsAtOnce is how many images one lookup reads in parallel.
	lookupsAtOnce = 16
	// imagePartsFor is how long the parts listed by an Image are cached. Its manifest, which
	// takes precedence, may be stored in the meantime.
	imagePartsFor = time.Minute
)

// closures looks up the parts of manifests: in the stored manifest or, without one, in the
// Image. The parts of a manifest never change.
type closures struct {
	store *blobstore.Store
	// memory bounds the manifests being read, for all callers. It is separate from the memory
	// of requests, which hold some of that while they wait for this.
	memory *memory
	image  func(context.Context, digest.Digest) (*Image, error)
	now    Clock
	// known caches the parts of manifests, and absent the manifests that were recently found
	// in neither storage nor the API. The keys are digests, so all tenants share them.
	known  *caches.Cache[digest.Digest, knownParts]
	absent *caches.Cache[digest.Digest, struct{}]
}

// knownParts are the parts of a manifest.
type knownParts struct {
	*Image
	// until is when the entry expires; zero for the parts of a stored manifest.
	until time.Time
	// imaged is true once an Image of the manifest was found.
	imaged bool
}

func newClosures(o Options, mem *memory) *closures {
	return &closures{store: o.Store, memory: mem, image: o.Directory.Image, now: o.Now, known: newClosureCache(o), absent: newAbsentCache(o)}
}

// find returns the part of the image m, or of a manifest of its list, that has the digest d;
// nil if there is none. An image of a history without an Image counts as removed.
func (c *closures) find(ctx context.Context, m, d digest.Digest, k kind, e *effort) (*Part, error) {
	root, err := c.root(ctx, m)
	if root == nil || err != nil {
		return nil, err
	}
	return search(root, d, k, e, func(child digest.Digest) (*Image, error) { return c.lookUp(ctx, child, e) })
}

// lookUp is parts with two additions: it counts lookups that miss the cache, and caches absent
// manifests for a while, since any client may name manifests that do not exist.
func (c *closures) lookUp(ctx context.Context, m digest.Digest, e *effort) (*Image, error) {
	if known, found := c.get(m); found {
		return known.Image, nil
	}
	if _, found := c.absent.Get(m); found {
		return nil, nil
	}
	if err := e.lookUp(); err != nil {
		return nil, err
	}
	began := c.now()
	parts, err := c.parts(ctx, m)
	if parts == nil && err == nil {
		c.absent.AddUntil(digest.Digest(strings.Clone(string(m))), struct{}{}, began.Add(absentFor))
	}
	return parts, err
}

// findEach is find for several images at a time.
func (c *closures) findEach(ctx context.Context, images []digest.Digest, d digest.Digest, k kind, e *effort) ([]*Part, error) {
	found := make([]*Part, len(images))
	lookups, ctx := errgroup.WithContext(ctx)
	for i, m := range images {
		lookups.Go(func() (err error) {
			found[i], err = c.find(ctx, m, d, k, e)
			return err
		})
	}
	return found, lookups.Wait()
}

var errNotInMemory = errors.New("the parts of a manifest are not in memory")

// findKnown is find from memory alone. known is false if memory has no answer.
func (c *closures) findKnown(m, d digest.Digest, k kind, e *effort) (part *Part, known bool) {
	root, found := c.get(m)
	if !found || !root.imaged {
		return nil, false
	}
	part, err := search(root.Image, d, k, e, func(child digest.Digest) (*Image, error) {
		if parts, found := c.get(child); found {
			return parts.Image, nil
		}
		return nil, errNotInMemory
	})
	return part, part != nil || err == nil
}

// search looks for a digest among an image and its parts, level by level.
func search(root *Image, d digest.Digest, k kind, e *effort, parts func(digest.Digest) (*Image, error)) (*Part, error) {
	if k == manifests && root.Digest == d {
		return &Part{Digest: d, Size: -1}, nil
	}
	var failure error
	seen := map[digest.Digest]struct{}{root.Digest: {}}
	level := []*Image{root}
	for depth := 0; depth <= maxDepth && len(level) > 0; depth++ {
		var next []*Image
		for _, m := range level {
			if part := m.part(d, k); part != nil {
				return part, nil
			}
			for i := range m.Children {
				child := m.Children[i].Digest
				if _, been := seen[child]; been || len(seen) > maxVisited {
					continue
				}
				seen[child] = struct{}{}
				f, err := parts(child)
				if tooMuch := e.visit(); tooMuch != nil {
					return nil, tooMuch
				}
				if err != nil {
					failure = err // another branch may have the digest
				}
				if f != nil {
					next = append(next, f)
				}
			}
		}
		level = next
	}
	return nil, failure
}

// part returns the part of that kind and digest, nil if there is none.
func (i *Image) part(d digest.Digest, k kind) *Part {
	list := i.Blobs
	if k == manifests {
		list = i.Children
	}
	for n := range list {
		if list[n].Digest == d {
			return &list[n]
		}
	}
	return nil
}

// get returns the parts of a manifest from memory.
func (c *closures) get(m digest.Digest) (knownParts, bool) {
	parts, found := c.known.Get(m)
	if !found || !parts.until.IsZero() && c.now().After(parts.until) {
		return knownParts{}, false
	}
	return parts, true
}

// root returns the parts of an image of a history, nil if there is no Image of it.
func (c *closures) root(ctx context.Context, m digest.Digest) (*Image, error) {
	if known, found := c.get(m); found && known.imaged {
		return known.Image, nil
	}
	image, err := c.image(ctx, m)
	if image == nil || err != nil {
		return nil, err
	}
	parts, err := c.stored(ctx, m)
	if err != nil {
		return nil, err
	}
	if parts != nil {
		c.known.Add(m, knownParts{Image: parts, imaged: true})
		return parts, nil
	}
	c.known.Add(m, knownParts{Image: image, until: c.now().Add(imagePartsFor), imaged: true})
	return image, nil
}

// parts returns the parts of a manifest, nil if neither storage nor the API has it.
func (c *closures) parts(ctx context.Context, m digest.Digest) (*Image, error) {
	if known, found := c.get(m); found {
		return known.Image, nil
	}
	parts, err := c.stored(ctx, m)
	if err != nil {
		return nil, err
	}
	if parts != nil {
		c.known.Add(m, knownParts{Image: parts})
		return parts, nil
	}
	return c.root(ctx, m)
}

// stored returns the parts that the stored manifest names, nil without one.
func (c *closures) stored(ctx context.Context, m digest.Digest) (*Image, error) {
	content, release, err := c.readStored(ctx, m)
	defer release()
	var damaged *blobstore.DigestMismatch
	var large *blobstore.SizeMismatch
	switch {
	case errors.Is(err, blobstore.ErrUnknown), errors.Is(err, blobstore.ErrInvalid), errors.As(err, &large):
		return nil, nil
	case errors.As(err, &damaged):
		klog.ErrorS(err, "A stored manifest is damaged", "digest", m)
		return nil, nil
	case err != nil:
		return nil, err
	}
	return partsOf(m, content), nil
}

// readStored reads a manifest. A large one first reserves memory for its content and parts.
func (c *closures) readStored(ctx context.Context, m digest.Digest) (content []byte, release func(), err error) {
	release = func() {}
	content, err = c.store.Read(ctx, m, uncounted)
	if large := (*blobstore.SizeMismatch)(nil); !errors.As(err, &large) {
		return content, release, err
	}
	size, err := c.store.Stat(ctx, m)
	if err != nil {
		return nil, release, err
	}
	if size > maxStoredManifestBytes {
		return nil, release, &blobstore.SizeMismatch{Want: maxStoredManifestBytes, Got: size}
	}
	held, err := c.memory.take(ctx, holder{}, pushWeight*size, true)
	if err != nil {
		return nil, release, err
	}
	content, err = c.store.Read(ctx, m, maxStoredManifestBytes)
	return content, func() { c.memory.give(holder{}, held) }, err
}

// add caches the parts of a manifest whose content was verified.
func (c *closures) add(m digest.Digest, content []byte) {
	known, _ := c.known.Get(m)
	if known.Image == nil || !known.until.IsZero() {
		c.known.Add(m, knownParts{Image: partsOf(m, content), imaged: known.imaged})
	}
}

// partsOf parses a manifest and returns its parts; a manifest that cannot be parsed has none.
func partsOf(d digest.Digest, content []byte) *Image {
	image := &Image{Digest: digest.Digest(strings.Clone(string(d)))}
	m, err := imagemanifest.Read(content)
	if err != nil {
		return image
	}
	for _, p := range m.Parts() {
		image.add(p, m.Format == imagemanifest.FormatList)
	}
	return image
}

// add adds a part, unless no content can be stored under its digest. It copies the texts, so
// that the document is not kept in memory.
func (i *Image) add(p imagemanifest.Descriptor, child bool) {
	if _, err := parseDigest(p.Digest.String()); err != nil {
		return
	}
	part := Part{Digest: digest.Digest(strings.Clone(string(p.Digest))), MediaType: strings.Clone(p.MediaType), Size: p.Size}
	if p.Size <= 0 {
		part.Size = -1 // schema 1 has no sizes
	}
	if child {
		i.Children = append(i.Children, part)
	} else {
		i.Blobs = append(i.Blobs, part)
	}
}
