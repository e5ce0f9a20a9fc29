// Package imagestreamimport provides the REST storage of imagestreamimports: a
// POST asks registries for images and, if it says so, stores them and tags them
// into a stream.
//
//	request → validate → authorize sources → gather (stream, credentials)
//	        → import (internal/importer) → store images → apply to the stream
//
// Nothing is written before all registries have answered, and what is written to
// the stream is one atomic step over the stream as it is then.
package imagestreamimport

import (
	"context"
	"errors"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/stream"
)

// Dependencies are the parts of the server that imports use.
type Dependencies struct {
	Streams *imagestream.Registry
	Images  *image.Registry
	// Hosts are the names of the integrated registry.
	Hosts stream.Registries
	// Importer asks the registries.
	Importer *importer.Importer
	// Allowed is the list of registries that images may come from.
	Allowed validation.RegistryAllower
	// MayCreate asks whether a user may create a resource of the group in the
	// whole cluster; who may create Images may look at registries that are not
	// allowed.
	MayCreate func(ctx context.Context, u user.Info, resource string) bool
	// PullSecrets lists the pull secrets of a namespace.
	PullSecrets func(ctx context.Context, namespace string) (*corev1.SecretList, error)
	// NodeCredentials serve all namespaces, after their own; nil for none.
	NodeCredentials *pullsecrets.NodeCredentials
	// Warn reports a pull secret that cannot be used.
	Warn func(ctx context.Context, namespace string, w pullsecrets.Warning)
	// WarnOfSource reports a source that failed before another one answered, on the stream
	// that was imported into; nil for a look without a stream.
	WarnOfSource func(ctx context.Context, on *imagev1.ImageStream, text string)
	// Stopping ends when imports in flight are to be given up because the server
	// stops.
	Stopping context.Context
	// MaxRepositoryTags bounds how many tags of a repository are imported; negative
	// is without bound.
	MaxRepositoryTags int
}

// REST serves imagestreamimports.
type REST struct {
	strategy strategy
	Dependencies
}

var (
	_ rest.Creater              = (*REST)(nil)
	_ rest.Scoper               = (*REST)(nil)
	_ rest.SingularNameProvider = (*REST)(nil)
	_ rest.Storage              = (*REST)(nil)
)

// NewREST makes the storage. It has no table: a client that takes nothing else is
// refused before anything is done.
func NewREST(scheme *runtime.Scheme, d Dependencies) *REST {
	return &REST{strategy: newStrategy(scheme), Dependencies: d}
}

// New implements rest.Storage.
func (*REST) New() runtime.Object { return &imagev1.ImageStreamImport{} }

// Destroy has nothing to release.
func (*REST) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (*REST) NamespaceScoped() bool { return true }

// GetSingularName implements rest.SingularNameProvider.
func (*REST) GetSingularName() string { return "imagestreamimport" }

// Create imports. The answer is the import with its status filled, also when
// every single image failed; an error says that the import as a whole could not
// be made or written.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	isi, ok := obj.(*imagev1.ImageStreamImport)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not an ImageStreamImport: %T", obj))
	}
	ctx, cancel := context.WithCancelCause(withoutDeadline{ctx}) // the importer has a deadline of its own
	defer cancel(nil)
	defer context.AfterFunc(r.Stopping, func() { cancel(errStopping) })()
	rest.FillObjectMetaSystemFields(isi)
	if err := rest.BeforeCreate(r.strategy, ctx, isi); err != nil {
		return nil, err
	}
	if err := r.authorizeSources(ctx, isi); err != nil {
		return nil, err
	}
	if validate != nil {
		if err := validate(ctx, isi.DeepCopy()); err != nil {
			return nil, err
		}
	}
	now := metav1.Now()
	known, err := r.target(ctx, isi)
	if err != nil {
		return nil, err
	}
	sources, err := r.copySources(ctx, isi)
	if err != nil {
		return nil, err
	}
	request, err := r.request(ctx, isi, known)
	if err != nil {
		return nil, err
	}
	result := r.Importer.Import(ctx, request)
	if ctx.Err() != nil {
		return nil, givenUp(ctx, isi)
	}
	if err := r.report(ctx, isi, known, result); err != nil {
		return nil, err
	}
	skipped := skippedSources(result)
	if !isi.Spec.Import {
		r.warnOfSources(ctx, nil, skipped)
		logOutcome(ctx, isi, options.DryRun)
		return isi, nil
	}
	outcome := stream.OutcomeOf(isi, now)
	err = r.tag(ctx, isi, known, options.DryRun, now, func(s *imagev1.ImageStream) {
		stream.ApplyImport(s, r.keepOrigins(s, outcome))
		r.recordCopies(s, outcome, sources)
	})
	if err != nil {
		return isi, err
	}
	if len(options.DryRun) == 0 {
		r.warnOfSources(ctx, isi.Status.Import, skipped)
	}
	logOutcome(ctx, isi, options.DryRun)
	return isi, nil
}

// errStopping is the cause of an import's end when the server stops.
var errStopping = errors.New("the server is stopping")

// givenUp is the answer to an import that did not get to its end. Nothing of it
// has been written.
func givenUp(ctx context.Context, isi *imagev1.ImageStreamImport) error {
	if errors.Is(context.Cause(ctx), errStopping) {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("importing into %s/%s: the server is stopping, try again", isi.Namespace, isi.Name))
	}
	return apierrors.NewTimeoutError(fmt.Sprintf("importing into %s/%s: the client went away", isi.Namespace, isi.Name), 0)
}

// authorizeSources refuses registries that are not on the list to callers who
// may not create Images themselves.
func (r *REST) authorizeSources(ctx context.Context, isi *imagev1.ImageStreamImport) error {
	errs := validation.ImageStreamImportSources(isi, r.Allowed)
	if len(errs) == 0 || r.mayCreateImages(ctx) {
		return nil
	}
	return apierrors.NewInvalid(imageapi.Kind("ImageStreamImport"), isi.Name, errs)
}

// target loads the stream that the import is for, nil when there is none, and
// checks the resourceVersion that the import was based on.
func (r *REST) target(ctx context.Context, isi *imagev1.ImageStreamImport) (*imagev1.ImageStream, error) {
	s, err := r.Streams.Get(ctx, isi.Name)
	switch {
	case apierrors.IsNotFound(err) && isi.ResourceVersion == "":
		return nil, nil
	case err != nil:
		return nil, err
	}
	return s, checkVersion(isi, s)
}

func checkVersion(isi *imagev1.ImageStreamImport, s *imagev1.ImageStream) error {
	if isi.ResourceVersion == "" || isi.ResourceVersion == s.ResourceVersion {
		return nil
	}
	return apierrors.NewConflict(imageapi.Resource(imageapi.SingularImageStream), isi.Name,
		fmt.Errorf("the image stream was updated from %q to %q", isi.ResourceVersion, s.ResourceVersion))
}

// withoutDeadline drops the deadline that a context reports, not its end: see
// patientContext in the package apiserver.
type withoutDeadline struct{ context.Context }

func (withoutDeadline) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }
