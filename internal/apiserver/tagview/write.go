package tagview

import (
	"context"
	"fmt"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/stream"
)

// Object is a tag as one of the resources shows it.
type Object interface {
	runtime.Object
	metav1.Object
}

// Strategy is what becomes of an object of the resource before it takes effect.
type Strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

// Writer writes tags through objects of type T: each write is one atomic step over
// the stream, so of two writers, through whichever resources, none loses anything.
type Writer[T Object] struct {
	Streams *imagestream.Registry
	// Resource labels errors about tags; those about streams and Images are labelled
	// by their stores.
	Resource schema.GroupResource
	// Taken labels the error about a tag that is there already.
	Taken    schema.GroupResource
	Strategy Strategy

	// View shows a tag of a stream, which may be in neither spec nor status, as it is
	// known without its image. It may share memory with the stream.
	View func(s *imagev1.ImageStream, tag string) T
	// SpecTag is what the object wants in spec, nil for nothing.
	SpecTag func(T) *imagev1.TagReference
	// Fields are the places of the spec tag in the object.
	Fields Fields
	// Put changes the stream to what an update wants. Its error is an API error.
	Put func(s *imagev1.ImageStream, tag string, t T) error
}

// Create adds the object's tag to the spec of its stream, which is made if there is
// none. It returns the stream and the name of the tag in it.
func (w Writer[T]) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (*imagev1.ImageStream, string, error) {
	t, err := w.typed(obj)
	if err != nil {
		return nil, "", err
	}
	if err := w.admitNew(ctx, t); err != nil {
		return nil, "", err
	}
	streamName, tag, _ := strings.Cut(t.GetName(), ":")
	if streamName == "" || tag == "" {
		return nil, "", apierrors.NewBadRequest(fmt.Sprintf("name %q is not of the form <stream>:<tag>", t.GetName()))
	}
	if err := admit(ctx, validate, t); err != nil {
		return nil, "", err
	}
	write := imagestream.Write{CreateMissing: true, DryRun: options.DryRun}
	s, created, err := w.Streams.Apply(ctx, streamName, write, func(s *imagev1.ImageStream, _ bool) error {
		if stream.SpecTag(s, tag) != nil {
			return apierrors.NewAlreadyExists(w.Taken, t.GetName())
		}
		if specTag := w.SpecTag(t); specTag != nil {
			stream.SetSpecTag(s, *specTag.DeepCopy())
		}
		return nil
	})
	return answered(s, created, options.DryRun), tag, err
}

func (w Writer[T]) typed(obj runtime.Object) (T, error) {
	t, ok := obj.(T)
	if !ok {
		return t, apierrors.NewBadRequest(fmt.Sprintf("not a %T: %T", t, obj))
	}
	return t, nil
}

// admitNew completes and validates an object that makes its stream, or its tag by POST.
func (w Writer[T]) admitNew(ctx context.Context, t T) error {
	rest.FillObjectMetaSystemFields(t)
	if t.GetName() == "" && t.GetGenerateName() != "" {
		t.SetName(w.Strategy.GenerateName(t.GetGenerateName()))
	}
	return rest.BeforeCreate(w.Strategy, ctx, t)
}

func admit(ctx context.Context, validate rest.ValidateObjectFunc, obj runtime.Object) error {
	if validate == nil {
		return nil
	}
	return validate(ctx, obj.DeepCopyObject())
}

// answered is the stream that a write answers from. One that a dry run would have
// made has no identity, for it is not there.
func answered(s *imagev1.ImageStream, created bool, dryRun []string) *imagev1.ImageStream {
	if s == nil || !created || len(dryRun) == 0 {
		return s
	}
	unborn := *s
	unborn.UID, unborn.ResourceVersion = "", ""
	return &unborn
}
