package ociregistry

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	digest "github.com/opencontainers/go-digest"
)

// knownClosures keeps the parts of the manifests read last, bounded by the number of
// manifests and by that of their parts: one list may name tens of thousands.
type knownClosures struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[digest.Digest, knownParts]
	parts int
	most  int
}

func newKnownClosures(manifests, parts int) *knownClosures {
	c := &knownClosures{most: parts}
	var err error
	c.lru, err = simplelru.NewLRU(manifests, func(_ digest.Digest, k knownParts) { c.parts -= k.count() })
	if err != nil {
		panic(err) // for a size below 1
	}
	return c
}

func (k knownParts) count() int { return len(k.Blobs) + len(k.Children) }

func (c *knownClosures) get(m digest.Digest) (knownParts, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Get(m)
}

// put keeps the parts of a manifest in place of those that are known of it.
func (c *knownClosures) put(m digest.Digest, k knownParts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Remove(m) // replacing a value does not tell of it
	c.parts += k.count()
	c.lru.Add(m, k)
	for c.parts > c.most && c.lru.Len() > 1 {
		c.lru.RemoveOldest()
	}
}
