// Package imagestreammapping provides the REST storage of imagestreammappings: the
// notice that an image was pushed, which makes the Image and moves a tag onto it.
package imagestreammapping

import (
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

// REST serves imagestreammappings.
type REST struct {
	strategy strategy
	streams  *imagestream.Registry
	images   *image.Registry
	policy   imagestream.Policy
}

var (
	_ rest.Creater              = (*REST)(nil)
	_ rest.Scoper               = (*REST)(nil)
	_ rest.SingularNameProvider = (*REST)(nil)
)

// NewREST makes the storage. The policy is that of streams; of it are used the
// registry's hosts, the right to pull, the limit ranges, and the clock.
func NewREST(scheme *runtime.Scheme, streams *imagestream.Registry, images *image.Registry, policy imagestream.Policy) *REST {
	return &REST{strategy: newStrategy(scheme, policy.Hosts.Internal), streams: streams, images: images, policy: policy}
}

// New implements rest.Storage.
func (*REST) New() runtime.Object { return &imagev1.ImageStreamMapping{} }

// Destroy has nothing to release.
func (*REST) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (*REST) NamespaceScoped() bool { return true }

// GetSingularName implements rest.SingularNameProvider.
func (*REST) GetSingularName() string { return imageapi.SingularImageStreamMapping }

// Create stores the image unless it is known, and makes it the head of the tag and of those
// in the annotation imageapi.AnnotationFurtherTags.
// The answer is a Status of code 201. A mapping that is refused stores nothing.
//
// The stream is never created here. A registry recognises by the 404 of kind
// imagestreammappings and the stream's name that it has to make one first, so no
// other 404 may look like that.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	m, ok := obj.(*imagev1.ImageStreamMapping)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not an ImageStreamMapping: %T", obj))
	}
	if err := r.admit(ctx, m, validate); err != nil {
		return nil, err
	}
	seen, err := r.streams.Get(ctx, m.Name)
	if err != nil {
		return nil, err
	}
	from, err := r.copySource(ctx, m, seen)
	if err != nil {
		return nil, err
	}
	tags, err := imageapi.MappingTags(m)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("annotation %s: %v", imageapi.AnnotationFurtherTags, err))
	}
	t := tagging{tags: tags, seen: seen, from: from, proven: r.verified(ctx, m)}
	outcome, err := r.record(ctx, m, t, options.DryRun)
	if err != nil {
		return nil, err
	}
	t.existed = outcome.existed
	if err := r.tag(ctx, m, t, options.DryRun); err != nil {
		r.discard(ctx, outcome.claim, err)
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, nil
}

// admit completes and validates a mapping.
func (r *REST) admit(ctx context.Context, m *imagev1.ImageStreamMapping, validate rest.ValidateObjectFunc) error {
	rest.FillObjectMetaSystemFields(m)
	if m.Name == "" && m.GenerateName != "" {
		m.Name = r.strategy.GenerateName(m.GenerateName)
	}
	if err := rest.BeforeCreate(r.strategy, ctx, m); err != nil {
		return err
	}
	if validate != nil {
		if err := validate(ctx, m.DeepCopyObject()); err != nil {
			return err
		}
	}
	return checkImageLimit(m, r.policy.LimitRanges, r.now())
}

// tagging holds the inputs of moving tags.
type tagging struct {
	tags    []string
	seen    *imagev1.ImageStream // the stream as it was
	from    *imagev1.ImageStream // the stream that the image is copied from, or nil
	proven  bool                 // the mapping shows the content of the image
	existed bool                 // the Image was there before
}

// prove notes whether the stream has more of the image than its digest. It is called before
// the event is added. An image copied from a stream has the proof of that stream.
func (t *tagging) prove(s *imagev1.ImageStream, image string) {
	switch {
	case t.proven, t.from != nil && stream.ProvenIn(t.from, image):
		stream.MarkProven(s, image)
	default:
		stream.MarkUnproven(s, image)
	}
}

// tag moves the tags in one write. A race is lost only against a writer who moved
// one of these tags: of two pushes onto it one must not undo the other unseen.
func (r *REST) tag(ctx context.Context, m *imagev1.ImageStreamMapping, t tagging, dryRun []string) error {
	now := metav1.NewTime(r.now())
	write := imagestream.Write{DryRun: dryRun, StatusOnly: true}
	_, _, err := r.streams.Apply(ctx, m.Name, write, func(s *imagev1.ImageStream, _ bool) error {
		if moved := stream.MappingConflict(t.seen, s, t.tags); moved != "" {
			return apierrors.NewConflict(imageapi.Resource(imageapi.ImageStreamMappings), m.Name,
				fmt.Errorf("tag %q was moved to another image while this one was being added", moved))
		}
		ref := stream.MappingReference(s, &m.Image, t.existed)
		t.prove(s, m.Image.Name)
		stream.ApplyMapping(s, t.tags, ref, m.Image.Name, now)
		if t.from != nil && ref == m.Image.DockerImageReference {
			stream.RecordCopies(s, stream.Copied{Image: m.Image.Name, From: t.from})
		}
		return nil
	})
	return err
}

func (r *REST) now() time.Time {
	if r.policy.Now == nil {
		return time.Now()
	}
	return r.policy.Now()
}
