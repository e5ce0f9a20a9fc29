package importer

import (
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/caches"
)

// The bounds of the process-wide caches in bytes, and how long is kept what is not used: a scheduled
// tag is looked at again after an interval.
const (
	blobSizesBytes = 1 << 20
	choicesBytes   = 16 << 20
	contentIdle    = time.Hour
	choiceIdle     = 24 * time.Hour
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

// remembered outlives a request. Everything in it was verified against a digest. The tenants
// of its caches are repositories: the images of one do not drive out those of all others.
type remembered struct {
	content   *caches.Cache[contentKey, content]
	blobSizes *caches.Cache[contentKey, int64]
	choices   *caches.Cache[choiceKey, digest.Digest]
}

// newRemembered makes the caches. Content of more than a sixteenth of its cache is not kept: one
// image must not drive out everything else.
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

// content is a manifest, with its media type and the source that answered, or a config, without.
type content struct {
	mediaType string
	source    string
	bytes     []byte
}

func (c content) size() int { return cap(c.bytes) + len(c.mediaType) + len(c.source) }
