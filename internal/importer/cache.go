package importer

import (
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/caches"
)

// The bounds of the process-wide caches in bytes, and how long unused entries stay: long enough for
// the next check of a scheduled tag.
const (
	blobSizesBytes = 1 << 20
	choicesBytes   = 16 << 20
	contentIdle    = time.Hour
	choiceIdle     = 24 * time.Hour
)

// repositoryKey identifies a repository, with defaults filled in, and its transport.
type repositoryKey struct {
	byTag      bool // opened for tags: mirrors may differ from those for digests
	host, path string
	insecure   bool
}

// contentKey identifies content within a repository. The repository is part of the key because of
// access control: see the package comment.
type contentKey struct {
	repository repositoryKey
	digest     digest.Digest
}

// choiceKey is the immutable input of the choice of an image: the digest of a manifest, and the
// platform of a Legacy import. (Other imports use the manifest itself.)
type choiceKey struct {
	content  contentKey
	platform Platform
}

// remembered has the caches that outlive a request. All content was verified against its digest.
// The tenants of the caches are repositories, so that one does not evict the images of all others.
type remembered struct {
	content   *caches.Cache[contentKey, content]
	blobSizes *caches.Cache[contentKey, int64]
	choices   *caches.Cache[choiceKey, digest.Digest]
}

// newRemembered creates the caches. They do not store content larger than a sixteenth of the cache,
// so that one image does not evict everything else.
func newRemembered(p *caches.Pool, contentBytes int64) *remembered {
	return &remembered{
		content: caches.New(p, caches.Options[contentKey, content]{
			Name: "import_content", Bytes: contentBytes, Largest: contentBytes / 16, Idle: contentIdle,
			Cost:   func(k contentKey, c content) int { return k.size() + c.size() },
			Tenant: contentKey.tenant,
		}),
		blobSizes: caches.New(p, caches.Options[contentKey, int64]{
			Name: "import_blob_sizes", Bytes: blobSizesBytes, Idle: contentIdle,
			Cost:   func(k contentKey, _ int64) int { return k.size() },
			Tenant: contentKey.tenant,
		}),
		choices: caches.New(p, caches.Options[choiceKey, digest.Digest]{
			Name: "import_choices", Bytes: choicesBytes, Idle: choiceIdle,
			Cost: func(k choiceKey, d digest.Digest) int {
				return k.content.size() + len(k.platform.Architecture) + len(k.platform.OS) + len(d)
			},
			Tenant: func(k choiceKey) string { return k.content.tenant() },
		}),
	}
}

func (k contentKey) size() int {
	return len(k.repository.host) + len(k.repository.path) + len(k.digest)
}

func (k contentKey) tenant() string { return k.repository.host + "/" + k.repository.path }

// content is a manifest, with its media type and its source, or a config, without these.
type content struct {
	mediaType string
	source    string
	bytes     []byte
}

func (c content) size() int { return cap(c.bytes) + len(c.mediaType) + len(c.source) }
