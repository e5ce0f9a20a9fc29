package streams

import (
	"context"
	"fmt"
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"

	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/ociregistry"
)

const (
	// maxLookups is how many Images are asked for at a time, for one stream.
	maxLookups = 16
	// maxContentWeight bounds the digests that one stream may lead to. Histories are
	// bounded by what the API stores of a stream; lists that list lists are by this.
	maxContentWeight = 1 << 20
)

// kind is what a digest is asked for as.
type kind int

const (
	asManifest kind = iota
	asBlob
)

// find tells how a digest belongs to the stream, nil when it does not. The error is that
// of an API that does not answer.
func (c *content) find(ctx context.Context, d digest.Digest, as kind) (*ociregistry.Origin, error) {
	began := c.clock()
	for {
		if o, final := c.answer(d, as); final {
			return o, nil
		}
		more, err := c.explore(ctx, d, as, began)
		if o := c.origin(d, as); o != nil && err != nil {
			return o, nil // more might open more, this much is sure
		}
		if err != nil {
			return nil, err
		}
		if !more {
			// Whoever explored since may have found it as the last there was to find.
			return c.origin(d, as), nil
		}
	}
}

// answer is the origin of a digest, and whether it is all that can be found: content that
// other registries' images refer to may be that of an image of this one as well.
func (c *content) answer(d digest.Digest, as kind) (o *ociregistry.Origin, final bool) {
	o = c.origin(d, as)
	return o, o != nil && (o.Held || !c.mayHoldMore())
}

// mayHoldMore tells whether images of this registry have not been looked up.
func (c *content) mayHoldMore() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.waiting) == 0 || len(c.history.ours) == 0 {
		return false // as soon as all was looked at, which is soon
	}
	seen := map[digest.Digest]struct{}{}
	var waits func(image digest.Digest) bool
	waits = func(image digest.Digest) bool {
		if _, been := seen[image]; been {
			return false
		}
		seen[image] = struct{}{}
		if n := c.nodes[image]; n != nil {
			return slices.ContainsFunc(n.children, func(child descriptor) bool { return waits(child.digest) })
		}
		_, waiting := c.waiting[image]
		return waiting
	}
	return slices.ContainsFunc(c.history.ours, waits)
}

// lookUp asks for the facts of an image, and once more for those that are of no use
// without being proven: they may be what was known before it was pushed.
func (c *content) lookUp(ctx context.Context, image digest.Digest) (*facts, error) {
	f, err := c.images.facts(ctx, image)
	if f == nil || err != nil || !f.unproven {
		return f, err
	}
	c.mu.RLock()
	credible := c.credible(f)
	c.mu.RUnlock()
	if credible {
		return f, nil
	}
	c.images.doubt(image)
	return c.images.facts(ctx, image)
}

// explore looks some more Images up, and tells whether that may have brought something
// to light.
func (c *content) explore(ctx context.Context, d digest.Digest, as kind, began time.Time) (bool, error) {
	c.mu.RLock()
	idle := len(c.waiting) == 0 && len(c.absent) == 0
	c.mu.RUnlock()
	if idle {
		return false, nil
	}
	select {
	case c.exploring <- struct{}{}:
		defer func() { <-c.exploring }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if _, final := c.answer(d, as); final {
		return true, nil // found by whoever explored before
	}
	batch, err := c.batch(d, as, began)
	if err != nil || len(batch) == 0 {
		return false, err
	}
	found := make([]*facts, len(batch))
	lookups, lookupCtx := errgroup.WithContext(ctx)
	for i, image := range batch {
		lookups.Go(func() (err error) {
			found[i], err = c.lookUp(lookupCtx, image)
			return err
		})
	}
	err = lookups.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.queue = append(batch, c.queue...) // they wait still
		return false, err
	}
	for i, image := range batch {
		c.take(image, found[i])
	}
	return true, nil
}

// take takes the answer to a look-up, which the history may have left behind meanwhile.
func (c *content) take(image digest.Digest, f *facts) {
	switch _, waits := c.waiting[image]; {
	case !waits:
	case f == nil || !c.credible(f):
		c.miss(image, c.clock())
	default:
		c.welcome(f)
	}
}

// batch are the next images to look up: the one that is asked for, if it waits; else
// some that wait; when none does, those that had no Image a while ago.
func (c *content) batch(d digest.Digest, as kind, began time.Time) ([]digest.Digest, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.weight > maxContentWeight {
		return nil, fmt.Errorf("the history of the image stream leads to more than %d manifests and blobs: prune it", maxContentWeight)
	}
	if as == asManifest && c.isDue(d, began) {
		c.retry(d)
	}
	if _, waits := c.waiting[d]; waits {
		return []digest.Digest{d}, nil
	}
	if len(c.waiting) == 0 && as == asBlob {
		for image := range c.absent {
			if c.isDue(image, began) {
				c.retry(image)
			}
		}
	}
	var batch []digest.Digest
	for len(batch) < maxLookups && len(c.queue) > 0 {
		next := c.queue[0]
		c.queue = c.queue[1:]
		if _, waits := c.waiting[next]; waits {
			batch = append(batch, next)
		}
	}
	return batch, nil
}

// isDue tells whether an image that had no Image when a search began is worth asking for
// again. What this search has asked for is not, however long it takes.
func (c *content) isDue(d digest.Digest, began time.Time) bool {
	at, missed := c.absent[d]
	return missed && (began.Sub(at) >= absentFor || c.images.has(d))
}

func (c *content) retry(d digest.Digest) {
	delete(c.absent, d)
	c.waiting[d] = struct{}{}
	c.queue = append(c.queue, d)
}
