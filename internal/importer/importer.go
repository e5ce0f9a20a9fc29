package importer

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"sync"

	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/upstream"

	digest "github.com/opencontainers/go-digest"
)

// Registries opens upstream repositories. [FromClient] returns the implementation over an upstream
// client. Errors are *upstream.Error if a status depends on their kind.
type Registries interface {
	// Repository opens the repository that ref names. It returns CodeBlocked if configuration
	// forbids contact, CodeName if ref names no repository. It makes no request.
	Repository(ref reference.PullSpec, insecure bool, creds pullsecrets.Credentials) (Repository, error)
}

// Repository reads one repository, like *upstream.Repository. It verifies the content of Manifest
// and Blob against a requested digest; the importer verifies it again.
type Repository interface {
	// Head returns the digest of a manifest without fetching it.
	Head(ctx context.Context, tagOrDigest string) (upstream.Descriptor, error)
	// Manifest fetches a manifest. Its Digest is that of its Bytes.
	Manifest(ctx context.Context, tagOrDigest string) (upstream.Manifest, error)
	// Blob fetches a blob of at most maxBytes bytes.
	Blob(ctx context.Context, d digest.Digest, maxBytes int64) ([]byte, error)
	// BlobSize returns the size of a blob in bytes.
	BlobSize(ctx context.Context, d digest.Digest) (int64, error)
	// Tags lists the tags, in any order, an empty name included.
	Tags(ctx context.Context) ([]string, error)
}

// FromClient returns Registries over an upstream client.
func FromClient(c *upstream.Client) Registries { return clientRegistries{c} }

type clientRegistries struct{ client *upstream.Client }

// FallsBackToAnonymous returns true: the client tries anonymous access after all credentials.
func (clientRegistries) FallsBackToAnonymous() bool { return true }

func (c clientRegistries) Repository(ref reference.PullSpec, insecure bool, creds pullsecrets.Credentials) (Repository, error) {
	r, err := c.client.Repository(ref, insecure, creds)
	if err != nil {
		return nil, err // not r: a nil *upstream.Repository would make a non-nil interface
	}
	return r, nil
}

// Importer imports images. It is safe for concurrent use; a process should share one because of
// its caches.
type Importer struct {
	options    Options
	remembered *remembered
}

// New returns an Importer, which has nothing to stop.
func New(options Options) *Importer {
	p := &options.DefaultPlatform
	p.OS, p.Architecture = cmp.Or(p.OS, runtime.GOOS), cmp.Or(p.Architecture, runtime.GOARCH)
	return &Importer{options: options, remembered: newRemembered(options.Caches, int64(options.Limits.CacheSize))}
}

// errOutOfTime is the cause of the context that Options.Timeout ends.
var errOutOfTime = errors.New("the import ran out of time")

// Import reads the requested images and returns a result for each. It returns when all are done,
// after the time-out, or when ctx ends.
func (i *Importer) Import(ctx context.Context, req Request) Result {
	ctx, cancel := context.WithTimeoutCause(ctx, i.options.Timeout.Duration, errOutOfTime)
	defer cancel()

	session := i.newSession(req.Credentials, req.WithoutText)
	var listed listedTags
	var wait sync.WaitGroup
	if req.Repository != nil {
		wait.Go(func() { listed = session.importRepository(ctx, *req.Repository, req.MaxRepositoryTags) })
	}
	result := Result{Images: session.importImages(ctx, req.Images)}
	i.retryWithFallback(ctx, session, req, result.Images)
	wait.Wait()
	if req.Repository != nil {
		result.Repository = repositoryResult(*req.Repository, listed, req.Images, result.Images)
	}
	return result
}
