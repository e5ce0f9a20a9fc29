package streams

import (
	"time"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/ociregistry"
)

// The bounds of caches in bytes.
const (
	imagesBytes    = 16 << 20
	absentBytes    = 2 << 20
	historiesBytes = 24 << 20
	recentBytes    = 4 << 20
	answersBytes   = 8 << 20
	sightsBytes    = 8 << 20
)

// factsIdle is how long is kept, after its last use, what is read once and stays true.
const factsIdle = time.Hour

const (
	// eventBytes is about what an event takes in a history, with the index of its image, and
	// placeBytes a repository that it refers to. headerBytes is the header of a text.
	eventBytes, placeBytes, headerBytes = 200, 300, 16
	// copyBytes is about what a copy of an image takes.
	copyBytes = 200
)

// newImageCache makes the cache of Images. They are no tenant's; one that is forgotten is read again.
func newImageCache(p *caches.Pool, now func() time.Time) *caches.Cache[digest.Digest, *ociregistry.Image] {
	return caches.New(p, caches.Options[digest.Digest, *ociregistry.Image]{
		Name: "images", Bytes: imagesBytes, Idle: factsIdle, Now: now,
		Cost: func(_ digest.Digest, f *ociregistry.Image) int { return f.MemoryBytes() },
	})
}

// newAbsentCache makes the cache of names without an Image. Such an answer saves one request.
func newAbsentCache(p *caches.Pool, now func() time.Time) *caches.Cache[digest.Digest, struct{}] {
	return caches.New(p, caches.Options[digest.Digest, struct{}]{
		Name: "images_absent", Bytes: absentBytes, Life: absentFor, Now: now,
		Cost: func(d digest.Digest, _ struct{}) int { return len(d) },
	})
}

// newHistoryCache makes the cache of histories: those of the streams of one namespace do not drive
// out all others.
func newHistoryCache(p *caches.Pool) *caches.Cache[types.NamespacedName, *history] {
	return caches.New(p, caches.Options[types.NamespacedName, *history]{
		Name: "stream_histories", Bytes: historiesBytes, Idle: factsIdle,
		Cost: func(id types.NamespacedName, h *history) int {
			return idBytes(id) + len(h.events)*eventBytes + len(h.repositories)*placeBytes + len(h.copies)*copyBytes
		},
		Tenant: namespaceOf,
	})
}

func newRecentCache(p *caches.Pool, now func() time.Time) *caches.Cache[types.NamespacedName, struct{}] {
	return caches.New(p, caches.Options[types.NamespacedName, struct{}]{
		Name: "stream_reads", Bytes: recentBytes, Life: freshFor, Now: now,
		Cost:   func(id types.NamespacedName, _ struct{}) int { return idBytes(id) },
		Tenant: namespaceOf,
	})
}

// newAnswerCache and newSightCache make the caches of what users may do: however much one user
// lists, what is known of others stays.
func newAnswerCache(p *caches.Pool, now func() time.Time) *caches.Cache[question, bool] {
	return caches.New(p, caches.Options[question, bool]{
		Name: "stream_reviews", Bytes: answersBytes, Life: reviewFor, Now: now,
		Cost:   func(q question, _ bool) int { return len(q.user) + len(q.namespace) + len(q.stream) },
		Tenant: func(q question) string { return q.user },
	})
}

func newSightCache(p *caches.Pool, now func() time.Time) *caches.Cache[sightKey, sight] {
	return caches.New(p, caches.Options[sightKey, sight]{
		Name: "stream_sights", Bytes: sightsBytes, Life: reviewFor, Now: now,
		Cost: func(k sightKey, s sight) int {
			bytes := len(k.user) + len(k.namespace)
			for _, name := range s.names {
				bytes += len(name) + headerBytes
			}
			return bytes
		},
		Tenant: func(k sightKey) string { return k.user },
	})
}

func idBytes(id types.NamespacedName) int { return len(id.Namespace) + len(id.Name) }

func namespaceOf(id types.NamespacedName) string { return id.Namespace }
