package dockerimage

import (
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PrepareUpdate prepares updated to replace old. It silently reverts changes of the content.
// Manifest and configuration text may be dropped, or added again if they match the digest of the
// image. References, media type, sub-manifests, signatures, labels and annotations can change. Then
// it fills the image as on creation; the error is that of Fill. The mark of a claim stays after
// any update, until the content is verified, see Correct.
func PrepareUpdate(updated, old *imagev1.Image, now time.Time) error {
	keepContent(updated, old)
	keepClaim(updated, old)
	if !manifestMayBecome(updated, old) {
		updated.DockerImageManifest = old.DockerImageManifest
	}
	if !configMayBecome(updated, old) {
		updated.DockerImageConfig = old.DockerImageConfig
	}
	// A list keeps its creation time: otherwise every update would be a change.
	if metadata, err := Metadata(old); err == nil && !metadata.Created.IsZero() {
		now = metadata.Created.Time
	}
	return Fill(updated, now)
}

// keepContent restores immutable fields. The order annotation belongs to the layers: without it
// Fill would reverse the restored layers.
func keepContent(updated, old *imagev1.Image) {
	updated.DockerImageMetadata = *old.DockerImageMetadata.DeepCopy()
	updated.DockerImageMetadataVersion = old.DockerImageMetadataVersion
	updated.DockerImageLayers = append([]imagev1.ImageLayer(nil), old.DockerImageLayers...)
	if len(old.DockerImageSignatures) > 0 {
		updated.DockerImageSignatures = old.DockerImageSignatures
	}
	if order, told := old.Annotations[imagev1.DockerImageLayersOrderAnnotation]; told && len(old.DockerImageLayers) > 0 {
		metav1.SetMetaDataAnnotation(&updated.ObjectMeta, imagev1.DockerImageLayersOrderAnnotation, order)
	}
}

// manifestMayBecome compares with the name, not with the old manifest: a misnamed image can lose
// its manifest but never get one again.
func manifestMayBecome(updated, old *imagev1.Image) bool {
	if updated.DockerImageManifest == old.DockerImageManifest || updated.DockerImageManifest == "" {
		return true
	}
	found, err := canonicalDigest([]byte(updated.DockerImageManifest), old.DockerImageManifestMediaType)
	return err == nil && found.String() == old.Name
}

// configMayBecome compares with the digest in the manifest that the image is going to have.
func configMayBecome(updated, old *imagev1.Image) bool {
	if updated.DockerImageConfig == old.DockerImageConfig || updated.DockerImageConfig == "" {
		return true
	}
	manifest, err := parseManifest([]byte(updated.DockerImageManifest))
	if err != nil || manifest.SchemaVersion == 1 || manifest.ConfigDigest == "" {
		return false
	}
	return digest.FromString(updated.DockerImageConfig).String() == manifest.ConfigDigest
}
