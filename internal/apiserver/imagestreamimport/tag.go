package imagestreamimport

import (
	"context"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"

	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/stream"
)

// concurrentWrites bounds the images of one import that are written at a time.
const concurrentWrites = 32

// limitText is how clients recognise that a limit was exceeded.
const limitText = "exceeds the maximum limit"

// tag stores the images that were found and writes the import's change to its stream.
func (r *REST) tag(ctx context.Context, isi *imagev1.ImageStreamImport, known *imagev1.ImageStream, dryRun []string, now metav1.Time, change func(*imagev1.ImageStream)) error {
	if err := r.storeImages(ctx, isi, dryRun); err != nil {
		return err
	}
	var attempted *imagev1.ImageStream
	apply := func(s *imagev1.ImageStream, existing bool) error {
		if existing {
			if err := checkUndisturbed(isi, known, s); err != nil {
				return err
			}
		}
		change(s)
		attempted = s
		return nil
	}
	write := imagestream.Write{CreateMissing: isi.ResourceVersion == "", DryRun: dryRun}
	s, _, err := r.Streams.Apply(imagestream.WithCause(ctx, causeOf(isi)), isi.Name, write, apply)
	if err != nil {
		r.recordRefusal(ctx, isi, attempted, dryRun, now, err)
		return err
	}
	isi.Status.Import = s
	return nil
}

// causeOf is the cause that Events about moved tags report.
func causeOf(isi *imagev1.ImageStreamImport) string {
	if isi.Annotations[imageapi.AnnotationImportCause] == imagestream.CauseSchedule {
		return imagestream.CauseSchedule
	}
	return imagestream.CauseImport
}

// checkUndisturbed refuses to write an import into a stream whose spec was changed,
// since the version that the import was based on, in what the import is about. What
// else happened to the stream meanwhile (another import, a push, a label) is no
// reason to ask the registries once more: this write is a change of the stream as
// it is now.
func checkUndisturbed(isi *imagev1.ImageStreamImport, known, s *imagev1.ImageStream) error {
	if isi.ResourceVersion == "" || isi.ResourceVersion == s.ResourceVersion {
		return nil
	}
	undisturbed := known != nil && known.UID == s.UID && (isi.Spec.Repository == nil || equality.Semantic.DeepEqual(known.Spec, s.Spec))
	for i := range isi.Spec.Images {
		if to := isi.Spec.Images[i].To; to != nil && undisturbed {
			undisturbed = equality.Semantic.DeepEqual(stream.SpecTag(known, to.Name), stream.SpecTag(s, to.Name))
		}
	}
	if undisturbed {
		return nil
	}
	return checkVersion(isi, s)
}

// storeImages creates the Images that are not there yet, and corrects those that say
// something else than what was found: of each result what it lists first, so that no
// stored list ever names an Image that is missing.
func (r *REST) storeImages(ctx context.Context, isi *imagev1.ImageStreamImport, dryRun []string) error {
	writes, ctx := errgroup.WithContext(ctx)
	writes.SetLimit(concurrentWrites)
	each := func(results []imagev1.ImageImportStatus) {
		for i := range results {
			if results[i].Image == nil || results[i].Image.ResourceVersion != "" {
				continue // failed, or unchanged and stored
			}
			writes.Go(func() error { return r.storeResult(ctx, &results[i], dryRun) })
		}
	}
	if isi.Status.Repository != nil {
		each(isi.Status.Repository.Images)
	}
	each(isi.Status.Images)
	return writes.Wait()
}

func (r *REST) storeResult(ctx context.Context, result *imagev1.ImageImportStatus, dryRun []string) error {
	for i := range result.Manifests {
		if err := r.storeImage(ctx, &result.Manifests[i], dryRun); err != nil {
			return err
		}
	}
	return r.storeImage(ctx, result.Image, dryRun)
}

// storeImage leaves in img what is shown to the client: the stored Image, or, if
// there was one already, the one that was found.
func (r *REST) storeImage(ctx context.Context, img *imagev1.Image, dryRun []string) error {
	if stored := r.Images.Known(ctx, img.Name); stored != nil && !dockerimage.NeedsCorrection(stored, img) {
		rest.FillObjectMetaSystemFields(img)
		return nil
	}
	stored, existed, err := r.Images.Verify(ctx, img, dryRun)
	if err != nil {
		return err // as it is: the server tells clients only errors that are API errors themselves
	}
	if existed {
		rest.FillObjectMetaSystemFields(img)
		return nil
	}
	*img = *stored
	return nil
}

// recordRefusal notes on a stream that a limit kept an import out of it, for
// those who see only the stream. The request fails with the refusal anyhow.
func (r *REST) recordRefusal(ctx context.Context, isi *imagev1.ImageStreamImport, attempted *imagev1.ImageStream, dryRun []string, now metav1.Time, refusal error) {
	if attempted == nil || !apierrors.IsInvalid(refusal) || !strings.Contains(refusal.Error(), limitText) {
		return
	}
	status := metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Message: refusal.Error()}
	_, _, err := r.Streams.Apply(ctx, isi.Name, imagestream.Write{StatusOnly: true, DryRun: dryRun}, func(s *imagev1.ImageStream, _ bool) error {
		stream.RecordRefusal(s, attempted, status, tooLarge(refusal), now)
		return nil
	})
	if err != nil && !apierrors.IsNotFound(err) {
		klog.FromContext(ctx).Error(err, "Recording a refused import in the status of an image stream failed", "imagestream", klog.KRef(isi.Namespace, isi.Name))
	}
}

// tooLarge reports whether a stream was refused for its size. That concerns each tag that was
// to move; the other limits are about images and references that are new to the stream.
func tooLarge(refusal error) bool {
	return apierrors.HasStatusCause(refusal, metav1.CauseTypeTooLong)
}
