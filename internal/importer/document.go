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

// documentKind is what a manifest is to the importer.
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

// descriptor points at a blob. Digest is valid and Size not negative once parsed.
type descriptor struct {
	MediaType string
	Digest    digest.Digest
	Size      int64
}

// foreign is the descriptor as it stands in a manifest.
func (d descriptor) foreign() manifest.Descriptor {
	return manifest.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// listEntry is what a list says of one of its manifests.
type listEntry struct {
	descriptor
	Platform    Platform
	Variant     string
	annotations map[string]string
}

// attestation tells entries that run nowhere: build tools mark them with an unknown platform, an
// annotation, or both.
func (e listEntry) attestation() bool {
	return e.Platform == Platform{Architecture: unknownPart, OS: unknownPart} ||
		e.annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

func (e listEntry) isList() bool { return dockerimage.IsList(e.MediaType) }

// isSingle tells media types of manifests that are one image each.
func isSingle(mediaType string) bool {
	return dockerimage.IsImageManifest(mediaType) || dockerimage.IsSchema1(mediaType)
}

// parseDocument reads a manifest of any supported format. contentType is what the registry said it
// is, "" or a generic type when it did not. A manifest that can be read as two things is refused: one
// that was verified as one of them must not be run as the other.
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

// normalizeType drops parameters, and types that say nothing.
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

// documentType settles what a manifest is: by its header, its own word, or its shape.
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

// shapeOf is the media type that the keys of a manifest stand for, "" for none.
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

// checkType refuses manifests whose content is not of the type they claim.
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

// checked is a descriptor whose digest is valid and whose size is not negative.
func checked(d manifest.Descriptor) (descriptor, error) {
	if !reference.ValidDigest(d.Digest.String()) {
		return descriptor{}, contentErrorf("%q is no digest", foreignText(d.Digest.String()))
	}
	if d.Size < 0 {
		return descriptor{}, contentErrorf("size %d is negative", d.Size)
	}
	return descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
}

// mediaTypeGrammar is what RFC 6838 allows as type/subtype.
var mediaTypeGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)
