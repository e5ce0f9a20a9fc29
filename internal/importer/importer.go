package importer

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/upstream"

	digest "github.com/opencontainers/go-digest"
)

// Registries opens repositories upstream. It is what the importer needs of an upstream client:
// [FromClient] makes one. Errors are *upstream.Error where a status depends on the kind.
type Registries interface {
	// Repository opens the repository that ref names. CodeBlocked when configuration forbids
	// contact, CodeName when ref names no repository. It makes no call.
	Repository(ref reference.PullSpec, insecure bool, creds pullsecrets.Credentials) (Repository, error)
}

// Repository reads one repository, as *upstream.Repository does. The content of Manifest and Blob is
// verified against a digest that was asked for; the importer verifies once more.
type Repository interface {
	// Head tells the digest of a manifest without fetching it.
	Head(ctx context.Context, tagOrDigest string) (upstream.Descriptor, error)
	// Manifest fetches a manifest. Its Digest is that of its Bytes.
	Manifest(ctx context.Context, tagOrDigest string) (upstream.Manifest, error)
	// Blob fetches a blob of at most maxBytes bytes.
	Blob(ctx context.Context, d digest.Digest, maxBytes int64) ([]byte, error)
	// BlobSize tells the size of a blob in bytes.
	BlobSize(ctx context.Context, d digest.Digest) (int64, error)
	// Tags lists the tags, in any order, an empty name included.
	Tags(ctx context.Context) ([]string, error)
}

// FromClient lets an upstream client serve as Registries.
func FromClient(c *upstream.Client) Registries { return clientRegistries{c} }

type clientRegistries struct{ client *upstream.Client }

// FallsBackToAnonymous is true: the client asks anonymously after every credential was refused.
func (clientRegistries) FallsBackToAnonymous() bool { return true }

func (c clientRegistries) Repository(ref reference.PullSpec, insecure bool, creds pullsecrets.Credentials) (Repository, error) {
	r, err := c.client.Repository(ref, insecure, creds)
	if err != nil {
		return nil, err // not r: a nil *upstream.Repository would make a non-nil interface
	}
	return r, nil
}

// Options configure an Importer. Only Registries is required.
type Options struct {
	// Registries is where images come from.
	Registries Registries
	// DefaultPlatform is what a Legacy import of a manifest list looks for first when the
	// request prefers nothing. Empty parts stand for those of this process.
	DefaultPlatform Platform
	// Concurrency is how many calls of one request may be in flight to one registry host
	// (default 10). Over all hosts a request has at most ten times as many.
	Concurrency int
	// Timeout bounds a whole import (default 10 minutes). What is not finished then fails with
	// a status that says so; what is finished stays.
	Timeout time.Duration
	// Limits bound what foreign content may cost. Zero fields take their defaults.
	Limits Limits
	// Caches bound the memory for what is remembered between imports, beside the bounds of each
	// cache; nil is without such a bound.
	Caches *caches.Pool
	// Now is the clock (default time.Now), for the creation time that lists are given.
	Now func() time.Time
}

// Limits bound what foreign content may cost. Every excess fails the tag concerned, with a status
// that names the limit.
type Limits struct {
	// ConfigBytes is the largest config (default 8 MiB).
	ConfigBytes int64
	// ImageBytes is the largest Image without manifest and config text, as stored (default 1 MiB,
	// below what etcd takes in one write).
	ImageBytes int
	// Manifests is how many manifests one tag may consist of (default 1000).
	Manifests int
	// Depth is how deep lists may be nested in a list (default 4).
	Depth int
	// TagBytes is how many bytes of manifests and configs one tag may consist of (default 64 MiB).
	TagBytes int64
	// RequestBytes is the same over all tags of a request (default 256 MiB).
	RequestBytes int64
	// ListedTags is how many tags of a repository are looked at (default 50,000).
	ListedTags int
	// CacheBytes is the size of the process-wide content cache (default 64 MiB).
	CacheBytes int64
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.ConfigBytes, 8<<20)
	setDefault(&l.ImageBytes, 1<<20)
	setDefault(&l.Manifests, 1000)
	setDefault(&l.Depth, 4)
	setDefault(&l.TagBytes, 64<<20)
	setDefault(&l.RequestBytes, 256<<20)
	setDefault(&l.ListedTags, 50_000)
	setDefault(&l.CacheBytes, 64<<20)
	return l
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func (o Options) withDefaults() Options {
	setDefault(&o.Concurrency, 10)
	setDefault(&o.Timeout, 10*time.Minute)
	o.Limits = o.Limits.withDefaults()
	if o.DefaultPlatform.Architecture == "" {
		o.DefaultPlatform.Architecture = runtime.GOARCH
	}
	if o.DefaultPlatform.OS == "" {
		o.DefaultPlatform.OS = runtime.GOOS
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Importer imports. It is safe for concurrent use and meant to be shared by the process, for its
// caches' sake.
type Importer struct {
	options    Options
	remembered *remembered
}

// New makes an Importer. It starts nothing that would have to be stopped.
func New(options Options) *Importer {
	options = options.withDefaults()
	return &Importer{options: options, remembered: newRemembered(options.Caches, options.Limits.CacheBytes)}
}

// errOutOfTime is the cause of the context that Options.Timeout ends.
var errOutOfTime = errors.New("the import ran out of time")

// Import reads everything that req asks for and reports on each part. It returns when all is
// done, the time is up or ctx ends.
func (i *Importer) Import(ctx context.Context, req Request) Result {
	ctx, cancel := context.WithTimeoutCause(ctx, i.options.Timeout, errOutOfTime)
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
