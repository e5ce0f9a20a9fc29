package streams

import (
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	digest "github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// maxContents bounds the streams whose content is kept, maxWeight the digests that
	// all of them hold, which take some 150 bytes each.
	maxContents = 4096
	maxWeight   = 1 << 19
)

// contents are those of the streams that were asked for last.
type contents struct {
	policy policy
	images *images
	clock  func() time.Time

	kept   *lru.Cache[types.NamespacedName, *content]
	weight atomic.Int64
}

func newContents(p policy, i *images, now func() time.Time) *contents {
	kept, err := lru.NewWithEvict(maxContents, func(_ types.NamespacedName, dropped *content) { dropped.abandon() })
	if err != nil {
		panic(err) // for a size of 0, which it has not
	}
	return &contents{policy: p, images: i, clock: now, kept: kept}
}

// of is the content of a version of a stream, or of a newer one.
func (c *contents) of(id types.NamespacedName, v *version) *content {
	kept, found := c.kept.Get(id)
	if !found {
		fresh := newContent(c.policy, c.images, c.clock, func(n int) { c.weight.Add(int64(n)) })
		if first, taken, _ := c.kept.PeekOrAdd(id, fresh); taken {
			kept = first
		} else {
			kept = fresh
		}
	}
	kept.follow(v)
	return kept
}

// shed drops the contents that were not asked for the longest until the rest is not too
// much.
func (c *contents) shed() {
	for c.weight.Load() > maxWeight && c.kept.Len() > 1 {
		c.kept.RemoveOldest()
	}
}

// drop forgets a stream.
func (c *contents) drop(id types.NamespacedName) { c.kept.Remove(id) }

// holders are the streams that, as far as is known, lead to a blob; at most n.
func (c *contents) holders(d digest.Digest, n int) []types.NamespacedName {
	var ids []types.NamespacedName
	for _, id := range c.kept.Keys() {
		if kept, found := c.kept.Peek(id); found && kept.holds(d) {
			if ids = append(ids, id); len(ids) == n {
				break
			}
		}
	}
	return ids
}

// abandon takes the weight of a content that is not kept any more from the balance.
// Whoever still works with it may.
func (c *content) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.weighed(-c.weight)
	c.weighed = func(int) {}
}

func (c *content) holds(d digest.Digest) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.blobs[d] != nil
}
