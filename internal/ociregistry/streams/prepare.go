package streams

import (
	"fmt"
	"regexp"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/manifest"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// unknownPart is how build tools fill the platform of what runs nowhere.
const unknownPart = "unknown"

// mediaTypeGrammar is the syntax of media types in the API (RFC 6838, section 4.2).
var mediaTypeGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// imageOf returns the Image of a pushed manifest, the one that the API server would store had
// it been sent the manifest's text, and without that text: the registry keeps manifests,
// which may be larger than what the API takes. Where the text alone would make an Image
// that the API refuses or that leads to less than the manifest does, it has more.
//
// host is the registry's own, now the creation time of lists, which have none. The error
// is an *ociregistry.Error with CodeManifestInvalid or CodeNameInvalid.
func imageOf(p ociregistry.Push, host string, now time.Time) (*imagev1.Image, error) {
	invalid := func(format string, args ...any) error {
		return ociregistry.NewError(ociregistry.CodeManifestInvalid, "manifest %s: %s", p.Digest, fmt.Sprintf(format, args...))
	}
	m, err := manifest.Read(p.Manifest)
	if err != nil {
		return nil, invalid("it is malformed: %v", err)
	}
	img := &imagev1.Image{
		ObjectMeta: metav1.ObjectMeta{
			Name:        p.Digest.String(),
			Annotations: annotationsOf(p.MediaType, m),
		},
		DockerImageReference:         reference.PullSpec{Registry: host, Namespace: p.Repository.Namespace, Name: p.Repository.Stream, ID: p.Digest.String()}.String(),
		DockerImageManifestMediaType: p.MediaType,
	}
	if _, err := reference.Parse(img.DockerImageReference); err != nil {
		// With the registry's host in front, a name may be longer than the API takes.
		return nil, ociregistry.NewError(ociregistry.CodeNameInvalid, "recording an image of %s: %v", p.Repository, err)
	}
	if err := describe(img, p, m, now); err != nil {
		return nil, invalid("it is malformed: %v", err)
	}
	if err := completeList(img); err != nil {
		return nil, invalid("%v", err)
	}
	// As JSON such an Image stays below the 3 MiB that the API takes.
	if size := img.Size(); size > imageapi.MaxImageBytes {
		return nil, invalid("its record (layers, configuration, manifests) would take %d bytes, more than %d", size, imageapi.MaxImageBytes)
	}
	return img, nil
}

func annotationsOf(mediaType string, m *manifest.Manifest) map[string]string {
	order := imagev1.DockerImageLayersOrderAscending
	if dockerimage.IsList(mediaType) {
		order = "" // a list has no layers; clients of the contract see it so
	}
	annotations := map[string]string{
		imageapi.AnnotationManaged:            "true",
		imageapi.AnnotationManifestBlobStored: "true",
		imageapi.AnnotationLayersOrder:        order,
	}
	if m.Subject != nil && reference.ValidDigest(m.Subject.Digest.String()) {
		annotations[annotationSubject] = m.Subject.Digest.String()
	}
	if kind := artifactType(mediaType, m); mediaTypeGrammar.MatchString(kind) {
		annotations[annotationArtifactType] = kind
	}
	return annotations
}

// artifactType returns the type of an artifact or, for those of older tools, of its configuration;
// "" for a container image.
func artifactType(mediaType string, m *manifest.Manifest) string {
	if m.ArtifactType != "" {
		return m.ArtifactType
	}
	if dockerimage.IsImageManifest(mediaType) && !dockerimage.IsImageConfig(configOf(m).MediaType) {
		return configOf(m).MediaType
	}
	return ""
}

// configOf is the descriptor of a manifest's configuration, an empty one where it has none.
func configOf(m *manifest.Manifest) manifest.Descriptor {
	if m.Config == nil {
		return manifest.Descriptor{}
	}
	return *m.Config
}

// describe fills in layers, sub-manifests and metadata.
func describe(img *imagev1.Image, p ociregistry.Push, m *manifest.Manifest, now time.Time) error {
	parsed, err := dockerimage.FromManifest(m)
	if err != nil {
		return err
	}
	img.DockerImageManifest = string(p.Manifest)
	if dockerimage.IsImageConfig(configOf(m).MediaType) {
		img.DockerImageConfig = string(p.Config)
	}
	unread := dockerimage.Fill(img, now)
	if !dockerimage.IsImageManifest(p.MediaType) {
		return unread
	}
	if unread == nil && dockerimage.MetadataID(img) != "" {
		return nil
	}
	return dockerimage.SetMetadata(img, dockerimage.Describe(configOf(m), p.Config, parsed.Layers))
}

// completeList adds the fields that the API requires of each manifest of a list. Lists within
// lists and artifacts need not name a platform; they get the one that build tools write
// for what runs nowhere, for only what the Image lists can be read through the stream.
func completeList(img *imagev1.Image) error {
	for i := range img.DockerImageManifests {
		entry := &img.DockerImageManifests[i]
		if _, err := digest.Parse(entry.Digest); err != nil {
			return fmt.Errorf("manifests[%d]: %q is not a digest: %w", i, cut(entry.Digest), err)
		}
		if !mediaTypeGrammar.MatchString(entry.MediaType) {
			return fmt.Errorf("manifests[%d]: %q is not a media type", i, cut(entry.MediaType))
		}
		if entry.Architecture == "" {
			entry.Architecture = unknownPart
		}
		if entry.OS == "" {
			entry.OS = unknownPart
		}
	}
	return nil
}

// cut shortens foreign text for a message.
func cut(text string) string {
	const most = 100
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
