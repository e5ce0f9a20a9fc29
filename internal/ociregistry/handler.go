package ociregistry

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// Handler serves the registry. It is safe for concurrent use.
type Handler struct {
	Options
	routes *routes

	reads, writes *limiter
	manifests     *manifestCache
	// blobs and revisions (manifests) are the ways in which content belongs to repositories.
	blobs, revisions bond
	// passed are manifests that were fetched for a repository. While they are in memory they
	// are served from there, whether or not they were kept.
	passed linkHints
	// goneLayers are empty layers that were deleted from a repository.
	goneLayers linkHints
	requests   *requestNames
	closed     atomic.Bool
}

// New makes a Handler. The error tells everything that is wrong with the options.
func New(o Options) (*Handler, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	registerMetrics()
	return &Handler{
		Options:   o,
		routes:    newRoutes(table()),
		reads:     newLimiter("read", o.Reads),
		writes:    newLimiter("write", o.Writes),
		manifests: newManifestCache(o.ManifestCacheBytes),
		blobs: bond{
			what: "blob", unknown: CodeBlobUnknown,
			known: o.Directory.Blob, linked: o.Store.HasBlob, hints: newLinkHints(),
		},
		revisions: bond{
			what: "manifest", unknown: CodeManifestUnknown,
			known: o.Directory.Manifest, linked: o.Store.HasManifest, hints: newLinkHints(),
			throughOthers: unlinkedOf(o.Store),
		},
		passed:     newLinkHints(),
		goneLayers: newLinkHints(),
		requests:   newRequestNames(),
	}, nil
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

// Forget drops what is remembered of manifests that were fetched for a repository
// (namespace/stream), or for those of a namespace. Call it when they are gone: others may
// have their names next.
func (h *Handler) Forget(name string) {
	for _, l := range h.passed.seen.Keys() {
		if l.repository == name || strings.HasPrefix(l.repository, name+"/") {
			h.passed.seen.Remove(l)
		}
	}
}

// Close ends the service: requests that come from now on are answered with
// CodeUnavailable, those under way are not waited for (http.Server's Shutdown does), and
// the memory for manifests is given back. It never fails.
func (h *Handler) Close() error {
	h.closed.Store(true)
	h.manifests.clear()
	return nil
}
