package registryserver

import (
	"context"
	"fmt"
	"strings"
	"time"

	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/component"
	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/hostclient"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/ociregistry/access"
	"weir.dev/weir/internal/ociregistry/pullthrough"
	"weir.dev/weir/internal/ociregistry/streams"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
)

// registryIdentity is the user that the registry's writes for clients have in the audit log and
// in admission, with the client's user among its extra values.
var registryIdentity = &user.DefaultInfo{Name: "system:weir:registry", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}}

// compose makes the directory, the pull-through and the handler over the API.
func (r *Registry) compose(g *component.Group) (err error) {
	settings := &r.settings().Registry
	if err := r.recordEvents(g); err != nil {
		return err
	}
	if r.directory, err = r.newDirectory(); err != nil {
		return err
	}
	proxies, err := settings.Tokens.Proxies()
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	who, err := access.New(access.Options{
		Config:         hostclient.For(r.host.Config, "registry-access"),
		Realm:          settings.Tokens.Realm,
		TrustedProxies: proxies,
		Lifetime:       settings.Tokens.Lifetime.Duration,
		KeyMaxAge:      settings.Tokens.KeyMaxAge.Duration,
		AccountIssuers: r.host.AccountIssuers,
		Caches:         r.config.Caches,
	})
	if err != nil {
		return fmt.Errorf("making the registry's access control: %w", err)
	}
	var outside ociregistry.Upstream
	if !settings.PullThrough.Disabled {
		if r.mirror, err = r.newMirror(); err != nil {
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
		MaxManifestBytes:   int64(settings.Manifests.MaxSize),
		ManifestCacheBytes: int64(settings.Manifests.CacheSize),
		Caches:             r.config.Caches,
		Sparse:             ociregistry.Sparse(strings.ToLower(settings.Manifests.Sparse)),
		RedirectBlobs:      settings.Storage.Redirect,
		MaxUploadsPerUser:  settings.Uploads.MaxPerUser,
		MaxContentBytes:    int64(settings.Requests.MaxContent),
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
	g.Start("registry streams", r.directory.Run)
	return nil
}

// newDirectory makes the registry's view of streams.
func (r *Registry) newDirectory() (*streams.Directory, error) {
	settings := &r.settings().Registry
	directory, err := streams.New(streams.Options{
		Config:        hostclient.For(r.host.Config, "registry"),
		Identity:      registryIdentity,
		Hosts:         r.Hosts(),
		PullThrough:   !settings.PullThrough.Disabled,
		Mirror:        settings.PullThrough.Mirror,
		PlainHTTP:     !r.config.Options.Secure(),
		MirrorImports: settings.PullThrough.MirrorImports,
		Caches:        r.config.Caches,
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
	})
	if err != nil {
		return nil, fmt.Errorf("making the registry's view of streams: %w", err)
	}
	return directory, nil
}

func limit(l config.RequestLimit) ociregistry.Limit {
	return ociregistry.Limit{MaxRunning: l.MaxRunning, MaxInQueue: l.MaxInQueue, MaxWaitInQueue: l.MaxWaitInQueue.Duration}
}

// newMirror makes the pull-through, with the importer's client, so that both have the same
// rules and budgets.
func (r *Registry) newMirror() (*pullthrough.Mirror, error) {
	images, err := imageclient.NewForConfig(hostclient.For(r.host.Config, "registry-pull-secrets"))
	if err != nil {
		return nil, fmt.Errorf("making the registry's client of pull secrets: %w", err)
	}
	mirror, err := pullthrough.New(pullthrough.Options{
		Upstream: r.host.Upstream,
		Store:    r.store,
		Caches:   r.config.Caches,
		Mirror:   r.settings().Registry.PullThrough.Mirror,
		Credentials: func(ctx context.Context, namespace string) (pullsecrets.Credentials, error) {
			// The resource takes any stream's name; the secrets are the namespace's.
			list, err := images.ImageV1().ImageStreams(namespace).Secrets(ctx, "registry", metav1.GetOptions{})
			if err != nil {
				return nil, fmt.Errorf("reading the pull secrets of namespace %s: %w", namespace, err)
			}
			secrets := make([]corev1.Secret, len(list.Items))
			copy(secrets, list.Items)
			credentials, warnings := pullsecrets.New(secrets, r.host.Node)
			for _, w := range warnings {
				klog.InfoS("a pull secret is left out", "warning", w.String())
			}
			return credentials, nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the registry's pull-through: %w", err)
	}
	return mirror, nil
}
