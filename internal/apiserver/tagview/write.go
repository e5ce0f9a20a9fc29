package tagview

import (
	"context"
	"fmt"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/stream"
)

// Object is a tag as one of the resources shows it.
type Object interface {
	runtime.Object
	metav1.Object
}

// writer writes tags through objects of type T. Each write is one atomic step over the stream, so
// that of two writers, through whichever resources, none loses anything.
type writer[T Object] struct {
	Kind[T]
	streams *imagestream.Registry
}

// create adds the object's tag to the spec of its stream, which is made if there is
// none. It returns the stream and the name of the tag in it.
func (w writer[T]) create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (*imagev1.ImageStream, string, error) {
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
	s, created, err := w.streams.Apply(ctx, streamName, write, func(s *imagev1.ImageStream, _ bool) error {
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

func (w writer[T]) typed(obj runtime.Object) (T, error) {
	t, ok := obj.(T)
	if !ok {
		return t, apierrors.NewBadRequest(fmt.Sprintf("not a %T: %T", t, obj))
	}
	return t, nil
}

// admitNew completes and validates an object that makes its stream, or its tag by POST.
func (w writer[T]) admitNew(ctx context.Context, t T) error {
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
