package ociregistry

import (
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/caches"
)

// The bounds of caches in bytes, beside that of manifests, Options.ManifestCacheBytes.
const (
	closuresBytes  = 32 << 20
	absentBytes    = 2 << 20
	keptBytes      = 4 << 20
	readBytes      = 4 << 20
	uploadersBytes = 16 << 20
)

// contentIdle is how long entries with a digest as key stay cached after their last use.
const contentIdle = time.Hour

func newClosureCache(o Options) *caches.Cache[digest.Digest, knownParts] {
	return caches.New(o.Caches, caches.Options[digest.Digest, knownParts]{
		Name: "manifest_parts", Bytes: closuresBytes, Idle: contentIdle, Now: o.Now,
		Cost: func(m digest.Digest, k knownParts) int { return len(m) + k.MemoryBytes() },
	})
}

func newAbsentCache(o Options) *caches.Cache[digest.Digest, struct{}] {
	return caches.New(o.Caches, caches.Options[digest.Digest, struct{}]{
		Name: "manifests_absent", Bytes: absentBytes, Life: absentFor, Now: o.Now,
		Cost: func(m digest.Digest, _ struct{}) int { return len(m) },
	})
}

// newManifestCache returns the cache of manifests as they are served. It grants no access to
// them, and all tenants share it: an evicted manifest is read from storage.
func newManifestCache(o Options) *caches.Cache[digest.Digest, *storedManifest] {
	return caches.New(o.Caches, caches.Options[digest.Digest, *storedManifest]{
		Name: "manifests", Bytes: o.ManifestCacheBytes, Idle: contentIdle, Now: o.Now,
		Cost: func(_ digest.Digest, m *storedManifest) int { return cap(m.content) + manifestOverhead },
	})
}
