package imagestream

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/stream"
)

// Registry reads and writes streams inside the server, on behalf of the
// resources that are views of them: tags, mappings, imports.
//
// Every write is one atomic step over the stored stream, so two writers, through
// whichever resources, never lose each other's work. Errors of the store are
// labelled with the resource of the request in ctx and the stream's name, as
// clients of this API expect.
type Registry struct {
	whole  movingStore // writes spec and status
	status movingStore // writes status only
}

// Get returns a stream that the caller must not change.
func (r *Registry) Get(ctx context.Context, name string) (*imagev1.ImageStream, error) {
	obj, err := r.whole.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return obj.(*imagev1.ImageStream), nil
}

// List returns streams that the caller must not change.
func (r *Registry) List(ctx context.Context, options *metainternalversion.ListOptions) (*imagev1.ImageStreamList, error) {
	obj, err := r.whole.List(ctx, options)
	if err != nil {
		return nil, err
	}
	return obj.(*imagev1.ImageStreamList), nil
}

// Write says how a stream is written.
type Write struct {
	// CreateMissing has a stream that does not exist made from an empty one with
	// its name and namespace set.
	CreateMissing bool
	// DryRun is that of the request: All writes nothing.
	DryRun []string
	// StatusOnly leaves spec and metadata alone and asks no access to the sources
	// of tags.
	StatusOnly bool
}

// Change is one writer's change of a stream. It is given a copy to work on and
// is called again with a fresh one when another writer was faster; its error ends
// the write. existing is false for a stream that is being created.
type Change func(s *imagev1.ImageStream, existing bool) error

// Apply makes a change of the stream of that name in the namespace of ctx. A
// change that changes nothing writes nothing. created reports whether the stream is new.
func (r *Registry) Apply(ctx context.Context, name string, w Write, change Change) (s *imagev1.ImageStream, created bool, err error) {
	store := r.whole
	if w.StatusOnly {
		store = r.status
	}
	obj, created, err := store.Update(ctx, name, update{ctx: ctx, name: name, change: change},
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, w.CreateMissing, &metav1.UpdateOptions{DryRun: w.DryRun})
	if err != nil {
		return nil, false, err
	}
	return obj.(*imagev1.ImageStream), created, nil
}

// update is a change in the shape the store takes.
type update struct {
	ctx    context.Context
	name   string
	change Change
}

var _ rest.UpdatedObjectInfo = update{}

// Preconditions has none: the store itself sees to it that nothing comes between.
func (update) Preconditions() *metav1.Preconditions { return nil }

// UpdatedObject applies the change to a copy of the stored stream, which keeps
// its resourceVersion, so that the store notices a writer in between and asks again.
func (u update) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	s := old.DeepCopyObject().(*imagev1.ImageStream)
	existing := s.UID != ""
	if !existing {
		s.Name, s.Namespace = u.name, namespaceOf(ctx)
	}
	// Copy sources that are read from the stored spec are recorded before the spec changes.
	stream.SetCopySources(s, stream.CopySources(s))
	return s, u.change(s, existing)
}
