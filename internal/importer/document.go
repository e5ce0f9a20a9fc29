package importer

import (
	"encoding/json"
	"mime"
	"regexp"
	"strings"

	digest "github.com/opencontainers/go-digest"
	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
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
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
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

// maxJSONDepth bounds the nesting of manifests and configs. Real ones need about six levels.
const maxJSONDepth = 64

// envelope has the fields of all formats: what it is must be known before it is believed. Those
// that tell formats apart are pointers, to see whether they are there.
type envelope struct {
	SchemaVersion int              `json:"schemaVersion"`
	MediaType     string           `json:"mediaType"`
	Config        *descriptor      `json:"config"`
	Layers        *[]descriptor    `json:"layers"`
	Manifests     *[]manifestEntry `json:"manifests"`
	FSLayers      *[]struct{}      `json:"fsLayers"`
}

// manifestEntry is an entry of a list as it is written.
type manifestEntry struct {
	descriptor
	Platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Variant      string `json:"variant"`
	} `json:"platform"`
	Annotations map[string]string `json:"annotations"`
}

// parseDocument reads a manifest of any supported format. contentType is what the registry said it
// is, "" or a generic type when it did not. A manifest that can be read as two things is refused:
// whoever verified it as one must not run it as the other.
func parseDocument(contentType string, body []byte) (document, error) {
	if err := checkDepth(body); err != nil {
		return document{}, contentErrorf("the manifest is malformed: %v", err)
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return document{}, contentErrorf("the manifest is malformed: %v", err)
	}
	mediaType, err := documentType(normalizeType(contentType), e)
	if err != nil {
		return document{}, err
	}
	if err := e.check(mediaType); err != nil {
		return document{}, err
	}
	switch {
	case dockerimage.IsList(mediaType):
		return parseList(mediaType, e)
	case dockerimage.IsSchema1(mediaType):
		return parseSchema1(body)
	}
	return parseImage(mediaType, e)
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
func documentType(header string, e envelope) (string, error) {
	own := normalizeType(e.MediaType)
	if header != "" && own != "" && header != own {
		return "", contentErrorf("the registry calls the manifest %q, the manifest calls itself %q", header, own)
	}
	mediaType := header
	if mediaType == "" {
		mediaType = own
	}
	if mediaType == "" {
		mediaType = e.shape()
	}
	if mediaType == "" {
		return "", contentErrorf("unsupported image manifest: neither the registry nor the manifest says what it is")
	}
	if !dockerimage.IsList(mediaType) && !isSingle(mediaType) {
		return "", contentErrorf("unsupported image manifest type %q", mediaType)
	}
	return mediaType, nil
}

func (e envelope) shape() string {
	switch {
	case e.SchemaVersion == 1:
		return dockerimage.MediaTypeSchema1
	case e.SchemaVersion == 2 && e.Manifests != nil:
		return dockerimage.MediaTypeOCIIndex
	case e.SchemaVersion == 2 && e.Config != nil:
		return dockerimage.MediaTypeOCIManifest
	}
	return ""
}

// check refuses documents whose content is not of the type they claim, or of two types at once.
func (e envelope) check(mediaType string) error {
	version := 2
	if mediaType == dockerimage.MediaTypeSchema1 {
		version = 1
	}
	if e.SchemaVersion != version {
		return contentErrorf("the manifest of type %q has schemaVersion %d", mediaType, e.SchemaVersion)
	}
	isImage := e.Config != nil || e.Layers != nil
	ambiguous := e.Manifests != nil && (isImage || e.FSLayers != nil) || isImage && e.FSLayers != nil
	if ambiguous {
		return contentErrorf("the manifest is ambiguous: it has the parts of more than one format")
	}
	if dockerimage.IsList(mediaType) && (isImage || e.FSLayers != nil) || !dockerimage.IsList(mediaType) && e.Manifests != nil {
		return contentErrorf("the manifest of type %q has the content of another format", mediaType)
	}
	return nil
}

func parseList(mediaType string, e envelope) (document, error) {
	doc := document{kind: kindList, mediaType: mediaType}
	if e.Manifests == nil {
		return doc, nil
	}
	doc.entries = make([]listEntry, 0, len(*e.Manifests))
	for i, m := range *e.Manifests {
		if err := m.descriptor.check(); err != nil {
			return document{}, contentErrorf("the manifest list is malformed: manifests[%d]: %v", i, err)
		}
		entry := listEntry{
			descriptor:  m.descriptor,
			Platform:    Platform{m.Platform.Architecture, m.Platform.OS},
			Variant:     m.Platform.Variant,
			annotations: m.Annotations,
		}
		entry.MediaType = normalizeType(m.MediaType)
		doc.entries = append(doc.entries, entry)
	}
	return doc, nil
}

func parseImage(mediaType string, e envelope) (document, error) {
	if e.Config == nil {
		return document{}, contentErrorf("the manifest is malformed: it has no config")
	}
	if err := e.Config.check(); err != nil {
		return document{}, contentErrorf("the manifest is malformed: config: %v", err)
	}
	doc := document{kind: kindImage, mediaType: mediaType, config: *e.Config}
	if e.Layers == nil {
		return doc, nil
	}
	for i, l := range *e.Layers {
		if err := l.check(); err != nil {
			return document{}, contentErrorf("the manifest is malformed: layers[%d]: %v", i, err)
		}
		doc.layers = append(doc.layers, imagev1.ImageLayer{Name: l.Digest.String(), LayerSize: l.Size, MediaType: l.MediaType})
	}
	return doc, nil
}

func (d descriptor) check() error {
	if !reference.ValidDigest(string(d.Digest)) {
		return contentErrorf("%q is no digest", foreignText(string(d.Digest)))
	}
	if d.Size < 0 {
		return contentErrorf("size %d is negative", d.Size)
	}
	return nil
}

// mediaTypeGrammar is what RFC 6838 allows as type/subtype.
var mediaTypeGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// checkDepth refuses JSON that is nested beyond bearing, before anything recursive reads it.
func checkDepth(body []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxJSONDepth {
				return contentErrorf("nested more than %d levels deep", maxJSONDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
