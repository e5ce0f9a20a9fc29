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
	// warnedIdle is the time after which the log is told once more of pull secrets that cannot be
	// read, if none were looked for meanwhile.
	warnedIdle = time.Hour
	// errorBytes is about what a failure takes beside its text, textBytes the header of a text.
	errorBytes, textBytes = 200, 16
)

// makeCaches makes the caches of facts that count for a while: misses are the failures of registries
// that do not have something, sizes those of blobs, and badSources the sources that sent wrong
// content for a digest. What is known for one namespace does not drive out what is known for
// others. warned are namespaces of whose unreadable pull secrets the log was told.
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

// namespaceOfKey is the namespace in a key, see job.key.
func namespaceOfKey(key string) string {
	parts := strings.SplitN(key, "\x00", 4)
	return parts[min(2, len(parts)-1)]
}
