package ociregistry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/reference"
)

// Defaults of Options.
const (
	// DefaultMaxManifestBytes is the least that the specification requires.
	DefaultMaxManifestBytes = 4 << 20
	// DefaultManifestCacheBytes bounds the manifests that are kept in memory.
	DefaultManifestCacheBytes = 64 << 20
	// DefaultMaxContentBytes bounds the content that requests in flight hold in memory.
	DefaultMaxContentBytes = 256 << 20
	// DefaultClientTimeout is how long a client may stall.
	DefaultClientTimeout = time.Minute
)

// maxConfigBytes is the largest configuration that is copied to the Image of a push. It equals
// the importer's bound, so that pushed and imported images show the same.
const maxConfigBytes = 8 << 20

// Sparse specifies which parts a pushed manifest may lack.
type Sparse string

const (
	// SparseIndexes permits missing children of indexes and manifest lists. It is the
	// default: clients push indexes after copying only some platforms.
	SparseIndexes Sparse = "indexes"
	// SparseAll also permits missing layers.
	SparseAll Sparse = "all"
	// SparseNone permits only non-distributable layers to be missing.
	SparseNone Sparse = "none"
)

// Limit bounds concurrent requests. The zero Limit has no bounds.
type Limit struct {
	// MaxRunning is the number of concurrent requests; 0 and below is without limit.
	MaxRunning int
	// MaxInQueue is the number of queued requests; more are rejected.
	MaxInQueue int
	// MaxWaitInQueue is how long a request waits before it is rejected; 0 has no limit.
	MaxWaitInQueue time.Duration
}

// Options configure a Handler.
type Options struct {
	// Store, Directory and Access are required.
	Store     *blobstore.Store
	Directory Directory
	Access    Access
	// Upstream fetches content that streams refer to and the store lacks; nil disables that.
	Upstream Upstream

	// OnKeepFailed is called by RunKeeper when images of a stream could not be kept on
	// import; RunKeeper retries them. It may be nil.
	OnKeepFailed func(ctx context.Context, repo reference.Repository, err error)

	// MaxManifestBytes is the largest manifest that is accepted; 0 is DefaultMaxManifestBytes.
	MaxManifestBytes int64
	// Sparse specifies which parts a manifest may lack; "" is SparseIndexes.
	Sparse Sparse
	// ManifestCacheBytes bounds the memory for manifests; 0 is DefaultManifestCacheBytes.
	ManifestCacheBytes int64
	// Caches bounds the memory of all caches together, in addition to the bound of each; nil is
	// without such a bound.
	Caches *caches.Pool
	// MaxContentBytes is the memory for manifests, configurations, signatures and lists of all
	// requests in flight; 0 is DefaultMaxContentBytes. One user gets at most a quarter, one
	// namespace at most half, and another quarter is for manifests that are read for their parts.
	MaxContentBytes int64
	// MaxUploadsPerUser is how many unfinished uploads one user may have; 0 is
	// DefaultMaxUploadsPerUser.
	MaxUploadsPerUser int
	// RedirectBlobs redirects clients to URLs of the storage, if its driver provides them.
	RedirectBlobs bool
	// MinChunkBytes is the minimum chunk size announced to clients (OCI-Chunk-Min-Length); 0
	// announces none. Object storage is faster with the size of its parts.
	MinChunkBytes int64
	// Reads limits GET, HEAD and OPTIONS; Writes limits the rest.
	Reads, Writes Limit
	// ClientTimeout is how long a client may stall while the registry waits for it to send
	// or to read; 0 is DefaultClientTimeout.
	ClientTimeout time.Duration
	// MetricsOff disables the metrics endpoint.
	MetricsOff bool
	// MetricsSecret is the bearer token of the scraper; no other credentials can read the
	// metrics then. "" leaves the decision to Access.
	MetricsSecret string
	// AccessLog gets an entry for each request; nil for none.
	AccessLog AccessLog
	// Now returns the current time; nil is time.Now.
	Now Clock
}

// complete sets defaults and returns an error with every mistake.
func (o *Options) complete() error {
	var wrong []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	want(o.Store != nil, "Store is required")
	want(o.Directory != nil, "Directory is required")
	want(o.Access != nil, "Access is required")
	want(o.MaxManifestBytes >= 0, "MaxManifestBytes must not be negative: %d", o.MaxManifestBytes)
	want(o.ManifestCacheBytes >= 0, "ManifestCacheBytes must not be negative: %d", o.ManifestCacheBytes)
	want(o.MaxContentBytes >= 0, "MaxContentBytes must not be negative: %d", o.MaxContentBytes)
	want(o.MaxUploadsPerUser >= 0, "MaxUploadsPerUser must not be negative: %d", o.MaxUploadsPerUser)
	want(o.MinChunkBytes >= 0, "MinChunkBytes must not be negative: %d", o.MinChunkBytes)
	want(o.ClientTimeout >= 0, "ClientTimeout must not be negative: %s", o.ClientTimeout)
	switch o.Sparse {
	case "", SparseIndexes, SparseAll, SparseNone:
	default:
		want(false, "Sparse is %q: choose %s, %s or %s", o.Sparse, SparseIndexes, SparseAll, SparseNone)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("setting up the registry: %w", errors.Join(wrong...))
	}
	o.MaxManifestBytes = cmp.Or(o.MaxManifestBytes, DefaultMaxManifestBytes)
	o.ManifestCacheBytes = cmp.Or(o.ManifestCacheBytes, DefaultManifestCacheBytes)
	o.MaxContentBytes = cmp.Or(o.MaxContentBytes, DefaultMaxContentBytes)
	o.MaxUploadsPerUser = cmp.Or(o.MaxUploadsPerUser, DefaultMaxUploadsPerUser)
	o.ClientTimeout = cmp.Or(o.ClientTimeout, DefaultClientTimeout)
	o.Sparse = cmp.Or(o.Sparse, SparseIndexes)
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}
