package dockerimage

import (
	"errors"
	"fmt"
	"slices"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fill completes an Image that a client creates: what its manifest and configuration text say
// goes into layers, sub-manifests, media type and metadata, unless that is set; manifest and
// configuration are then dropped if a registry keeps them. now becomes the creation time of
// manifest lists, which carry none.
//
// The Image is fit to be stored even when the error is not nil: it says which text could not be
// read. The server logs it and goes on, because clients of old may post images whose manifest
// text is beside the point.
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
	manifest, err := ParseManifest([]byte(img.DockerImageManifest))
	if err != nil {
		return fmt.Errorf("filling image %s: %w", img.Name, err)
	}
	// Going by the type the client declares, not the manifest: without one nothing is rebuilt.
	if IsList(img.DockerImageManifestMediaType) {
		img.DockerImageManifests = manifest.Manifests
	}
	if err := fillMetadata(img, manifest, now); err != nil {
		return fmt.Errorf("filling image %s: %w", img.Name, err)
	}
	return nil
}

// orderLayers puts the base first. Layers that come with a schema 2 or OCI manifest but without
// a word about their order are taken to be newest first: that is how clients sent them before
// the annotation existed.
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

// listType is the type that decides whether an image is a list: the one inside the manifest or,
// since an OCI index need not have one, the one its client declared.
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
	metadata, err := MetadataFromConfig(manifest.ConfigDigest, []byte(img.DockerImageConfig), img.DockerImageLayers)
	if err != nil {
		return err
	}
	return SetMetadata(img, metadata)
}
