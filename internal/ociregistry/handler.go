package ociregistry

import (
	"net/http"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/caches"
)

// Handler serves the registry. It is safe for concurrent use.
type Handler struct {
	Options
	routes *routes

	reads, writes *limiter
	memory        *memory
	sessions      *sessions
	manifests     *caches.Cache[digest.Digest, *storedManifest]
	closures      *closures
	keeper        *keeper
	requests      *requestNames
	closed        atomic.Bool
}

// New returns a Handler. The error lists every mistake in the options.
func New(o Options) (*Handler, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	registerMetrics()
	share := max(o.MaxContentBytes/4, 1)
	h := &Handler{
		Options:   o,
		routes:    newRoutes(table()),
		reads:     newLimiter("read", o.Reads),
		writes:    newLimiter("write", o.Writes),
		memory:    newMemory(o.MaxContentBytes-share, share),
		sessions:  newSessions(o),
		manifests: newManifestCache(o),
		closures:  newClosures(o, newMemory(share, share)),
		requests:  newRequestNames(),
	}
	h.keeper = newKeeper(h)
	return h, nil
}

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{Handler: h, r: r, started: h.Now()}
	x.w.begin(w, r, h.ClientTimeout)
	x.body.begin(w, r, h.ClientTimeout)
	defer x.finish()
	if err := x.serve(); err != nil {
		x.fail(err)
	}
}

// Close answers further requests with CodeUnavailable and releases the memory for manifests.
// It does not wait for requests in flight; http.Server's Shutdown does. It never fails.
func (h *Handler) Close() error {
	h.closed.Store(true)
	h.manifests.Purge()
	return nil
}
