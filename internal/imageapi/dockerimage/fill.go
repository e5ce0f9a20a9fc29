package dockerimage

import (
	"errors"
	"fmt"
	"slices"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fill completes an Image that a client creates: it sets layers, sub-manifests, media type and
// metadata from the manifest and configuration text, unless they are set; then it drops manifest
// and configuration if a registry stores them. now becomes the creation time of manifest lists,
// which have none.
//
// The Image can be stored even if the error is not nil; it names the text that could not be parsed.
// The server logs it and continues, because old clients may post images with an irrelevant
// manifest text.
func Fill(img *imagev1.Image, now time.Time) error {
	dropManagedSignatureMark(img)
	var unread error
	if img.DockerImageManifest != "" {
		unread = fillFromText(img, now)
	}
	if img.Annotations[imagev1.ImageManifestBlobStoredAnnotation] == "true" {
		img.DockerImageManifest = ""
		img.DockerImageConfig = ""
	}
	if err := CanonicalMetadata(img); err != nil {
		return errors.Join(unread, err)
	}
	return unread
}

func dropManagedSignatureMark(img *imagev1.Image) {
	for i := range img.Signatures {
		delete(img.Signatures[i].Annotations, AnnotationManagedSignature)
	}
}

func fillFromText(img *imagev1.Image, now time.Time) error {
	orderLayers(img)
	manifest, err := parseManifest([]byte(img.DockerImageManifest))
	if err != nil {
		return fmt.Errorf("filling image %s: %w", img.Name, err)
	}
	// Use the type that the client declares, not that of the manifest: without one nothing is rebuilt.
	if IsList(img.DockerImageManifestMediaType) {
		img.DockerImageManifests = manifest.Manifests
	}
	if err := fillMetadata(img, manifest, now); err != nil {
		return fmt.Errorf("filling image %s: %w", img.Name, err)
	}
	return nil
}

// orderLayers puts the base first. It assumes that layers with a schema 2 or OCI manifest but
// without the order annotation are newest first, as clients sent them before the annotation
// existed.
func orderLayers(img *imagev1.Image) {
	if len(img.DockerImageLayers) == 0 {
		return
	}
	order, told := img.Annotations[imagev1.DockerImageLayersOrderAnnotation]
	switch {
	case told && order == imagev1.DockerImageLayersOrderDescending,
		!told && IsImageManifest(img.DockerImageManifestMediaType):
		slices.Reverse(img.DockerImageLayers)
	case !told && IsSchema1(img.DockerImageManifestMediaType):
	default:
		return
	}
	markAscending(img)
}

func markAscending(img *imagev1.Image) {
	metav1.SetMetaDataAnnotation(&img.ObjectMeta, imagev1.DockerImageLayersOrderAnnotation, imagev1.DockerImageLayersOrderAscending)
}

func fillMetadata(img *imagev1.Image, manifest *Manifest, now time.Time) error {
	metadata, err := Metadata(img)
	if err != nil {
		return err
	}
	if len(img.DockerImageLayers) > 0 && metadata.Size > 0 && img.DockerImageManifestMediaType != "" {
		return nil
	}
	if IsList(listType(img, manifest)) {
		metadata.ID = img.Name
		metadata.Created = metav1.NewTime(now)
		return SetMetadata(img, metadata)
	}
	if len(img.DockerImageLayers) == 0 {
		img.DockerImageLayers = manifest.Layers
		markAscending(img)
	}
	if manifest.SchemaVersion == 1 {
		return fillSchema1(img, manifest)
	}
	return fillSchema2(img, manifest)
}

// listType returns the type that determines whether an image is a list: the mediaType of the
// manifest or, since an OCI index need not have one, the type that the client declared.
func listType(img *imagev1.Image, manifest *Manifest) string {
	if manifest.MediaType != "" {
		return manifest.MediaType
	}
	return img.DockerImageManifestMediaType
}

func fillSchema1(img *imagev1.Image, manifest *Manifest) error {
	img.DockerImageManifestMediaType = MediaTypeSchema1
	metadata, err := metadataFromHistory(manifest, img.DockerImageLayers)
	if err != nil {
		return err
	}
	return SetMetadata(img, metadata)
}

func fillSchema2(img *imagev1.Image, manifest *Manifest) error {
	if manifest.MediaType != "" {
		img.DockerImageManifestMediaType = manifest.MediaType
	}
	if img.DockerImageManifestMediaType == "" {
		img.DockerImageManifestMediaType = MediaTypeSchema2
	}
	if img.DockerImageConfig == "" {
		return errors.New("dockerImageConfig is empty: a schema 2 manifest alone does not describe an image")
	}
	metadata, err := metadataFromConfig(manifest.ConfigDigest, []byte(img.DockerImageConfig), img.DockerImageLayers)
	if err != nil {
		return err
	}
	return SetMetadata(img, metadata)
}
