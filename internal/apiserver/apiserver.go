// Package apiserver provides the API server of image.openshift.io/v1 on
// k8s.io/apiserver: the same code behind a standalone Weir's control plane and as
// an aggregated API server of a cluster.
//
// Two resources are stored, images and imagestreams. All others are views: of
// one tag, one image, one import, written by changing the stream behind them in
// one atomic step. The group weir.dev is served beside it.
package apiserver

import (
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientrest "k8s.io/client-go/rest"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/openapi"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/stream"
	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// discoveryPriority puts the groups after Kubernetes' own.
const discoveryPriority = 9900

// GroupVersions are those that the server serves, each with its place in discovery, as an
// APIService's groupPriorityMinimum.
func GroupVersions() map[schema.GroupVersion]int32 {
	return map[schema.GroupVersion]int32{imagev1.GroupVersion: discoveryPriority, weirv1alpha1.GroupVersion: discoveryPriority}
}

// Config has the parts of the server.
type Config struct {
	// Generic is the configuration shared with the server it stands behind.
	Generic genericapiserver.Config
	// Etcd are the options of the store.
	Etcd genericoptions.EtcdOptions
	// Storage wraps the stores of a getter, nil for no wrapping.
	Storage func(generic.RESTOptionsGetter) generic.RESTOptionsGetter
	// Host configures a client of the Kubernetes whose namespaces, secrets and limits count;
	// Informers are of it, and started by their owner.
	Host      *clientrest.Config
	Informers informers.SharedInformerFactory

	client kubernetes.Interface // of Host

	// DefaultImportMode is stored with tags that name none; "" is Legacy.
	DefaultImportMode imagev1.ImportModeType
	// Hosts are the names of the integrated registry.
	Hosts stream.Registries
	// Allowed is the list of registries that images may come from.
	Allowed validation.RegistryAllower
	// Importer asks other registries for images.
	Importer *importer.Importer
	// ImportIntervals are how often scheduled tags are looked at.
	ImportIntervals stream.Intervals
	// CheckedUntil returns the time before which all scheduled checks that were due have been made,
	// zero where it is not known. Nil if no scheduled imports are made.
	CheckedUntil func(context.Context) (time.Time, error)
	// MaxRepositoryTags bounds how many tags an import takes from a repository;
	// negative is without bound.
	MaxRepositoryTags int
	// NodeCredentials serve the imports of all namespaces, after their own; nil for none.
	NodeCredentials *pullsecrets.NodeCredentials
	// Caches bound the memory for what is remembered; nil is without such a bound.
	Caches *caches.Pool
	// RegistryKey is the key that signs passwords for the registry. The registry must have
	// the same.
	RegistryKey RegistryKey
	// AccountIssuers are the issuers of the host's service account tokens.
	AccountIssuers []string
}

// RegistryKey is the Secret whose key signs tokens of the registry. Its zero value is the
// Secret that the registry takes by default.
type RegistryKey struct {
	Namespace, Name string
	// MaxAge is the age at which the key is replaced.
	MaxAge time.Duration
}

// importGrace is the time for imports in flight when the server stops.
const importGrace = 10 * time.Second

// New makes the server; what it does not serve goes on to the delegate.
func New(c Config, delegate genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
	var err error
	if c.client, err = kubernetes.NewForConfig(c.Host); err != nil {
		return nil, fmt.Errorf("making the image API's client of the host: %w", err)
	}
	scheme, codecs := imageapi.NewScheme(c.DefaultImportMode)
	if err := useStorage(&c.Generic, c.Etcd, scheme, codecs, c.Hosts); err != nil {
		return nil, err
	}
	if c.Storage != nil {
		c.Generic.RESTOptionsGetter = c.Storage(c.Generic.RESTOptionsGetter)
	}
	describe(&c.Generic)
	server, err := c.Generic.Complete(nil).New("weir-image-apiserver", delegate)
	if err != nil {
		return nil, fmt.Errorf("making the server of %s: %w", imagev1.GroupName, err)
	}
	stopping, giveUp := context.WithCancel(context.Background())
	server.AddPreShutdownHookOrDie("weir-imports", func() error {
		time.AfterFunc(importGrace, giveUp)
		return nil
	})
	warnings := newImportWarnings(c.client)
	server.AddPostStartHookOrDie("weir-secret-warnings", warnings.start)
	resources, streams, err := c.resources(stopping, scheme, warnings)
	if err != nil {
		return nil, err
	}
	server.Handler.GoRestfulContainer.Filter(beOfPatience)
	group := genericapiserver.APIGroupInfo{
		PrioritizedVersions:          scheme.PrioritizedVersionsForGroup(imagev1.GroupName),
		VersionedResourcesStorageMap: map[string]map[string]rest.Storage{imagev1.GroupVersion.Version: resources},
		OptionsExternalVersion:       &metaVersion,
		Scheme:                       scheme,
		ParameterCodec:               runtime.NewParameterCodec(scheme),
		NegotiatedSerializer:         imageapi.NewSerializer(codecs),
	}
	if err := server.InstallAPIGroup(&group); err != nil {
		return nil, fmt.Errorf("installing %s: %w", imagev1.GroupName, err)
	}
	if err := c.installWeirGroup(server, streams); err != nil {
		return nil, err
	}
	return server, nil
}

var metaVersion = metav1.Unversioned

// describe has the server tell its own OpenAPI. The ways to log in are the host's; with
// them comes the answer 401 of every operation.
func describe(c *genericapiserver.Config) {
	namer := openapinamer.NewDefinitionNamer(imageapi.NewPublishedScheme(), weirv1alpha1.NewPublishedScheme())
	v2 := genericapiserver.DefaultOpenAPIConfig(openapi.Definitions, namer)
	v3 := genericapiserver.DefaultOpenAPIV3Config(openapi.Definitions, namer)
	v2.Info.Title, v3.Info.Title = "Weir", "Weir"
	if c.OpenAPIConfig != nil {
		v2.SecurityDefinitions = c.OpenAPIConfig.SecurityDefinitions
	}
	if c.OpenAPIV3Config != nil {
		v3.SecuritySchemes = c.OpenAPIV3Config.SecuritySchemes
	}
	c.OpenAPIConfig, c.OpenAPIV3Config = v2, v3
}
