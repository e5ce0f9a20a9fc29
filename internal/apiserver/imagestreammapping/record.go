package imagestreammapping

import (
	"context"
	"errors"
	"net/http"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/stream"
)

// discardTimeout bounds the deletion of a claim whose mapping was refused.
const discardTimeout = 10 * time.Second

// recorded is the result of storing the image of a mapping.
type recorded struct {
	existed bool // the Image was there before
	// claim is the Image if this request stored it and nothing verifies it.
	claim *imagev1.Image
}

// record stores the image of a mapping, or corrects the Image of that name. Nothing is
// stored for a mapping that is going to be refused: whether the stream takes it is
// tried before.
//
// A mapping is refused for the same reasons whether or not there is an Image of that name:
// otherwise the refusal would tell a user what others have pushed or imported.
func (r *REST) record(ctx context.Context, m *imagev1.ImageStreamMapping, t tagging, dryRun []string) (recorded, error) {
	if err := r.images.Check(ctx, &m.Image); err != nil {
		return recorded{}, err
	}
	stored, err := r.images.Find(ctx, m.Image.Name)
	if err != nil {
		return recorded{}, err
	}
	if stored == nil || !sameReference(t.seen, &m.Image) {
		if err := r.tag(ctx, m, tagging{tags: t.tags, seen: t.seen}, []string{metav1.DryRunAll}); err != nil {
			return recorded{}, err
		}
		var made recorded
		if stored == nil {
			if stored, made, err = r.create(ctx, m, t.proven, dryRun); err != nil || !made.existed {
				return made, err
			}
		}
	}
	return recorded{existed: true}, r.correct(ctx, m, stored, t.proven, dryRun)
}

// sameReference reports whether the tag event has the same reference whether or not the Image is
// stored already, so that trying one of the two is enough.
func sameReference(s *imagev1.ImageStream, img *imagev1.Image) bool {
	return stream.MappingReference(s, img, true) == stream.MappingReference(s, img, false)
}

// create stores the Image of a mapping, as a claim if it is not verified. stored is
// the Image that is there afterwards.
func (r *REST) create(ctx context.Context, m *imagev1.ImageStreamMapping, verified bool, dryRun []string) (stored *imagev1.Image, made recorded, err error) {
	if verified {
		stored, made.existed, err = r.images.Create(ctx, m.Image.DeepCopy(), dryRun)
		return stored, made, err
	}
	stored, made.existed, err = r.images.Claim(ctx, m.Image.DeepCopy(), m.Namespace, m.Name, dryRun)
	if err == nil && !made.existed && len(dryRun) == 0 {
		made.claim = stored
	}
	return stored, made, err
}

// verified reports whether the description of a mapping's image is correct: its own text
// proves it, or the user may update Images, as registries may, which have the content.
func (r *REST) verified(ctx context.Context, m *imagev1.ImageStreamMapping) bool {
	return dockerimage.Proven(&m.Image, r.now()) || r.images.MayUpdate(ctx)
}

// correct changes a stored Image to the description in the mapping, if that differs and is
// verified. An image with only a name and a reference corrects nothing.
func (r *REST) correct(ctx context.Context, m *imagev1.ImageStreamMapping, stored *imagev1.Image, verified bool, dryRun []string) error {
	sent := m.Image.DeepCopy()
	// Text that cannot be read keeps no Image from being stored either.
	_ = dockerimage.Fill(sent, r.now())
	if !dockerimage.NeedsCorrection(stored, sent) || !dockerimage.DescribesContent(sent) || !verified {
		return nil
	}
	_, err := r.images.Correct(ctx, sent, dryRun)
	return err
}

// discard deletes the claim that a mapping stored before the stream refused it. That
// happens only if the stream changed in between. Another mapping onto the claim may
// have been taken in that moment; its tag then has no Image until an import or push.
// A verified Image stays: another push may rely on it by then, and it does no harm.
//
// After an error that leaves open whether the tag was moved, the claim stays, too.
func (r *REST) discard(ctx context.Context, claim *imagev1.Image, refusal error) {
	if claim == nil || !refused(refusal) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	if err := r.images.Discard(ctx, claim); err != nil {
		klog.FromContext(ctx).Error(err, "Deleting an image whose mapping was refused failed", "image", claim.Name)
	}
}

// refused reports whether an error means that nothing was written.
func refused(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError
}
