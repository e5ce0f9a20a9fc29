package importrequest

import (
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// Build returns the import for a need, with the current policies of the stream's spec. It has
// the stream's resourceVersion and uid, so that it fails with a conflict instead of undoing a
// concurrent change of the spec.
//
// It omits tags without a name or with an invalid pull spec, for which the API would reject
// the whole import. It returns nil if there is nothing to import.
func Build(s *imagev1.ImageStream, need stream.ImportNeed) *imagev1.ImageStreamImport {
	isi := &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{
			Name:            s.Name,
			Namespace:       s.Namespace,
			ResourceVersion: s.ResourceVersion,
			UID:             s.UID,
		},
		Spec: imagev1.ImageStreamImportSpec{Import: true},
	}
	if need.Repository {
		isi.Spec.Repository = &imagev1.RepositoryImportSpec{
			From:         corev1.ObjectReference{Kind: stream.KindDockerImage, Name: s.Spec.DockerImageRepository},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: s.Annotations[imagev1.InsecureRepositoryAnnotation] == "true"},
		}
	}
	for _, name := range need.Tags {
		if tag := stream.SpecTag(s, name); tag != nil && Importable(tag) {
			isi.Spec.Images = append(isi.Spec.Images, imagev1.ImageImportSpec{
				From:            corev1.ObjectReference{Kind: stream.KindDockerImage, Name: tag.From.Name},
				To:              &corev1.LocalObjectReference{Name: tag.Name},
				ImportPolicy:    tag.ImportPolicy,
				ReferencePolicy: tag.ReferencePolicy,
			})
		}
	}
	if isi.Spec.Repository == nil && len(isi.Spec.Images) == 0 {
		return nil
	}
	return isi
}

// Importable reports whether a spec tag can be imported: it names an image in a registry, has a
// name, and its pull spec is valid.
func Importable(tag *imagev1.TagReference) bool {
	if tag.Name == "" || !stream.Importable(tag) {
		return false
	}
	_, err := reference.Parse(tag.From.Name)
	return err == nil
}

// Failures returns the failed tags of a completed import, with their statuses. Tags that were
// imported with a repository are not included.
func Failures(isi *imagev1.ImageStreamImport) map[string]metav1.Status {
	failed := map[string]metav1.Status{}
	for i := range min(len(isi.Spec.Images), len(isi.Status.Images)) {
		to, status := isi.Spec.Images[i].To, &isi.Status.Images[i]
		if to != nil && !succeeded(status) {
			failed[to.Name] = status.Status
		}
	}
	return failed
}

func succeeded(status *imagev1.ImageImportStatus) bool {
	return status.Status.Status == metav1.StatusSuccess && status.Image != nil
}
