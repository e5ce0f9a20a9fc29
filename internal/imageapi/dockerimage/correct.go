package dockerimage

import (
	"bytes"
	"slices"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unknownPart is the platform of a list's entry that names none.
const unknownPart = "unknown"

// DescribesContent reports whether an Image has layers, manifests or metadata. Clients may send an
// Image with only a name and a reference.
func DescribesContent(img *imagev1.Image) bool {
	return img.DockerImageManifestMediaType != "" && MetadataID(img) != ""
}

// NeedsCorrection reports whether a stored Image is a claim, or differs from a verified one in
// content that the digest covers. Both must have been filled.
func NeedsCorrection(stored, verified *imagev1.Image) bool {
	return ClaimedBy(stored) != "" || !sameContent(stored, verified)
}

// Correct replaces the content of a stored Image by that of verified, if it NeedsCorrection. Of a
// claim it keeps only the object's identity and the signatures, which have separate rights. Of
// another Image it keeps everything that the digest does not cover: reference, labels,
// annotations. Manifest and configuration text become those of verified, which may have none.
func Correct(stored, verified *imagev1.Image) {
	if !NeedsCorrection(stored, verified) {
		return
	}
	from := verified.DeepCopy()
	if ClaimedBy(stored) != "" {
		stored.Labels, stored.Annotations = from.Labels, from.Annotations
		stored.Finalizers, stored.OwnerReferences = from.Finalizers, from.OwnerReferences
		stored.DockerImageReference = from.DockerImageReference
		stored.DockerImageSignatures = from.DockerImageSignatures
		Unclaim(stored)
	}
	if order := layersOrder(from); order != "" {
		metav1.SetMetaDataAnnotation(&stored.ObjectMeta, imagev1.DockerImageLayersOrderAnnotation, order)
	}
	stored.DockerImageMetadata, stored.DockerImageMetadataVersion = from.DockerImageMetadata, from.DockerImageMetadataVersion
	stored.DockerImageManifest, stored.DockerImageConfig = from.DockerImageManifest, from.DockerImageConfig
	stored.DockerImageManifestMediaType = from.DockerImageManifestMediaType
	stored.DockerImageLayers, stored.DockerImageManifests = from.DockerImageLayers, from.DockerImageManifests
}

// sameContent compares what the digest covers. Two verifications of the same bytes may differ in
// what is not in them, and must not correct each other for ever. That is which of the two types a
// manifest without a mediaType was served as, the platform of an entry that names none, the
// creation time of a list, the sizes of schema 1.
func sameContent(a, b *imagev1.Image) bool {
	if formatOf(a) != formatOf(b) || len(a.DockerImageLayers) > 0 && layersOrder(a) != layersOrder(b) {
		return false
	}
	schema1 := IsSchema1(a.DockerImageManifestMediaType)
	sameLayer := func(x, y imagev1.ImageLayer) bool {
		return x.Name == y.Name && x.MediaType == y.MediaType && (schema1 || x.LayerSize == y.LayerSize)
	}
	return slices.EqualFunc(a.DockerImageLayers, b.DockerImageLayers, sameLayer) &&
		slices.EqualFunc(a.DockerImageManifests, b.DockerImageManifests, sameEntry) &&
		sameMetadata(a, b)
}

// formatOf is the media type, one for each two that differ in nothing but their name.
func formatOf(img *imagev1.Image) string {
	switch mediaType := img.DockerImageManifestMediaType; {
	case IsImageManifest(mediaType):
		return MediaTypeOCIManifest
	case IsList(mediaType):
		return MediaTypeOCIIndex
	case IsSchema1(mediaType):
		return MediaTypeSchema1
	default:
		return mediaType
	}
}

func sameEntry(a, b imagev1.ImageManifest) bool {
	return a.Digest == b.Digest && a.MediaType == b.MediaType && a.ManifestSize == b.ManifestSize && a.Variant == b.Variant &&
		samePart(a.Architecture, b.Architecture) && samePart(a.OS, b.OS)
}

func samePart(a, b string) bool { return a == b || a == unknownPart || b == unknownPart }

func sameMetadata(a, b *imagev1.Image) bool {
	if bytes.Equal(a.DockerImageMetadata.Raw, b.DockerImageMetadata.Raw) && a.DockerImageMetadataVersion == b.DockerImageMetadataVersion {
		return true
	}
	x, err := Metadata(a)
	if err != nil {
		return false
	}
	y, err := Metadata(b)
	if err != nil {
		return false
	}
	x.TypeMeta = y.TypeMeta
	switch formatOf(a) {
	case MediaTypeOCIIndex:
		x.Created = y.Created
	case MediaTypeSchema1:
		x.Size = y.Size
	}
	return equality.Semantic.DeepEqual(x, y)
}
