package standalone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/drivers"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/diskspace"
	"weir.dev/weir/internal/inbound"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/ociregistry/access"
	"weir.dev/weir/internal/ociregistry/accesslog"
	"weir.dev/weir/internal/ociregistry/pullthrough"
	"weir.dev/weir/internal/ociregistry/streams"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/upstream"
)

const (
	// registryGrace is the time that pushes and pulls in flight get when the server stops.
	registryGrace = 10 * time.Second
	// collectInterval is the time between two looks for abandoned uploads.
	collectInterval = time.Hour
	// headerTimeout bounds how long a client may take to send a request's header; bodies
	// may take as long as they make progress.
	headerTimeout = 30 * time.Second
	// maxHeaderBytes is well above tokens, which have 8 KiB at most.
	maxHeaderBytes = 64 << 10
	// keepAlive is how long a connection may rest between two requests.
	keepAlive = 3 * time.Minute
)

// registryIdentity is the user that the registry's writes for clients have in the audit log and
// in admission, with the client's user among its extra values.
var registryIdentity = &user.DefaultInfo{Name: "system:weir:registry", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}}

// registry is the integrated registry: its port, its storage and, once the API is ready, its
// handler.
type registry struct {
	options  *Options
	caches   *caches.Pool
	listener net.Listener
	// bounded is the same, with its bound of connections.
	bounded *inbound.Listener
	store   *blobstore.Store
	reserve *diskspace.Reserve // nil for storage that is no folder
	// requests is the access log, nil if there is none.
	requests *accesslog.Log

	// events records Events about streams and images.
	events events.EventRecorder

	// names are those under which the registry was ever served.
	names []blobstore.Name

	directory *streams.Directory
	mirror    *pullthrough.Mirror
	handler   *ociregistry.Handler
	server    *http.Server
	serving   atomic.Bool
	// ownsStorage is true once the storage is known to belong to the API of this server.
	ownsStorage atomic.Bool
	stopping    sync.Once
	health      storageHealth
	// certificateFile is that of the certificate it serves with, nil over HTTP.
	certificateFile atomic.Pointer[string]
}

// newRegistry opens the port and the storage, so that an error of either is reported before
// anything else starts. It returns nil if the registry is switched off. Unless the options
// have an internal host name, it becomes the address of the port.
func newRegistry(ctx context.Context, o *Options, maxConnections int, pool *caches.Pool) (_ *registry, err error) {
	if !o.Registry.Enabled {
		return nil, nil
	}
	r := &registry{options: o, caches: pool}
	listener, err := o.Registry.listen()
	if err != nil {
		return nil, err
	}
	r.bounded = inbound.Limit(listener, "registry", maxConnections)
	r.listener = r.bounded
	if names := &o.Config.Registry; names.InternalHostname == "" {
		names.InternalHostname = reachable(r.listener)
	}
	if o.Registry.AccessLog.Path != "" {
		if r.requests, err = accesslog.New(o.Registry.AccessLog); err != nil {
			return nil, errors.Join(fmt.Errorf("--registry-access-log-path: %w", err), r.listener.Close())
		}
	}
	storage := &o.Config.Registry.Storage
	driver, err := drivers.Open(ctx, storage.Driver, storage.Parameters, o.DataDir)
	if err == nil {
		r.reserve, err = registryReserve(o, driver)
	}
	if err == nil {
		options := blobstore.Options{Driver: driver, Caches: pool, MaxUploads: o.Config.Registry.Uploads.MaxPerNamespace}
		if r.reserve != nil {
			options.Reserve = r.reserve
		}
		r.store, err = blobstore.New(options)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the registry's storage: %w", err), r.listener.Close())
	}
	if err := r.openNames(ctx); err != nil {
		return nil, errors.Join(err, r.listener.Close())
	}
	return r, nil
}

// url is the address of the registry.
func (r *registry) url() string {
	scheme := "http://"
	if r.options.Registry.secure() {
		scheme = "https://"
	}
	return scheme + reachable(r.listener)
}

// compose makes the directory, the pull-through and the handler over the API of s.
func (r *registry) compose(s *Server) (err error) {
	settings := &s.options.Config.Registry
	if err := r.recordEvents(s); err != nil {
		return err
	}
	if r.directory, err = streams.New(streams.Options{
		Config:        s.loopbackFor("registry"),
		Identity:      registryIdentity,
		Hosts:         s.hosts(),
		PullThrough:   !settings.PullThrough.Disabled,
		Mirror:        settings.PullThrough.Mirror,
		PlainHTTP:     !s.options.Registry.secure(),
		MirrorImports: settings.PullThrough.MirrorImports,
		Caches:        r.caches,
		OnImported: func(repo reference.Repository) {
			r.handler.KeepImported(repo)
		},
		OnDeleted: func(ctx context.Context, gone blobstore.Repository, seen time.Time) error {
			return r.handler.Remove(ctx, gone, seen)
		},
		OnReleased: func(ctx context.Context, from blobstore.Repository, seen time.Time) error {
			return r.handler.RemoveReleased(ctx, from, seen)
		},
		OnNamespaceDeleted: func(ctx context.Context, namespace string, seen time.Time) error {
			if !r.ownsStorage.Load() {
				return nil // the reconciliation at the start has it all, or must not run
			}
			return r.handler.ReconcileNamespace(ctx, namespace, seen)
		},
	}); err != nil {
		return fmt.Errorf("making the registry's view of streams: %w", err)
	}
	proxies, err := settings.Tokens.Proxies()
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	who, err := access.New(access.Options{
		Config:         s.loopbackFor("registry-access"),
		Realm:          settings.Tokens.Realm,
		TrustedProxies: proxies,
		Lifetime:       settings.Tokens.Lifetime.Duration,
		KeyMaxAge:      settings.Tokens.KeyMaxAge.Duration,
		AccountIssuers: s.options.Host.AccountIssuers(),
		Caches:         r.caches,
	})
	if err != nil {
		return fmt.Errorf("making the registry's access control: %w", err)
	}
	var outside ociregistry.Upstream
	if !settings.PullThrough.Disabled {
		if r.mirror, err = r.newMirror(s); err != nil {
			return err
		}
		outside = r.mirror
	}
	metricsSecret, err := settings.Metrics.Secret()
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	options := ociregistry.Options{
		Store:              r.store,
		Directory:          r.directory,
		Access:             who,
		Upstream:           outside,
		OnKeepFailed:       r.keepFailed,
		MaxManifestBytes:   settings.Manifests.MaxSize.Value(),
		ManifestCacheBytes: settings.Manifests.CacheSize.Value(),
		Caches:             r.caches,
		Sparse:             ociregistry.Sparse(strings.ToLower(settings.Manifests.Sparse)),
		RedirectBlobs:      settings.Storage.Redirect,
		MaxUploadsPerUser:  settings.Uploads.MaxPerUser,
		MaxContentBytes:    settings.Requests.MaxContent.Value(),
		Reads:              limit(settings.Requests.Read),
		Writes:             limit(settings.Requests.Write),
		MetricsOff:         settings.Metrics.Disabled,
		MetricsSecret:      metricsSecret,
	}
	if r.requests != nil {
		options.AccessLog = r.requests
	}
	r.handler, err = ociregistry.New(options)
	if err != nil {
		return fmt.Errorf("making the registry: %w", err)
	}
	s.parts.Start("registry streams", r.directory.Run)
	return nil
}

func limit(l config.RequestLimit) ociregistry.Limit {
	return ociregistry.Limit{MaxRunning: l.MaxRunning, MaxInQueue: l.MaxInQueue, MaxWaitInQueue: l.MaxWaitInQueue.Duration}
}

// newMirror makes the pull-through, with the importer's client, so that both have the same
// rules and budgets.
func (r *registry) newMirror(s *Server) (*pullthrough.Mirror, error) {
	images, err := imageclient.NewForConfig(s.loopbackFor("registry-pull-secrets"))
	if err != nil {
		return nil, fmt.Errorf("making the registry's client of pull secrets: %w", err)
	}
	mirror, err := pullthrough.New(pullthrough.Options{
		Upstream: s.imports.client,
		Store:    r.store,
		Caches:   r.caches,
		Mirror:   s.options.Config.Registry.PullThrough.Mirror,
		Credentials: func(ctx context.Context, namespace string) (upstream.Credentials, error) {
			// The resource takes any stream's name; the secrets are the namespace's.
			list, err := images.ImageV1().ImageStreams(namespace).Secrets(ctx, "registry", metav1.GetOptions{})
			if err != nil {
				return nil, fmt.Errorf("reading the pull secrets of namespace %s: %w", namespace, err)
			}
			secrets := make([]corev1.Secret, len(list.Items))
			copy(secrets, list.Items)
			credentials, warnings := upstream.NewCredentials(secrets, s.imports.node)
			logWarnings("a pull secret is left out", warnings)
			return credentials, nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the registry's pull-through: %w", err)
	}
	return mirror, nil
}

// startRegistry makes the registry's handler and starts serving.
func (s *Server) startRegistry() error {
	if s.registry == nil {
		return nil
	}
	if err := s.registry.compose(s); err != nil {
		return err
	}
	return s.registry.start(s)
}

// start serves once the directory has read the streams, and starts the work in the
// background.
func (r *registry) start(s *Server) error {
	serve, err := r.certificates(s)
	if err != nil {
		return err
	}
	r.server = &http.Server{Handler: r.bounded.Handler(r.handler), ReadHeaderTimeout: headerTimeout, IdleTimeout: keepAlive, MaxHeaderBytes: maxHeaderBytes}
	s.parts.Start("registry", func(ctx context.Context) error {
		if !cache.WaitForCacheSync(ctx.Done(), r.directory.HasSynced) {
			return nil // it is stopping
		}
		r.serving.Store(true)
		return serve()
	})
	s.parts.Start("abandoned uploads", r.collectUploads)
	s.parts.Start("registry reconciliation", s.reconcileRegistry)
	s.parts.Start("registry comparison", s.compareContent)
	s.parts.Start("registry storage usage", r.measureUsage)
	s.parts.Start("registry names", r.keepNames)
	s.parts.Start("registry keeper", r.handler.RunKeeper)
	s.parts.Start("registry storage", r.watchStorage)
	return s.startScrubber()
}

// certificates returns the function that serves: over HTTP, or over TLS with a certificate
// that is read again when its file changes.
func (r *registry) certificates(s *Server) (serve func() error, err error) {
	o := r.options.Registry
	plain := func() error { return served(r.server.Serve(r.listener)) }
	if !o.secure() {
		return plain, nil
	}
	certFile, keyFile := o.CertFile, o.KeyFile
	if certFile == "" {
		names := append([]string{s.options.Config.Registry.InternalHostname}, s.options.Config.Registry.ExternalHostnames...)
		for i, name := range names {
			if host, _, err := net.SplitHostPort(name); err == nil {
				names[i] = host
			}
		}
		if certFile, keyFile, err = s.control.ServingCertificate("registry", o.BindAddress, names...); err != nil {
			return nil, err
		}
	}
	content, err := dynamiccertificates.NewDynamicServingContentFromFiles("registry", certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the registry's certificate (--registry-tls-cert-file): %w", err)
	}
	s.parts.Start("registry certificate", func(ctx context.Context) error {
		content.Run(ctx, 1)
		return nil
	})
	r.certificateFile.Store(&certFile)
	certificate := currentCertificate{content: content}
	return func() error {
		r.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get}
		return served(r.server.ServeTLS(r.listener, "", ""))
	}, nil
}

// currentCertificate parses a certificate again only when its file has changed.
type currentCertificate struct {
	content dynamiccertificates.CertKeyContentProvider
	parsed  atomic.Pointer[parsedCertificate]
}

type parsedCertificate struct {
	pem         string
	certificate tls.Certificate
}

func (c *currentCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, key := c.content.CurrentCertKeyContent()
	if last := c.parsed.Load(); last != nil && last.pem == string(cert) {
		return &last.certificate, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("reading the registry's certificate: %w", err)
	}
	c.parsed.Store(&parsedCertificate{pem: string(cert), certificate: pair})
	return &pair, nil
}

// served is the end of a server: that it was told to is no error.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving the registry: %w", err)
}

// collectUploads removes abandoned uploads until ctx ends.
func (r *registry) collectUploads(ctx context.Context) error {
	ticks := time.NewTicker(collectInterval)
	defer ticks.Stop()
	for {
		removed, err := r.store.RemoveAbandonedUploads(ctx, r.options.Config.Registry.Uploads.MaxAge.Duration)
		if err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "abandoned uploads could not be removed; trying again", "in", collectInterval)
		}
		if removed > 0 {
			klog.FromContext(ctx).Info("removed abandoned uploads", "count", removed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// Name and Check are the registry as a health check of the server.
func (*registry) Name() string { return "weir-registry" }

// Check is an error until the registry serves.
func (r *registry) Check(*http.Request) error {
	if !r.serving.Load() {
		return errors.New("the registry does not serve yet")
	}
	return nil
}

// stop lets requests in flight finish for a while and ends the rest. It may be called
// again.
func (r *registry) stop() { r.stopping.Do(r.stopNow) }

func (r *registry) stopNow() {
	if r.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), registryGrace)
		defer cancel()
		if r.server.Shutdown(ctx) != nil {
			_ = r.server.Close() // what is left has had its time
		}
	}
	_ = r.listener.Close() // closed already, if it served
	if r.handler != nil {
		_ = r.handler.Close() // never fails
	}
	if r.mirror != nil {
		r.mirror.Close()
	}
	if r.requests != nil {
		_ = r.requests.Close() // every line was written when its request ended
	}
}
