package importer

import (
	"cmp"
	"errors"
	"mime"
	"regexp"
	"strings"

	digest "github.com/opencontainers/go-digest"
	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/manifest"
	"weir.dev/weir/internal/reference"
)

// documentKind is the kind of a manifest.
type documentKind int

const (
	kindImage   documentKind = iota // docker schema 2 or OCI manifest, artifacts included
	kindList                        // docker manifest list or OCI index
	kindSchema1                     // docker schema 1
)

// document is a parsed manifest. Which fields are set depends on the kind.
type document struct {
	kind      documentKind
	mediaType string
	entries   []listEntry          // kindList
	config    descriptor           // kindImage
	layers    []imagev1.ImageLayer // kindImage and kindSchema1, base first
	metadata  docker10.DockerImage // kindSchema1
}

// descriptor refers to a blob. Digest is valid and Size not negative once parsed.
type descriptor struct {
	MediaType string
	Digest    digest.Digest
	Size      int64
}

// foreign returns the descriptor as in a manifest.
func (d descriptor) foreign() manifest.Descriptor {
	return manifest.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// listEntry is an entry of a manifest list.
type listEntry struct {
	descriptor
	Platform    Platform
	Variant     string
	annotations map[string]string
}

// attestation reports whether an entry is an attestation: build tools mark them with an unknown
// platform, an annotation, or both.
func (e listEntry) attestation() bool {
	return e.Platform == Platform{Architecture: unknownPart, OS: unknownPart} ||
		e.annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

func (e listEntry) isList() bool { return dockerimage.IsList(e.MediaType) }

// isSingle reports whether a media type is that of a single image.
func isSingle(mediaType string) bool {
	return dockerimage.IsImageManifest(mediaType) || dockerimage.IsSchema1(mediaType)
}

// parseDocument parses a manifest of any supported format. contentType is the registry's header, ""
// or a generic type without one. It rejects a manifest that can be parsed as two formats: one that
// was verified as one of them must not run as the other.
func parseDocument(contentType string, body []byte) (document, error) {
	m, err := manifest.Read(body)
	if invalid := (*manifest.InvalidError)(nil); errors.As(err, &invalid) {
		return document{}, contentErrorf("the manifest is malformed: %s", strings.Join(invalid.Causes, "; "))
	}
	if err != nil {
		return document{}, err
	}
	mediaType, err := documentType(normalizeType(contentType), m)
	if err != nil {
		return document{}, err
	}
	if err := checkType(mediaType, m); err != nil {
		return document{}, err
	}
	switch {
	case dockerimage.IsList(mediaType):
		return parseList(mediaType, m)
	case dockerimage.IsSchema1(mediaType):
		return parseSchema1(m)
	}
	return parseImage(mediaType, m)
}

// normalizeType drops parameters and generic types.
func normalizeType(contentType string) string {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		mediaType = strings.ToLower(strings.TrimSpace(contentType))
	}
	switch mediaType {
	case "application/json", "text/plain", "text/json", "application/octet-stream", "binary/octet-stream":
		return ""
	case dockerimage.MediaTypeSchema1Signed:
		return dockerimage.MediaTypeSchema1
	}
	return mediaType
}

// documentType returns the type of a manifest: by the header, its mediaType, or its keys.
func documentType(header string, m *manifest.Manifest) (string, error) {
	own := normalizeType(m.MediaType)
	if header != "" && own != "" && header != own {
		return "", contentErrorf("the registry calls the manifest %q, the manifest calls itself %q", header, own)
	}
	mediaType := cmp.Or(header, own, shapeOf(m))
	if mediaType == "" {
		return "", contentErrorf("unsupported image manifest: neither the registry nor the manifest says what it is")
	}
	if !dockerimage.IsList(mediaType) && !isSingle(mediaType) {
		return "", contentErrorf("unsupported image manifest type %q", mediaType)
	}
	return mediaType, nil
}

// shapeOf returns the media type that the keys of a manifest imply, "" for none.
func shapeOf(m *manifest.Manifest) string {
	switch {
	case m.SchemaVersion == 1:
		return dockerimage.MediaTypeSchema1
	case m.SchemaVersion == 2 && m.Format == manifest.FormatList:
		return dockerimage.MediaTypeOCIIndex
	case m.SchemaVersion == 2 && m.Config != nil:
		return dockerimage.MediaTypeOCIManifest
	}
	return ""
}

// checkType rejects manifests whose content does not match their declared type.
func checkType(mediaType string, m *manifest.Manifest) error {
	version := 2
	if mediaType == dockerimage.MediaTypeSchema1 {
		version = 1
	}
	if m.SchemaVersion != version {
		return contentErrorf("the manifest of type %q has schemaVersion %d", mediaType, m.SchemaVersion)
	}
	if m.Format != manifest.FormatUnknown && m.Format != manifest.FormatOf(mediaType) {
		return contentErrorf("the manifest of type %q has the content of another format", mediaType)
	}
	return nil
}

func parseList(mediaType string, m *manifest.Manifest) (document, error) {
	doc := document{kind: kindList, mediaType: mediaType}
	for i, entry := range m.Manifests {
		d, err := checked(entry)
		if err != nil {
			return document{}, contentErrorf("the manifest list is malformed: manifests[%d]: %v", i, err)
		}
		d.MediaType = normalizeType(d.MediaType)
		doc.entries = append(doc.entries, listEntry{
			descriptor:  d,
			Platform:    Platform{entry.Platform.Architecture, entry.Platform.OS},
			Variant:     entry.Platform.Variant,
			annotations: entry.Annotations,
		})
	}
	return doc, nil
}

func parseImage(mediaType string, m *manifest.Manifest) (document, error) {
	if m.Config == nil {
		return document{}, contentErrorf("the manifest is malformed: it has no config")
	}
	config, err := checked(*m.Config)
	if err != nil {
		return document{}, contentErrorf("the manifest is malformed: config: %v", err)
	}
	doc := document{kind: kindImage, mediaType: mediaType, config: config}
	for i, layer := range m.Layers {
		l, err := checked(layer)
		if err != nil {
			return document{}, contentErrorf("the manifest is malformed: layers[%d]: %v", i, err)
		}
		doc.layers = append(doc.layers, imagev1.ImageLayer{Name: l.Digest.String(), LayerSize: l.Size, MediaType: l.MediaType})
	}
	return doc, nil
}

// checked returns a descriptor after checking its digest and size.
func checked(d manifest.Descriptor) (descriptor, error) {
	if !reference.ValidDigest(d.Digest.String()) {
		return descriptor{}, contentErrorf("%q is no digest", foreignText(d.Digest.String()))
	}
	if d.Size < 0 {
		return descriptor{}, contentErrorf("size %d is negative", d.Size)
	}
	return descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
}

// mediaTypeGrammar matches the type/subtype of RFC 6838.
var mediaTypeGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)
