package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

const (
	// readTimeout bounds a request that reads, with the retries that the API requests.
	readTimeout = 5 * time.Second
	// writeTimeout bounds the writes of one call, with its wait for the stream's lock and conflicts.
	writeTimeout = 30 * time.Second
)

// Options configure a Directory.
type Options struct {
	// Config is a client of the API with the registry's identity (see the package for the
	// rights it needs). It must not set a Timeout, which would end watches.
	Config *rest.Config
	// Identity is the user of the registry's writes for clients, whom Config may impersonate
	// with the extra values extraUser, extraClient and extraRequest. It needs the rights of
	// the user of Config. nil writes as that user, without the name of the client.
	Identity user.Info
	// Hosts are the names of this registry. Internal is needed: pushed images are recorded
	// under it. What refers to either is never fetched from outside.
	Hosts stream.Registries
	// PlainHTTP is true when this registry is served without TLS. Then requests to it use HTTP, where
	// a stream refers to another stream's repository in it.
	PlainHTTP bool
	// PullThrough lets content be fetched from the outside repositories that streams
	// refer to; false leaves every Origin without sources.
	PullThrough bool
	// Mirror keeps fetched content, unless tag or stream have annotations against it.
	Mirror bool
	// MirrorImports keeps all images at import, where tag and stream do not say otherwise.
	MirrorImports bool

	// OnImported is called for each version of a stream with images that are kept at import.
	// It must not block. It may be nil.
	OnImported func(repo reference.Repository)
	// OnDeleted is called for each stream that is gone, with its UID, OnReleased for each
	// that released links, and OnNamespaceDeleted for each namespace that is gone, at least
	// removalGrace after that was seen, for a namespace a second time after another. Each may be
	// nil. They are called by Run, a few at a time, and again after a while when they fail.
	OnDeleted          func(ctx context.Context, r blobstore.Repository, seen time.Time) error
	OnReleased         func(ctx context.Context, r blobstore.Repository, seen time.Time) error
	OnNamespaceDeleted func(ctx context.Context, namespace string, seen time.Time) error

	// Caches bound the memory for what is cached of streams, Images and users, beside the
	// bounds of each cache; nil is without such a bound.
	Caches *caches.Pool
	// Now is the clock; nil is time.Now.
	Now ociregistry.Clock
}

// Directory implements ociregistry.Directory. Run keeps it up to date; without it, everything
// older than freshFor is read again.
type Directory struct {
	options Options
	api     *api

	known      *known
	live       *liveReads
	images     *images
	histories  *histories
	namespaces *namespaces
	locks      *streamLocks
	reviews    *reviews
	listing    *listing
	skips      *skips
	removals   *removals
}

var _ ociregistry.Directory = (*Directory)(nil)

// New returns a Directory. It sends no request to the API.
func New(o Options) (*Directory, error) {
	if o.Config == nil {
		return nil, errors.New("setting up the registry's directory of streams: Config is required")
	}
	if o.Hosts.Internal == "" {
		return nil, errors.New("setting up the registry's directory of streams: Hosts.Internal is required: images are recorded under it")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	api, err := newAPI(o.Config, o.Identity)
	if err != nil {
		return nil, err
	}
	d := &Directory{options: o, api: api, locks: newStreamLocks(), reviews: newReviews(api, o.Caches, o.Now), skips: newSkips(o.Caches, o.Now)}
	d.known = newKnown(o.Now)
	d.live = newLiveReads(api.stream, d.known, o.Caches, o.Now)
	d.images = newImages(api.image, o.Caches, o.Now)
	d.histories = newHistories(policyOf(o), o.Caches)
	d.listing = newListing(d.known)
	d.removals = newRemovals(o, api)
	if d.namespaces, err = newNamespaces(api, d.removals.namespaceGone); err != nil {
		return nil, fmt.Errorf("watching namespaces: %w", err)
	}
	d.known.removed = d.forget
	d.known.changed = d.keepImported
	return d, nil
}

// Run keeps the directory up to date until ctx ends, and returns after all its goroutines have
// ended. It must be called at most once.
func (d *Directory) Run(ctx context.Context) error {
	watch := newReflector(d.api.images, d.known)
	var running sync.WaitGroup
	running.Go(func() { watch.RunWithContext(ctx) })
	running.Go(func() { d.namespaces.informer.RunWithContext(ctx) })
	running.Go(func() { d.removals.run(ctx) })
	running.Wait()
	return nil
}

// HasSynced reports whether all streams and namespaces have been read once.
func (d *Directory) HasSynced() bool { return d.known.synced() && d.namespaces.informer.HasSynced() }

// keepImported is called for every version of a stream.
func (d *Directory) keepImported(id types.NamespacedName, v *version) {
	if d.options.OnImported == nil {
		return
	}
	says := func(a map[string]string) bool { return a[annotationMirror] == always }
	if !d.options.MirrorImports && !says(v.stream.Annotations) && !slices.ContainsFunc(v.stream.Spec.Tags, func(t imagev1.TagReference) bool { return says(t.Annotations) }) {
		return
	}
	if len(d.histories.of(id, v).atImport) > 0 {
		d.options.OnImported(repositoryOf(v.stream))
	}
}

// forget is called for every deleted stream.
func (d *Directory) forget(id types.NamespacedName, uid types.UID) {
	d.histories.drop(id)
	d.removals.streamGone(id, uid)
}

// cached is the stream as it is known, nil when there is none.
func (d *Directory) cached(ctx context.Context, id types.NamespacedName) (*version, error) {
	if v, sure := d.known.get(id); sure {
		return v, nil
	}
	return d.live.fresh(ctx, id)
}

// refresh reads the stream after a write of this process, so that the next reader sees the write.
// If that fails, the next reader reads the stream from the API.
func (d *Directory) refresh(ctx context.Context, id types.NamespacedName) {
	if err := d.live.now(ctx, id); err != nil {
		d.live.invalidate(id)
	}
}

func idOf(repo reference.Repository) types.NamespacedName {
	return types.NamespacedName{Namespace: repo.Namespace, Name: repo.Stream}
}

func idOfStream(s *imagev1.ImageStream) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}

var getOptions = metav1.GetOptions{}
