package dockerimage

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/manifest"
)

// Proven reports whether the text in an Image proves all of its fields: the digest of the manifest
// is the Image's name, the configuration has the digest that the manifest names, and Fill creates
// the same Image from these texts alone. Its reference names the digest, so that it refers to this
// content or to none. The Image has nothing else: no label, signature, owner or finalizer, and only
// the annotations of the registry and of the order of the layers.
//
// submitted is an Image before Fill, which may drop the text; now is that of Fill. Artifacts are
// never proven, because Fill would read their configuration as that of an image.
func Proven(submitted *imagev1.Image, now time.Time) bool {
	if !hasNothingElse(submitted) {
		return false
	}
	mediaType, ok := provenType(submitted)
	if !ok {
		return false
	}
	derived := &imagev1.Image{
		ObjectMeta:                   metav1.ObjectMeta{Name: submitted.Name},
		DockerImageManifest:          submitted.DockerImageManifest,
		DockerImageConfig:            submitted.DockerImageConfig,
		DockerImageManifestMediaType: mediaType,
	}
	filled := submitted.DeepCopy()
	if Fill(derived, now) != nil || Fill(filled, now) != nil {
		return false
	}
	return identical(filled, derived)
}

// identical reports whether two results of Fill are equal.
func identical(a, b *imagev1.Image) bool {
	return a.DockerImageManifestMediaType == b.DockerImageManifestMediaType &&
		a.DockerImageMetadataVersion == b.DockerImageMetadataVersion &&
		bytes.Equal(a.DockerImageMetadata.Raw, b.DockerImageMetadata.Raw) &&
		slices.Equal(a.DockerImageLayers, b.DockerImageLayers) &&
		slices.Equal(a.DockerImageManifests, b.DockerImageManifests) &&
		layersOrder(a) == layersOrder(b)
}

func layersOrder(img *imagev1.Image) string {
	return img.Annotations[imagev1.DockerImageLayersOrderAnnotation]
}

// hasNothingElse reports whether an Image has no fields that a manifest cannot prove.
func hasNothingElse(img *imagev1.Image) bool {
	if len(img.Labels)+len(img.Finalizers)+len(img.OwnerReferences)+len(img.Signatures)+len(img.DockerImageSignatures) > 0 {
		return false
	}
	for key, value := range img.Annotations {
		switch key {
		case imagev1.DockerImageLayersOrderAnnotation:
		case imagev1.ManagedByOpenShiftAnnotation, imagev1.ImageManifestBlobStoredAnnotation:
			if value != "true" {
				return false
			}
		default:
			return false
		}
	}
	return strings.HasSuffix(img.DockerImageReference, "@"+img.Name)
}

// provenType returns the media type of an Image's manifest text; ok is false if the texts do not
// match their digests, or can be parsed as more than one format.
func provenType(img *imagev1.Image) (mediaType string, ok bool) {
	text := []byte(img.DockerImageManifest)
	manifest, err := parseManifest(text)
	if err != nil {
		return "", false
	}
	mediaType = ownType(manifest)
	if IsList(mediaType) {
		isList := manifest.ConfigDigest == "" && len(manifest.Layers) == 0 && img.DockerImageConfig == ""
		return mediaType, isList && digest.FromBytes(text).String() == img.Name
	}
	if found, err := canonicalDigest(text, mediaType); err != nil || found.String() != img.Name {
		return "", false
	}
	if IsSchema1(mediaType) {
		return mediaType, img.DockerImageConfig == "" && signedAsRead(text, manifest)
	}
	return mediaType, provenConfig(img.DockerImageConfig, manifest)
}

// ownType returns the mediaType of a manifest. One without it is of an OCI type: the other formats
// of version 2 require it.
func ownType(manifest *Manifest) string {
	switch {
	case manifest.SchemaVersion == 1 && (manifest.MediaType == "" || IsSchema1(manifest.MediaType)):
		return MediaTypeSchema1
	case manifest.MediaType != "":
		return manifest.MediaType
	case len(manifest.Manifests) > 0:
		return MediaTypeOCIIndex
	}
	return MediaTypeOCIManifest
}

// signedAsRead reports whether a schema 1 document parses the same with its signatures as without.
// The digest covers it without them, and they could repeat and so override earlier keys.
func signedAsRead(text []byte, parsed *Manifest) bool {
	read, err := manifest.Read(text)
	if err != nil {
		return false
	}
	payload, err := read.SignedPayload(text)
	if err != nil {
		return false
	}
	signed, err := parseManifest(payload)
	return err == nil && reflect.DeepEqual(signed, parsed)
}

func provenConfig(config string, manifest *Manifest) bool {
	switch manifest.ConfigMediaType {
	case "", MediaTypeSchema2Config, MediaTypeOCIImageConfig:
	default:
		return false
	}
	want, err := digest.Parse(manifest.ConfigDigest)
	return err == nil && want.Algorithm().FromString(config) == want
}
