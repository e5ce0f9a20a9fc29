package imagestreamimport

import (
	"context"
	"math"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// report fills the status of the import with what the importer found.
func (r *REST) report(ctx context.Context, isi *imagev1.ImageStreamImport, known *imagev1.ImageStream, result importer.Result) error {
	isi.Status.Images = make([]imagev1.ImageImportStatus, len(result.Images))
	for i := range result.Images {
		isi.Status.Images[i] = imageStatus(&result.Images[i], isi.Spec.Images[i].From.Name)
		if !result.Images[i].Unchanged {
			continue
		}
		if err := r.reportKnown(ctx, &isi.Status.Images[i], known, stream.LatestEvent(known, isi.Spec.Images[i].To.Name)); err != nil {
			return err
		}
	}
	if repository := result.Repository; repository != nil {
		isi.Status.Repository = &imagev1.RepositoryImportStatus{
			Status:         withRetryAfter(repository.Status, repository.RetryAfter),
			AdditionalTags: repository.AdditionalTags,
		}
		for i := range repository.Images {
			isi.Status.Repository.Images = append(isi.Status.Repository.Images, imageStatus(&repository.Images[i], isi.Spec.Repository.From.Name))
		}
	}
	return nil
}

// reportKnown puts the stored images into the status of one that is unchanged:
// nothing was fetched.
func (r *REST) reportKnown(ctx context.Context, status *imagev1.ImageImportStatus, known *imagev1.ImageStream, head *imagev1.TagEvent) error {
	stored, err := r.Images.Seen(ctx, known, head.Image)
	if err != nil {
		return err
	}
	status.Image = withoutText(stored)
	status.Image.DockerImageReference = head.DockerImageReference
	for i := range stored.DockerImageManifests {
		child, err := r.Images.Seen(ctx, known, stored.DockerImageManifests[i].Digest)
		if err != nil {
			return err
		}
		status.Manifests = append(status.Manifests, *withoutText(child))
	}
	return nil
}

// withoutText is a copy of a stored Image as imports show it.
func withoutText(stored *imagev1.Image) *imagev1.Image {
	img := stored.DeepCopy()
	img.DockerImageManifest, img.DockerImageConfig = "", ""
	return img
}

func imageStatus(result *importer.ImageResult, from string) imagev1.ImageImportStatus {
	status := imagev1.ImageImportStatus{
		Status:    withRetryAfter(result.Status, result.RetryAfter),
		Tag:       result.Tag,
		Image:     result.Image,
		Manifests: result.Manifests,
	}
	if result.Image != nil && cameFromMirror(result.Source, from) {
		metav1.SetMetaDataAnnotation(&status.Image.ObjectMeta, imageapi.AnnotationImportSource, result.Source)
	}
	return status
}

// cameFromMirror reports whether another repository answered than the one named.
func cameFromMirror(source, from string) bool {
	ref, err := reference.Parse(from)
	if err != nil || source == "" {
		return false
	}
	named := ref.WithDefaults()
	return source != named.AsRepository().String() && source != named.ContactHost()+"/"+named.RepositoryName()
}

// withRetryAfter adds the pause of a failure, as the registry set it, to the
// field that Kubernetes clients know.
func withRetryAfter(status metav1.Status, pause time.Duration) metav1.Status {
	if pause <= 0 || status.Status != metav1.StatusFailure {
		return status
	}
	if status.Details == nil {
		status.Details = &metav1.StatusDetails{}
	} else {
		status.Details = status.Details.DeepCopy()
	}
	status.Details.RetryAfterSeconds = int32(min(math.Ceil(pause.Seconds()), math.MaxInt32))
	return status
}
