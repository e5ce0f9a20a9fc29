package manifest

import ocispec "github.com/opencontainers/image-spec/specs-go/v1"

// Media types of manifests and of what they point at, as registries declare them. Those of OCI
// are in ocispec.
const (
	MediaTypeSchema1        = "application/vnd.docker.distribution.manifest.v1+json"
	MediaTypeSchema1Signed  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	MediaTypeSchema2        = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeManifestList   = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeOCIManifest    = ocispec.MediaTypeImageManifest
	MediaTypeOCIIndex       = ocispec.MediaTypeImageIndex
	MediaTypeSchema1Layer   = "application/vnd.docker.container.image.rootfs.diff+x-gtar"
	MediaTypeSchema2Config  = "application/vnd.docker.container.image.v1+json"
	MediaTypeOCIImageConfig = ocispec.MediaTypeImageConfig
)

// Format is a way to write a manifest. Formats differ in the keys that name the parts.
type Format string

const (
	// FormatUnknown is the format of a document without parts, and of other media types.
	FormatUnknown Format = ""
	// FormatSchema1 has fsLayers: Docker schema 1, signed or not.
	FormatSchema1 Format = "schema 1"
	// FormatImage has config and layers: Docker schema 2 and OCI manifest.
	FormatImage Format = "image"
	// FormatList has manifests: Docker manifest list and OCI index.
	FormatList Format = "list"
	// FormatArtifact has blobs: the artifact manifest that candidates for version 1.1 of the OCI
	// image specification had. Registries still serve some.
	FormatArtifact Format = "artifact"
)

// FormatOf returns the format of a media type, FormatUnknown for types of other content.
func FormatOf(mediaType string) Format {
	switch mediaType {
	case MediaTypeSchema1, MediaTypeSchema1Signed:
		return FormatSchema1
	case MediaTypeSchema2, MediaTypeOCIManifest:
		return FormatImage
	case MediaTypeManifestList, MediaTypeOCIIndex:
		return FormatList
	}
	return FormatUnknown
}

// IsSchema1 reports whether a media type is one of the two of Docker schema 1.
func IsSchema1(mediaType string) bool { return FormatOf(mediaType) == FormatSchema1 }

// IsImageManifest reports whether a media type is that of a manifest with a configuration blob:
// Docker schema 2 or OCI manifest.
func IsImageManifest(mediaType string) bool { return FormatOf(mediaType) == FormatImage }

// IsList reports whether a media type is that of a Docker manifest list or OCI index.
func IsList(mediaType string) bool { return FormatOf(mediaType) == FormatList }
