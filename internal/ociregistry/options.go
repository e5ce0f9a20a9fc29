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

// What Options leave out.
const (
	// DefaultMaxManifestBytes is the least that the specification requires.
	DefaultMaxManifestBytes = 4 << 20
	// DefaultManifestCacheBytes bounds the manifests that are kept in memory.
	DefaultManifestCacheBytes = 64 << 20
	// DefaultMaxContentBytes bounds the content of requests under way that is in memory.
	DefaultMaxContentBytes = 256 << 20
	// DefaultClientTimeout is how long a client may stand still.
	DefaultClientTimeout = time.Minute
)

// maxConfigBytes is the largest configuration that is told of with a push. It is the
// importer's bound, so that pushed and imported images show the same.
const maxConfigBytes = 8 << 20

// Sparse says which parts a manifest that is pushed may lack.
type Sparse string

const (
	// SparseIndexes lets children of indexes and manifest lists be missing. It is the
	// default: clients push indexes of which they copied some platforms only.
	SparseIndexes Sparse = "indexes"
	// SparseAll lets layers be missing too.
	SparseAll Sparse = "all"
	// SparseNone wants everything but non-distributable layers to be there.
	SparseNone Sparse = "none"
)

// Limit bounds the requests that are handled at a time. The zero Limit has no bounds.
type Limit struct {
	// MaxRunning is how many are handled at a time; 0 and below is without limit.
	MaxRunning int
	// MaxInQueue is how many wait for their turn; more are refused.
	MaxInQueue int
	// MaxWaitInQueue is how long one waits before it is refused; 0 is as long as the client does.
	MaxWaitInQueue time.Duration
}

// Options say what a Handler is made of.
type Options struct {
	// Store, Directory and Access are needed.
	Store     *blobstore.Store
	Directory Directory
	Access    Access
	// Upstream fetches what streams refer to and the store lacks; nil is off.
	Upstream Upstream

	// OnKeepFailed is called, by RunKeeper, when images of a stream that are kept at import
	// could not be kept; they are tried again. It may be nil.
	OnKeepFailed func(ctx context.Context, repo reference.Repository, err error)

	// MaxManifestBytes is the largest manifest that is accepted; 0 is DefaultMaxManifestBytes.
	MaxManifestBytes int64
	// Sparse is what manifests may lack; "" is SparseIndexes.
	Sparse Sparse
	// ManifestCacheBytes bounds the memory for manifests; 0 is DefaultManifestCacheBytes.
	ManifestCacheBytes int64
	// Caches bound the memory for manifests and all else that is remembered, beside the bounds
	// of each cache; nil is without such a bound.
	Caches *caches.Pool
	// MaxContentBytes is the memory for manifests, configurations, signatures and lists of all
	// requests under way; 0 is DefaultMaxContentBytes. One user gets at most a quarter, one
	// namespace at most half, and another quarter is for manifests that are read for their parts.
	MaxContentBytes int64
	// MaxUploadsPerUser is how many unfinished uploads one user may have; 0 is
	// DefaultMaxUploadsPerUser.
	MaxUploadsPerUser int
	// RedirectBlobs sends clients to the storage's own URLs for blobs, where it has such.
	RedirectBlobs bool
	// MinChunkBytes is the least size of a chunk of an upload that clients are told to keep
	// (OCI-Chunk-Min-Length); 0 tells nothing. Object storage is quicker with a part's size.
	MinChunkBytes int64
	// Reads limits GET, HEAD and OPTIONS; Writes limits the rest.
	Reads, Writes Limit
	// ClientTimeout is how long a client may neither send nor take anything while it
	// is its turn; 0 is DefaultClientTimeout.
	ClientTimeout time.Duration
	// MetricsOff refuses the metrics to everybody.
	MetricsOff bool
	// MetricsSecret is what a scraper shows as its bearer token; then nobody else may read
	// the metrics. "" leaves it to Access.
	MetricsSecret string
	// AccessLog takes an entry for each request; nil for none.
	AccessLog AccessLog
	// Now is the time; nil is time.Now.
	Now Clock
}

// complete fills in what is left out and tells all that is wrong.
func (o *Options) complete() error {
	var wrong []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	want(o.Store != nil, "no blob store is given")
	want(o.Directory != nil, "no directory of streams is given")
	want(o.Access != nil, "nobody who decides about access is given")
	want(o.MaxManifestBytes >= 0, "the largest manifest cannot have %d bytes", o.MaxManifestBytes)
	want(o.ManifestCacheBytes >= 0, "manifests in memory cannot have %d bytes", o.ManifestCacheBytes)
	want(o.MaxContentBytes >= 0, "the content of requests cannot have %d bytes", o.MaxContentBytes)
	want(o.MaxUploadsPerUser >= 0, "a user cannot have %d uploads", o.MaxUploadsPerUser)
	want(o.MinChunkBytes >= 0, "a chunk cannot have %d bytes at least", o.MinChunkBytes)
	want(o.ClientTimeout >= 0, "the time-out for clients cannot be %s", o.ClientTimeout)
	switch o.Sparse {
	case "", SparseIndexes, SparseAll, SparseNone:
	default:
		want(false, "sparse manifests are %q: choose %s, %s or %s", o.Sparse, SparseIndexes, SparseAll, SparseNone)
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
