package dockerimage

import (
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationClaimedBy marks an Image whose content was never verified. Its value is the
// "namespace/stream" whose client described it. Only the server writes it.
const AnnotationClaimedBy = "weir.dev/claimed-by"

// ClaimedBy returns the "namespace/stream" whose client described an Image, "" for an Image that
// is not a claim.
func ClaimedBy(img *imagev1.Image) string { return img.Annotations[AnnotationClaimedBy] }

// IsClaimOf reports whether an Image is a claim of that stream.
func IsClaimOf(img *imagev1.Image, namespace, stream string) bool {
	return ClaimedBy(img) == claimant(namespace, stream)
}

func claimant(namespace, stream string) string { return namespace + "/" + stream }

// Claim makes an Image a claim of a stream. It removes finalizers and owners: they control the
// lifetime of an object that all streams share, to which the client has no right.
func Claim(img *imagev1.Image, namespace, stream string) {
	img.Finalizers, img.OwnerReferences = nil, nil
	metav1.SetMetaDataAnnotation(&img.ObjectMeta, AnnotationClaimedBy, claimant(namespace, stream))
}

// Unclaim removes the mark of a claim, whatever its value.
func Unclaim(img *imagev1.Image) { delete(img.Annotations, AnnotationClaimedBy) }

// keepClaim copies the mark of old, or its absence, to updated.
func keepClaim(updated, old *imagev1.Image) {
	Unclaim(updated)
	if by := ClaimedBy(old); by != "" {
		metav1.SetMetaDataAnnotation(&updated.ObjectMeta, AnnotationClaimedBy, by)
	}
}
