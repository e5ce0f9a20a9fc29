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

// heldBack is how much of a blob's end, in bytes, readers get only when all of it is
// verified. A blob no larger than that is answered when it is complete.
const heldBack = 32 << 10

// Options configure a Mirror. Upstream, Store and Credentials are required; other zero
// fields take their default.
type Options struct {
	// Upstream speaks to other registries, and bounds what they send: what can be
	// imported can be pulled. Its budgets hold for imports too when both share it.
	Upstream *upstream.Client
	// Store is where what passes through is kept.
	Store *blobstore.Store
	// Credentials finds the pull secrets of a namespace. It is asked once for every
	// call that may contact a registry; after an error that call goes without.
	Credentials func(ctx context.Context, namespace string) (pullsecrets.Credentials, error)
	// Caches bound the memory for what is remembered of registries, beside the bounds of each
	// cache; nil is without such a bound.
	Caches *caches.Pool
	// Mirror keeps what passes through, unless its source says otherwise.
	Mirror bool
	// TempDir is a local folder for blobs on their way into a storage that cannot be
	// read while it is written; default os.TempDir(). Its files have no name and go
	// with the process; New removes the names that killed processes left.
	TempDir string
	// MaxTempBytes bounds those files together; default 20 GiB. Beyond it callers wait
	// until the storage has the whole blob.
	MaxTempBytes int64
	// MaxBlobBytes is the largest blob, whether its size is known before or not; default
	// 100 GiB.
	MaxBlobBytes int64
	// MaxBackground is how many blobs are fetched to their end although all callers
	// have gone; default 8. One more is given up.
	MaxBackground int
	// MaxBackgroundBytes is how much of such a blob may still be to come, default 1 GiB:
	// what a registry announces is not fetched without anyone who waits for it.
	MaxBackgroundBytes int64
	// Attempts is how often a blob may break off in a row, with hardly any progress, before
	// it is given up, and once more for every other way to get it; default 4.
	Attempts int
	// RetryBase is the pause before the first attempt to go on with a blob that broke
	// off, doubled for the next ones up to RetryMax and jittered by half; default
	// 200 ms and 5 s.
	RetryBase, RetryMax time.Duration
	// Remember is how long it is believed that a registry does not have something;
	// default 5 s.
	Remember time.Duration
	// AvoidFor is how long a registry that sent wrong content for a digest is asked
	// after all others; default 10 min.
	AvoidFor time.Duration
	// StoragePause is how long nothing is written to a storage that failed; default 10 s.
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

	// flights are manifests and sizes that are being asked for.
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
	// pausedUntil is until when storage is left alone, in Unix nanoseconds.
	pausedUntil atomic.Int64

	base   context.Context
	cancel context.CancelCauseFunc
	// closing is held for writing while Close cancels base, so that no work begins
	// after Close waits for it.
	closing sync.RWMutex
	work    sync.WaitGroup
}

var _ ociregistry.Upstream = (*Mirror)(nil)

// errClosed is the cause of failures after Close.
var errClosed = errors.New("the registry is shutting down")

// secretsTime bounds the look-up of pull secrets.
const secretsTime = 30 * time.Second

// New makes a Mirror. The error lists every option that cannot work.
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

// Close gives up what is being fetched, waits for it to end and leaves nothing unfinished
// behind in storage. Readers get an error.
func (m *Mirror) Close() {
	m.closing.Lock()
	m.cancel(errClosed)
	m.closing.Unlock()
	m.work.Wait()
}

// start runs work that Close waits for; false after Close.
func (m *Mirror) start(work func()) bool {
	m.closing.RLock()
	defer m.closing.RUnlock()
	if m.base.Err() != nil {
		return false
	}
	m.work.Go(work)
	return true
}

// keeps reports whether storage is to be written to now.
func (m *Mirror) keeps() bool {
	return m.opts.Mirror && time.Now().UnixNano() >= m.pausedUntil.Load()
}

// pauseStorage writes nothing for a while after storage failed: each attempt would fetch
// much of a blob for nothing, and a full disk does not empty itself within a moment.
func (m *Mirror) pauseStorage(what string, err error) {
	klog.ErrorS(err, "Content that passes through cannot be kept", "digest", what)
	m.pausedUntil.Store(time.Now().Add(m.opts.StoragePause).UnixNano())
}

// credentials are a namespace's pull secrets; none when they cannot be read, which the
// log is told of once until they can be again.
func (m *Mirror) credentials(ctx context.Context, namespace string) pullsecrets.Credentials {
	ctx, cancel := context.WithTimeout(ctx, secretsTime)
	defer cancel()
	creds, err := m.opts.Credentials(ctx, namespace)
	if err == nil {
		m.warned.Remove(namespace)
		return creds
	}
	if _, known := m.warned.GetOrAdd(namespace, struct{}{}); !known {
		klog.ErrorS(err, "Pull secrets cannot be read, pulling through without", "namespace", namespace)
	}
	return pullsecrets.None
}
