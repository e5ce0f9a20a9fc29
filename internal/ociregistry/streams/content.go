package streams

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
)

// content is what one stream's history leads to: its images, the manifests that lists
// among them name, to any depth, and the blobs that these refer to. It is found out
// step by step, as far as it is asked for, and kept: what a new version of the stream
// still leads to is not asked for again.
type content struct {
	images *images
	policy policy
	clock  func() time.Time
	// weighed is told of digests that are held or, negative, not any more.
	weighed func(n int)
	// exploring is held by the one who asks for Images; a channel, so that waiting for it
	// can be given up.
	exploring chan struct{}

	mu      sync.RWMutex
	history *history
	// nodes are the images whose facts are known, all reachable.
	nodes map[digest.Digest]*node
	// blobs are the configurations and layers of nodes.
	blobs map[digest.Digest]*blob
	// named are the manifests that lists among nodes name, with what those say of them.
	named map[digest.Digest]*child
	// queue are images to be looked up, in that order; waiting are the same. The queue
	// may hold what is not waiting any more.
	queue   []digest.Digest
	waiting map[digest.Digest]struct{}
	// absent are images without an Image, with when that was found.
	absent map[digest.Digest]time.Time
	weight int
	// epoch grows with everything that may change an origin.
	epoch uint64
}

type node struct {
	*facts
	// origin is computed when it is first asked for.
	origin atomic.Pointer[located]
}

type blob struct {
	descriptor
	referrers []*node
	origin    atomic.Pointer[located]
}

type child struct {
	descriptor
	parents []digest.Digest
}

// located is an origin as it was at an epoch.
type located struct {
	epoch uint64
	ociregistry.Origin
}

func newContent(p policy, i *images, now func() time.Time, weighed func(int)) *content {
	c := &content{images: i, policy: p, clock: now, weighed: weighed, exploring: make(chan struct{}, 1)}
	c.clear()
	c.history = &history{of: map[digest.Digest][]int{}}
	return c
}

func (c *content) clear() {
	c.nodes = map[digest.Digest]*node{}
	c.blobs = map[digest.Digest]*blob{}
	c.named = map[digest.Digest]*child{}
	c.waiting = map[digest.Digest]struct{}{}
	c.absent = map[digest.Digest]time.Time{}
	c.queue = nil
	c.weighed(-c.weight)
	c.weight = 0
}

// follow brings the content up to a version of the stream, unless it is there already
// or further on.
func (c *content) follow(v *version) {
	c.mu.RLock()
	current := c.history.seq >= v.seq
	c.mu.RUnlock()
	if current {
		return
	}
	h := newHistory(v, c.policy)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.history.seq >= h.seq {
		return
	}
	old := c.history
	c.history = h
	c.epoch++
	doubtful := c.doubtful(old)
	for image := range old.of {
		if !h.has(image) {
			doubtful = true
			break
		}
	}
	if doubtful {
		c.rebuild()
		return
	}
	c.enqueue(h.roots)
}

// doubtful forgets images that were somebody else's, of which the history says now that
// they are in this registry: they have to be proven. It reports whether there are any.
func (c *content) doubtful(old *history) bool {
	var ours []digest.Digest
	for _, image := range c.history.ours {
		if !old.ofThisRegistry(image) {
			ours = append(ours, image)
		}
	}
	found := false
	for image := range c.nodes {
		if len(ours) > 0 && slices.ContainsFunc(c.rootsOf(image), func(root digest.Digest) bool { return slices.Contains(ours, root) }) {
			found = c.doubt(image) || found
		}
	}
	return found
}

// doubt is doubtful for one image.
func (c *content) doubt(image digest.Digest) bool {
	n := c.nodes[image]
	if n == nil || !n.unproven || !slices.ContainsFunc(c.rootsOf(image), c.history.ofThisRegistry) {
		return false
	}
	c.images.doubt(image)
	delete(c.nodes, image)
	return true
}

// rebuild finds out anew what the history leads to, from the facts at hand.
func (c *content) rebuild() {
	nodes, absent := c.nodes, c.absent
	c.clear()
	c.enqueue(c.history.roots)
	for i := 0; i < len(c.queue); i++ { // add makes it longer
		if n, known := nodes[c.queue[i]]; known {
			c.add(n.facts)
		} else if at, was := absent[c.queue[i]]; was {
			c.miss(c.queue[i], at)
		}
	}
}

// enqueue has images looked up before those that wait already. Known ones are passed over.
func (c *content) enqueue(images []digest.Digest) {
	var fresh []digest.Digest
	for _, d := range images {
		if c.unseen(d) {
			c.waiting[d] = struct{}{}
			fresh = append(fresh, d)
		}
	}
	c.queue = append(fresh, c.queue...)
}

func (c *content) unseen(d digest.Digest) bool {
	_, waits := c.waiting[d]
	_, missed := c.absent[d]
	return !waits && !missed && c.nodes[d] == nil
}

// add takes the facts of an image that waited.
func (c *content) add(f *facts) {
	delete(c.waiting, f.image)
	delete(c.absent, f.image)
	if c.nodes[f.image] != nil {
		return
	}
	n := &node{facts: f}
	c.nodes[f.image] = n
	c.epoch++
	c.weight += f.weight()
	c.weighed(f.weight())
	if f.config.digest != "" {
		c.refer(n, f.config)
	}
	for _, layer := range f.layers {
		c.refer(n, layer)
	}
	for _, d := range f.children {
		c.name(f.image, d)
	}
}

// welcome adds facts that were not at hand before. Children of a list that was pushed may
// have been known as somebody else's, and have to be proven now.
func (c *content) welcome(f *facts) {
	c.add(f)
	if f.unproven {
		return
	}
	found := false
	for _, child := range f.children {
		found = c.doubt(child.digest) || found
	}
	if found {
		c.rebuild()
	}
}

func (c *content) refer(n *node, d descriptor) {
	b := c.blobs[d.digest]
	if b == nil {
		b = &blob{descriptor: d}
		c.blobs[d.digest] = b
	}
	// A manifest may name one layer several times.
	if last := len(b.referrers) - 1; last < 0 || b.referrers[last] != n {
		b.referrers = append(b.referrers, n)
	}
}

func (c *content) name(parent digest.Digest, d descriptor) {
	named := c.named[d.digest]
	if named == nil {
		named = &child{descriptor: d}
		c.named[d.digest] = named
	}
	named.parents = append(named.parents, parent)
	if c.unseen(d.digest) {
		c.waiting[d.digest] = struct{}{}
		c.queue = append(c.queue, d.digest)
	}
}

// miss takes notice that there was no Image at some time.
func (c *content) miss(d digest.Digest, at time.Time) {
	delete(c.waiting, d)
	c.absent[d] = at
}

// learn takes facts that are at hand, if the stream leads to that image.
func (c *content) learn(f *facts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, waits := c.waiting[f.image]
	_, missed := c.absent[f.image]
	if n := c.nodes[f.image]; n != nil && n.unproven && !f.unproven {
		delete(c.nodes, f.image)
		c.rebuild()
		waits = true
	}
	if waits || missed {
		c.welcome(f)
	}
}
