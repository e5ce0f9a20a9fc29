package dockerimage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/openshift/api/image/docker10"
	"github.com/openshift/api/image/dockerpre012"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Values of Image.dockerImageMetadataVersion: how dockerImageMetadata spells its keys.
const (
	MetadataVersion10     = "1.0"
	MetadataVersionPre012 = "pre012"
)

const metadataKind = "DockerImage"

// MetadataError means that dockerImageMetadata or its version is invalid.
type MetadataError struct {
	// Version is true if dockerImageMetadataVersion is invalid, not the document.
	Version bool
	Err     error
}

// Error names the invalid field.
func (e *MetadataError) Error() string {
	if e.Version {
		return fmt.Sprintf("dockerImageMetadataVersion: %v", e.Err)
	}
	return fmt.Sprintf("dockerImageMetadata: %v", e.Err)
}

// Unwrap returns the cause.
func (e *MetadataError) Unwrap() error { return e.Err }

// LacksMetadata reports whether an image would be encoded without dockerImageMetadata or without
// its version.
func LacksMetadata(img *imagev1.Image) bool {
	return img.DockerImageMetadataVersion == "" || rawMissing(img.DockerImageMetadata)
}

func rawMissing(raw runtime.RawExtension) bool {
	return raw.Object == nil && (len(raw.Raw) == 0 || bytes.Equal(raw.Raw, []byte("null")))
}

// FillEmptyMetadata sets the version and the minimal document (Id, Created, ContainerConfig) of an
// image without them. It keeps existing values, valid or not. An image of an unknown version gets
// no document.
func FillEmptyMetadata(img *imagev1.Image) {
	if img.DockerImageMetadataVersion == "" {
		img.DockerImageMetadataVersion = MetadataVersion10
	}
	if rawMissing(img.DockerImageMetadata) && knownVersion(img.DockerImageMetadataVersion) {
		// Marshalling an empty struct of these types cannot fail.
		_ = SetMetadata(img, docker10.DockerImage{})
	}
}

func knownVersion(version string) bool {
	return version == MetadataVersion10 || version == MetadataVersionPre012
}

// CanonicalMetadata rewrites the metadata of an image in the stored form: kind and apiVersion
// first, the keys of docker's API in their order, without unknown keys. A document without kind
// and apiVersion has the version of the image's dockerImageMetadataVersion ("" means 1.0); a
// missing one becomes the minimal document.
// Errors are of type *MetadataError and leave the image as it was.
func CanonicalMetadata(img *imagev1.Image) error {
	version := img.DockerImageMetadataVersion
	if version == "" {
		version = MetadataVersion10
	}
	if !knownVersion(version) {
		return &MetadataError{Version: true, Err: fmt.Errorf("%q is neither %q nor %q", version, MetadataVersion10, MetadataVersionPre012)}
	}
	metadata, err := parseMetadata(img.DockerImageMetadata, version)
	if err != nil {
		return &MetadataError{Err: err}
	}
	canonical := imagev1.Image{DockerImageMetadataVersion: version}
	if err := SetMetadata(&canonical, metadata); err != nil {
		return err
	}
	img.DockerImageMetadata, img.DockerImageMetadataVersion = canonical.DockerImageMetadata, version
	return nil
}

// Metadata parses dockerImageMetadata of an image. A missing document is an empty one. Errors are
// of type *MetadataError.
func Metadata(img *imagev1.Image) (docker10.DockerImage, error) {
	version := img.DockerImageMetadataVersion
	if version == "" {
		version = MetadataVersion10
	}
	metadata, err := parseMetadata(img.DockerImageMetadata, version)
	if err != nil {
		return docker10.DockerImage{}, &MetadataError{Err: err}
	}
	return metadata, nil
}

// SetMetadata writes metadata into an image, in the spelling of its dockerImageMetadataVersion
// ("" becomes 1.0). kind and apiVersion of metadata are set, whatever they were.
func SetMetadata(img *imagev1.Image, metadata docker10.DockerImage) error {
	if img.DockerImageMetadataVersion == "" {
		img.DockerImageMetadataVersion = MetadataVersion10
	}
	if !writableTime(metadata.Created.Time) {
		return &MetadataError{Err: fmt.Errorf("creation time %v has no RFC 3339 form", metadata.Created.Time)}
	}
	var document any
	switch img.DockerImageMetadataVersion {
	case MetadataVersion10:
		metadata.TypeMeta = typeMeta(docker10.GroupVersion)
		document = metadata
	case MetadataVersionPre012:
		document = toPre012(metadata)
	default:
		return &MetadataError{Version: true, Err: fmt.Errorf("cannot write version %q", img.DockerImageMetadataVersion)}
	}
	raw, err := json.Marshal(document)
	if err != nil {
		return &MetadataError{Err: fmt.Errorf("writing: %w", err)}
	}
	img.DockerImageMetadata = runtime.RawExtension{Raw: raw}
	return nil
}

func typeMeta(gv schema.GroupVersion) metav1.TypeMeta {
	return metav1.TypeMeta{Kind: metadataKind, APIVersion: gv.String()}
}

// parseMetadata parses a document; version is the version of one without apiVersion.
func parseMetadata(ext runtime.RawExtension, version string) (docker10.DockerImage, error) {
	var out docker10.DockerImage
	if rawMissing(ext) {
		return out, nil
	}
	raw := ext.Raw
	if len(raw) == 0 {
		var err error
		if raw, err = json.Marshal(ext.Object); err != nil {
			return out, fmt.Errorf("reading: %w", err)
		}
	}
	found, err := documentVersion(raw, version)
	if err != nil {
		return out, err
	}
	if found == MetadataVersionPre012 {
		var old dockerpre012.DockerImage
		if err := utiljson.Unmarshal(raw, &old); err != nil {
			return out, fmt.Errorf("reading: %w", err)
		}
		return fromPre012(old), nil
	}
	if err := utiljson.Unmarshal(raw, &out); err != nil {
		return docker10.DockerImage{}, fmt.Errorf("reading: %w", err)
	}
	return out, nil
}

// documentVersion returns the version of a document. Clients of the group's predecessor write
// apiVersion without a group.
func documentVersion(raw []byte, fallback string) (string, error) {
	var meta metav1.TypeMeta
	if err := utiljson.Unmarshal(raw, &meta); err != nil {
		return "", fmt.Errorf("reading: %w", err)
	}
	if meta.Kind != "" && meta.Kind != metadataKind {
		return "", fmt.Errorf("kind is %q, not %q", meta.Kind, metadataKind)
	}
	for version, gvs := range map[string][]schema.GroupVersion{
		MetadataVersion10:     {docker10.GroupVersion, docker10.LegacySchemeGroupVersion},
		MetadataVersionPre012: {dockerpre012.GroupVersion, dockerpre012.LegacySchemeGroupVersion},
	} {
		if slices.ContainsFunc(gvs, func(gv schema.GroupVersion) bool { return gv.String() == meta.APIVersion }) {
			return version, nil
		}
	}
	if meta.APIVersion != "" {
		return "", fmt.Errorf("apiVersion is %q, not %q or %q", meta.APIVersion, docker10.GroupVersion, dockerpre012.GroupVersion)
	}
	return fallback, nil
}
