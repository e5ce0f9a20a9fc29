package pullthrough

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/upstream"
)

// heldBack is the number of bytes at the end of a blob that readers get only after the whole
// blob is verified. A blob no larger than that is delivered when it is complete.
const heldBack = 32 << 10

// Options configure a Mirror. Upstream, Store and Credentials are required; other zero
// fields take their default.
type Options struct {
	// Upstream is the client of other registries. Its limits apply, so that every imported
	// image can be pulled. Imports that share it share its budgets.
	Upstream *upstream.Client
	// Store keeps fetched content.
	Store *blobstore.Store
	// Credentials returns the pull secrets of a namespace. Every call that may contact a
	// registry calls it once, and continues without pull secrets after an error.
	Credentials func(ctx context.Context, namespace string) (pullsecrets.Credentials, error)
	// Caches bounds the memory of all caches together, in addition to the bound of each; nil is
	// unbounded.
	Caches *caches.Pool
	// Mirror keeps fetched content unless the source disables that.
	Mirror bool
	// TempDir is a local folder for blobs being written to a storage that cannot be read
	// during a write; default os.TempDir(). Its files have no name and end with the
	// process; New removes the files of killed processes.
	TempDir string
	// MaxTempBytes bounds those files together; default 20 GiB. Beyond it callers wait
	// until the whole blob is stored.
	MaxTempBytes int64
	// MaxBlobBytes is the maximum size of a blob, whether announced or not; default
	// 100 GiB.
	MaxBlobBytes int64
	// MaxBackground is how many fetches continue after all callers are gone; default 8.
	// Further ones are canceled.
	MaxBackground int
	// MaxBackgroundBytes is the maximum number of missing bytes of such a fetch; default
	// 1 GiB. Fetches that miss more are canceled.
	MaxBackgroundBytes int64
	// Attempts is the number of consecutive broken connections, with hardly any progress,
	// before a fetch fails; each further candidate adds one; default 4.
	Attempts int
	// RetryBase is the pause before the first retry after a broken connection. It doubles
	// with each retry up to RetryMax, jittered by half; default 200 ms and 5 s.
	RetryBase, RetryMax time.Duration
	// Remember is how long the absence of content in a registry is cached; default 5 s.
	Remember time.Duration
	// AvoidFor is how long a registry that sent wrong content for a digest is tried last
	// for it; default 10 min.
	AvoidFor time.Duration
	// StoragePause is the pause of writes after storage failed; default 10 s.
	StoragePause time.Duration
}

func (o Options) withDefaults() Options {
	o.TempDir = cmp.Or(o.TempDir, os.TempDir())
	o.MaxTempBytes = cmp.Or(o.MaxTempBytes, 20<<30)
	o.MaxBlobBytes = cmp.Or(o.MaxBlobBytes, 100<<30)
	o.MaxBackground = cmp.Or(o.MaxBackground, 8)
	o.MaxBackgroundBytes = cmp.Or(o.MaxBackgroundBytes, 1<<30)
	o.Attempts = cmp.Or(o.Attempts, 4)
	o.RetryBase = cmp.Or(o.RetryBase, 200*time.Millisecond)
	o.RetryMax = cmp.Or(o.RetryMax, 5*time.Second)
	o.Remember = cmp.Or(o.Remember, 5*time.Second)
	o.AvoidFor = cmp.Or(o.AvoidFor, 10*time.Minute)
	o.StoragePause = cmp.Or(o.StoragePause, 10*time.Second)
	return o
}

func (o Options) validate() error {
	var errs []error
	if o.Upstream == nil || o.Store == nil || o.Credentials == nil {
		errs = append(errs, errors.New("upstream, store and credentials are required"))
	}
	for name, v := range map[string]int64{
		"maxTempBytes": o.MaxTempBytes, "maxBlobBytes": o.MaxBlobBytes,
		"maxBackground": int64(o.MaxBackground), "maxBackgroundBytes": o.MaxBackgroundBytes,
		"attempts": int64(o.Attempts), "retryBase": int64(o.RetryBase),
		"retryMax": int64(o.RetryMax), "remember": int64(o.Remember), "avoidFor": int64(o.AvoidFor), "storagePause": int64(o.StoragePause),
	} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("%s: must not be negative", name))
		}
	}
	return errors.Join(errs...)
}

// Mirror implements ociregistry.Upstream. It is safe for concurrent use.
type Mirror struct {
	opts Options

	// flights are the requests for manifests and sizes in flight.
	flights singleflight.Group
	// See makeCaches.
	misses     *caches.Cache[string, *upstream.Error]
	sizes      *caches.Cache[string, int64]
	badSources *caches.Cache[digest.Digest, []string]
	warned     *caches.Cache[string, struct{}]

	mu         sync.Mutex
	fetches    map[fetchKey]*fetch
	background int

	temp atomic.Int64 // bytes in temporary files
	// pausedUntil is the end of the pause of storage, in Unix nanoseconds.
	pausedUntil atomic.Int64

	base   context.Context
	cancel context.CancelCauseFunc
	// closing is write-locked while Close cancels base, so that no work starts once Close
	// waits.
	closing sync.RWMutex
	work    sync.WaitGroup
}

var _ ociregistry.Upstream = (*Mirror)(nil)

// errClosed is the cause of failures after Close.
var errClosed = errors.New("the registry is shutting down")

// secretsTime bounds the lookup of pull secrets.
const secretsTime = 30 * time.Second

// New returns a Mirror. The error lists every invalid option.
func New(opts Options) (*Mirror, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("pull-through options: %w", err)
	}
	m := &Mirror{opts: opts.withDefaults(), fetches: map[fetchKey]*fetch{}}
	m.makeCaches()
	removeLeftovers(m.opts.TempDir)
	m.base, m.cancel = context.WithCancelCause(context.Background())
	registerMetrics()
	return m, nil
}

// Close cancels all fetches, waits for them to end and removes partial content from storage.
// Readers get an error.
func (m *Mirror) Close() {
	m.closing.Lock()
	m.cancel(errClosed)
	m.closing.Unlock()
	m.work.Wait()
}

// start runs work that Close waits for. It returns false after Close.
func (m *Mirror) start(work func()) bool {
	m.closing.RLock()
	defer m.closing.RUnlock()
	if m.base.Err() != nil {
		return false
	}
	m.work.Go(work)
	return true
}

// keeps reports whether storage may be written to: it is not paused.
func (m *Mirror) keeps() bool {
	return m.opts.Mirror && time.Now().UnixNano() >= m.pausedUntil.Load()
}

// pauseStorage pauses writes after storage failed: each attempt would fetch much of a blob in
// vain, and a full disk does not recover within seconds.
func (m *Mirror) pauseStorage(what string, err error) {
	klog.ErrorS(err, "Storing fetched content failed; pausing storage of fetched content", "digest", what)
	m.pausedUntil.Store(time.Now().Add(m.opts.StoragePause).UnixNano())
}

// credentials returns the pull secrets of a namespace, none if they cannot be read. It logs
// the first failure of a row.
func (m *Mirror) credentials(ctx context.Context, namespace string) pullsecrets.Credentials {
	ctx, cancel := context.WithTimeout(ctx, secretsTime)
	defer cancel()
	creds, err := m.opts.Credentials(ctx, namespace)
	if err == nil {
		m.warned.Remove(namespace)
		return creds
	}
	if _, known := m.warned.GetOrAdd(namespace, struct{}{}); !known {
		klog.ErrorS(err, "Reading pull secrets failed; fetching without them", "namespace", namespace)
	}
	return pullsecrets.None
}
