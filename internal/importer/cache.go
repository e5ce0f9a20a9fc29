package importer

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	digest "github.com/opencontainers/go-digest"
)

// Sizes of the process-wide caches, in entries.
const (
	blobSizeEntries = 2048
	choiceEntries   = 32768
	contentEntries  = 65536 // with CacheBytes, whichever is reached first
)

// repositoryKey is a repository, with defaults filled in, and how it is spoken to.
type repositoryKey struct {
	byTag      bool // opened for tags: mirrors may differ from those for digests
	host, path string
	insecure   bool
}

// contentKey names content within a repository. The repository is part of it for the sake of who
// may see what: see the package comment.
type contentKey struct {
	repository repositoryKey
	digest     digest.Digest
}

// choiceKey is a question that has one answer for ever: which image does a Legacy import for this
// platform take from the manifest with this digest? (Other imports take the manifest itself.)
type choiceKey struct {
	content  contentKey
	platform Platform
}

// caches is what outlives a request. Everything in it was verified against a digest.
type caches struct {
	content   *contentCache
	blobSizes *lru.Cache[contentKey, int64]
	choices   *lru.Cache[choiceKey, digest.Digest]
}

func newCaches(contentBytes int64) *caches {
	return &caches{
		content:   newContentCache(contentBytes),
		blobSizes: mustLRU[contentKey, int64](blobSizeEntries),
		choices:   mustLRU[choiceKey, digest.Digest](choiceEntries),
	}
}

// mustLRU makes a cache of a constant size: the only error is a size that is not positive.
func mustLRU[K comparable, V any](size int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](size)
	if err != nil {
		panic(err)
	}
	return c
}

// content is a manifest, with its media type and the source that answered, or a config, without.
type content struct {
	mediaType string
	source    string
	bytes     []byte
}

// overhead is about what an entry costs beside its bytes.
const overhead = 256

func (c content) cost() int64 { return int64(len(c.bytes)+len(c.mediaType)+len(c.source)) + overhead }

// contentCache keeps the content used last, up to a number of bytes. Content of more than a
// sixteenth of that is not kept: one image must not drive out everything else.
type contentCache struct {
	max int64

	mu    sync.Mutex
	bytes int64
	lru   *simplelru.LRU[contentKey, content]
}

func newContentCache(maxBytes int64) *contentCache {
	c := &contentCache{max: maxBytes}
	l, err := simplelru.NewLRU(contentEntries, func(_ contentKey, evicted content) { c.bytes -= evicted.cost() })
	if err != nil {
		panic(err) // contentEntries is positive
	}
	c.lru = l
	return c
}

func (c *contentCache) get(key contentKey) (content, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Get(key)
}

func (c *contentCache) add(key contentKey, value content) {
	if value.cost() > c.max/16 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lru.Contains(key) {
		return // same digest, same bytes
	}
	c.bytes += value.cost()
	c.lru.Add(key, value)
	for c.bytes > c.max {
		c.lru.RemoveOldest()
	}
}
