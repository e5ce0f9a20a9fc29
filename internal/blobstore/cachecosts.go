package blobstore

import (
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/caches"
)

// The bounds of caches in bytes. An entry takes from 300 to 800 bytes.
const (
	sizesBytes       = 8 << 20
	linksBytes       = 16 << 20
	provenancesBytes = 8 << 20
	ownersBytes      = 4 << 20
	recentBytes      = 8 << 20
	syncedBytes      = 4 << 20
	uploadsBytes     = 4 << 20
)

// hintIdle is how long is remembered, after its last use, what only saves work and is never wrong.
const hintIdle = time.Hour

// stringHeader is the size of a string in a slice, without its bytes.
const stringHeader = 16

// makeCaches makes the caches. Links, owners and recent links are a namespace's: one namespace does
// not drive out those of others. The rest is about content by its digest, folders and uploads, and
// saves a look into storage.
func (s *Store) makeCaches(p *caches.Pool, life time.Duration, now func() time.Time) {
	s.sizes = newCache(p, caches.Options[digest.Digest, int64]{
		Name: "blob_sizes", Bytes: sizesBytes, Life: life, Now: now,
		Cost: func(d digest.Digest, _ int64) int { return len(d) },
	})
	s.links = newCache(p, caches.Options[linkKey, struct{}]{
		Name: "blob_links", Bytes: linksBytes, Life: life, Now: now, Cost: linkBytes,
		Tenant: func(k linkKey) string { return namespaceOf(k.repo) },
		Group:  func(k linkKey) string { return k.repo },
	})
	s.provenances = newCache(p, caches.Options[digest.Digest, []string]{
		Name: "blob_provenances", Bytes: provenancesBytes, Life: life, Now: now, Cost: provenanceBytes,
	})
	s.owners = newCache(p, caches.Options[ownerKey, string]{
		Name: "blob_owners", Bytes: ownersBytes, Life: life, Now: now, Cost: ownerBytes,
		Tenant: func(k ownerKey) string { return namespaceOf(k.repo) },
	})
	s.recent.repos = caches.New(p, caches.Options[blobOfNamespace, []string]{
		Name: "blob_recent_links", Bytes: recentBytes, Idle: hintIdle, Now: now, Cost: recentLinkBytes,
		Tenant: func(k blobOfNamespace) string { return k.namespace },
	})
	s.pending.init(p)
	s.uploads.init(p)
}

func linkBytes(k linkKey, _ struct{}) int { return len(k.repo) + len(k.owner) + len(k.digest) }

func ownerBytes(k ownerKey, uid string) int { return len(k.repo) + len(k.name) + len(uid) }

func provenanceBytes(d digest.Digest, sources []string) int { return len(d) + textBytes(sources) }

func recentLinkBytes(k blobOfNamespace, repos []string) int {
	return len(k.namespace) + len(k.digest) + textBytes(repos)
}

func textBytes(texts []string) (bytes int) {
	for _, text := range texts {
		bytes += len(text) + stringHeader
	}
	return bytes
}
