package pullthrough

import (
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/upstream"
)

// The bounds of caches in bytes.
const (
	missesBytes  = 4 << 20
	sizesBytes   = 4 << 20
	sourcesBytes = 2 << 20
	warnedBytes  = 1 << 20
)

const (
	// warnedIdle is the time without lookups after which unreadable pull secrets are logged
	// again.
	warnedIdle = time.Hour
	// errorBytes estimates the size of a failure without its text, textBytes that of a string header.
	errorBytes, textBytes = 200, 16
)

// makeCaches makes the expiring caches: misses has the failures of registries that lack content,
// sizes those of blobs, badSources the sources that sent wrong content for a digest, and warned
// the namespaces whose unreadable pull secrets were logged. Entries of one namespace do not evict
// those of others.
func (m *Mirror) makeCaches() {
	p := m.opts.Caches
	m.misses = caches.New(p, caches.Options[string, *upstream.Error]{
		Name: "pullthrough_misses", Bytes: missesBytes, Life: m.opts.Remember, Tenant: namespaceOfKey,
		Cost: func(key string, e *upstream.Error) int { return len(key) + errorBytes + 2*len(e.Error()) },
	})
	m.sizes = caches.New(p, caches.Options[string, int64]{
		Name: "pullthrough_sizes", Bytes: sizesBytes, Life: m.opts.Remember, Tenant: namespaceOfKey,
		Cost: func(key string, _ int64) int { return len(key) },
	})
	m.badSources = caches.New(p, caches.Options[digest.Digest, []string]{
		Name: "pullthrough_bad_sources", Bytes: sourcesBytes, Life: m.opts.AvoidFor, Idle: m.opts.AvoidFor,
		Cost: func(d digest.Digest, sources []string) int {
			bytes := len(d)
			for _, source := range sources {
				bytes += len(source) + textBytes
			}
			return bytes
		},
	})
	m.warned = caches.New(p, caches.Options[string, struct{}]{
		Name: "pullthrough_warned", Bytes: warnedBytes, Idle: warnedIdle,
		Cost: func(namespace string, _ struct{}) int { return len(namespace) },
	})
}

// namespaceOfKey returns the namespace in a key, see job.key.
func namespaceOfKey(key string) string {
	parts := strings.SplitN(key, "\x00", 4)
	return parts[min(2, len(parts)-1)]
}
