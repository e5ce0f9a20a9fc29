package ociregistry

import (
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	digest "github.com/opencontainers/go-digest"
)

// storedManifest is a manifest as it is served, with its headers ready: a manifest that
// is in memory is answered without making anything but the answer.
type storedManifest struct {
	content   []byte
	mediaType string
	digest    digest.Digest

	headerType, headerLength, headerDigest, headerTag []string
}

func newStoredManifest(d digest.Digest, mediaType string, content []byte) *storedManifest {
	d = digest.Digest(strings.Clone(d.String())) // it may be a part of a request's path
	return &storedManifest{
		content: content, mediaType: mediaType, digest: d,
		headerType:   []string{mediaType},
		headerLength: []string{strconv.Itoa(len(content))},
		headerDigest: []string{d.String()},
		headerTag:    []string{entityTag(d)},
	}
}

// entityTag is the ETag of content.
func entityTag(d digest.Digest) string { return `"` + d.String() + `"` }

// manifestOverhead is what one takes in memory besides its content, about.
const manifestOverhead = 1 << 10

func (m *storedManifest) size() int64 { return int64(len(m.content)) + manifestOverhead }

// manifestCache keeps the manifests read last, bounded by their bytes. It says nothing
// about who may read them.
type manifestCache struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[digest.Digest, *storedManifest]
	bytes int64
	max   int64
}

func newManifestCache(maxBytes int64) *manifestCache {
	c := &manifestCache{max: maxBytes}
	entries := max(int(maxBytes/manifestOverhead), 1)
	c.lru, _ = simplelru.NewLRU(entries, func(_ digest.Digest, m *storedManifest) { c.bytes -= m.size() }) // fails for sizes below 1
	return c
}

func (c *manifestCache) get(d digest.Digest) *storedManifest {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, _ := c.lru.Get(d)
	return m
}

// put keeps a manifest, unless it would push out most of the others.
func (c *manifestCache) put(m *storedManifest) {
	if m.size() > c.max/2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lru.Contains(m.digest) {
		return
	}
	c.bytes += m.size()
	c.lru.Add(m.digest, m)
	for c.bytes > c.max {
		c.lru.RemoveOldest()
	}
}

func (c *manifestCache) drop(d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Remove(d)
}

func (c *manifestCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Purge()
}
