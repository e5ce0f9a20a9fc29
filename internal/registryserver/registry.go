// Package registryserver provides the integrated registry as a component: its port, its storage, and
// the handler over the API of an API server, which may be in the same process or elsewhere.
//
// Open opens the port and the storage, so that an error of either is reported before anything else
// starts. Start serves once the image streams have been read, and starts the work in the background:
// it removes abandoned uploads and links of deleted streams, compares streams with storage, verifies
// blobs and measures what storage is used for.
package registryserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/drivers"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/diskspace"
	"weir.dev/weir/internal/inbound"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/ociregistry/accesslog"
	"weir.dev/weir/internal/ociregistry/pullthrough"
	"weir.dev/weir/internal/ociregistry/streams"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/upstream"
)

// registryGrace is the time that pushes and pulls in flight get when the process stops.
const registryGrace = 10 * time.Second

// Config configures a registry.
type Config struct {
	// Options are its flags, and Settings the configuration file.
	Options  *Options
	Settings *config.Configuration
	// DataDir is the folder of storage that names none.
	DataDir string
	// MaxConnections bounds the connections of clients.
	MaxConnections int
	// Caches bound the memory of its caches.
	Caches *caches.Pool
	// LeastReserve returns the least number of bytes to keep free on the disk of a folder, where
	// others need it too; nil for none.
	LeastReserve func(folder string, u diskspace.Usage) int64
}

// Host configures the access to the API server and to other registries, once the API server answers.
type Host struct {
	// Config is the configuration of a client of the API server.
	Config *rest.Config
	// Upstream is the client of other registries, and Node the credentials of the node.
	Upstream *upstream.Client
	Node     *pullsecrets.NodeCredentials
	// AccountIssuers are the issuers of the API server's service account tokens; without, all
	// accounts are taken for its own.
	AccountIssuers []string
	// CertFile and KeyFile are the certificate to serve with if the options name none.
	CertFile, KeyFile string
}

// Registry is the integrated registry.
type Registry struct {
	config   Config
	host     Host
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

// Open opens the port and the storage. Unless the settings have an internal host name, it becomes
// the address of the port.
func Open(ctx context.Context, c Config) (_ *Registry, err error) {
	r := &Registry{config: c}
	listener, err := c.Options.listen()
	if err != nil {
		return nil, err
	}
	r.bounded = inbound.Limit(listener, "registry", c.MaxConnections)
	r.listener = r.bounded
	defer func() {
		if err != nil {
			err = errors.Join(err, r.listener.Close())
		}
	}()
	if names := &r.settings().Registry; names.InternalHostname == "" {
		names.InternalHostname = r.Address()
	}
	if c.Options.AccessLog.Path != "" {
		if r.requests, err = accesslog.New(c.Options.AccessLog); err != nil {
			return nil, fmt.Errorf("--registry-access-log-path: %w", err)
		}
	}
	if err := r.openStorage(ctx); err != nil {
		return nil, fmt.Errorf("opening the registry's storage: %w", err)
	}
	return r, r.openNames(ctx)
}

func (r *Registry) openStorage(ctx context.Context) error {
	settings := &r.settings().Registry
	driver, err := drivers.Open(ctx, settings.Storage.Driver, settings.Storage.Parameters, r.config.DataDir)
	if err != nil {
		return err
	}
	if r.reserve, err = r.newReserve(driver); err != nil {
		return err
	}
	options := blobstore.Options{Driver: driver, Caches: r.config.Caches, MaxUploads: settings.Uploads.MaxPerNamespace}
	if r.reserve != nil {
		options.Reserve = r.reserve
	}
	r.store, err = blobstore.New(options)
	return err
}

func (r *Registry) settings() *config.Configuration { return r.config.Settings }

// Address is host:port of the registry as clients on this machine reach it.
func (r *Registry) Address() string { return reachable(r.listener) }

// URL is where the registry is served.
func (r *Registry) URL() string {
	scheme := "http://"
	if r.config.Options.Secure() {
		scheme = "https://"
	}
	return scheme + r.Address()
}

// Reserve is the space that is kept free on the disk of its storage, nil for storage that is no folder.
func (r *Registry) Reserve() *diskspace.Reserve { return r.reserve }

// CertificateFile is that of the certificate it serves with, "" over HTTP or before it serves.
func (r *Registry) CertificateFile() string {
	if file := r.certificateFile.Load(); file != nil {
		return *file
	}
	return ""
}

// Checks are the registry's health checks: whether it serves, and whether its storage answers.
func (r *Registry) Checks() []healthz.HealthChecker { return []healthz.HealthChecker{r, &r.health} }

// Name and Check are the registry as a health check of the server.
func (*Registry) Name() string { return "weir-registry" }

// Check is an error until the registry serves.
func (r *Registry) Check(*http.Request) error {
	if !r.serving.Load() {
		return errors.New("the registry does not serve yet")
	}
	return nil
}

// Stop lets requests in flight finish for a while and ends the rest. It may be called
// again.
func (r *Registry) Stop() { r.stopping.Do(r.stopNow) }

func (r *Registry) stopNow() {
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
