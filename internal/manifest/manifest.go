package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/foreignjson"
)

// Manifest is the content of a manifest of any format, as it is written: neither digests nor
// sizes are verified. The json tags are all the keys that are known. Fields without the tag
// "required" describe the content and lead to none of it: one of another type counts as absent.
type Manifest struct {
	SchemaVersion int    `json:"schemaVersion" foreign:"required"`
	MediaType     string `json:"mediaType" foreign:"required"`
	ArtifactType  string `json:"artifactType"`
	// Config and Layers are the parts of FormatImage. Config is nil where it is missing or null.
	Config *Descriptor  `json:"config" foreign:"required"`
	Layers []Descriptor `json:"layers" foreign:"required"`
	// Manifests are the parts of FormatList.
	Manifests []Descriptor `json:"manifests" foreign:"required"`
	// Blobs are the parts of FormatArtifact.
	Blobs []Descriptor `json:"blobs" foreign:"required"`
	// FSLayers are the parts of FormatSchema1, newest first, and History has the configuration of
	// each at the same position.
	FSLayers   []FSLayer   `json:"fsLayers" foreign:"required"`
	History    []History   `json:"history" foreign:"required"`
	Signatures []Signature `json:"signatures" foreign:"required"`

	Subject     *Descriptor       `json:"subject" foreign:"required"`
	Annotations map[string]string `json:"annotations"`

	// Format is the format whose parts the document has. A list that is null or empty counts as
	// there.
	Format Format `json:"-"`
	// Signed reports whether the document has the key signatures.
	Signed bool `json:"-"`
}

// Descriptor points at content.
type Descriptor struct {
	MediaType string        `json:"mediaType" foreign:"required"`
	Digest    digest.Digest `json:"digest" foreign:"required"`
	// Size is in bytes.
	Size int64 `json:"size" foreign:"required"`
	// Data is the content itself, where the manifest brings it along. It may be other content
	// than that of Digest.
	Data         []byte            `json:"data"`
	Platform     Platform          `json:"platform"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
}

// Platform is the platform of an entry of a list; parts that the list lacks are empty.
type Platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant"`
}

// FSLayer is a layer of a schema 1 manifest.
type FSLayer struct {
	BlobSum digest.Digest `json:"blobSum" foreign:"required"`
}

// History is the configuration of a layer of a schema 1 manifest: a JSON document as text.
type History struct {
	V1Compatibility string `json:"v1Compatibility" foreign:"required"`
}

// Signature is a signature of a schema 1 manifest, see SignedPayload.
type Signature struct {
	Protected string `json:"protected" foreign:"required"`
}

// InvalidError says why a document is not a manifest that has one meaning only.
type InvalidError struct {
	// Causes is not empty. Text of the document in it is quoted and cut.
	Causes []string
}

// Error joins the causes.
func (e *InvalidError) Error() string {
	return "invalid manifest: " + strings.Join(e.Causes, "; ")
}

// Read reads a manifest. It refuses with an *InvalidError:
//
//   - what is not one JSON object, or has a value of another type in a field that is required of
//     what has it; see Manifest for those that are optional
//   - an object that has a key twice which is read
//   - an object with a key that differs from a known one only by case, in Unicode's simple folding
//   - a document with parts of two formats, or parts that belong neither to its schemaVersion nor
//     to its mediaType
//   - nesting of more than MaxDepth levels
//
// Other keys may be there; they are not read. A missing schemaVersion or mediaType is left to
// callers, which may know the media type from elsewhere.
func Read(content []byte) (*Manifest, error) {
	if TooDeep(content) {
		return nil, &InvalidError{Causes: []string{fmt.Sprintf("it is nested more than %d levels deep", MaxDepth)}}
	}
	if crowded(content) {
		return nil, &InvalidError{Causes: []string{fmt.Sprintf("it has more than %d objects of less than %d bytes on average, too small for descriptors", someObjects, bytesPerObject)}}
	}
	m := &Manifest{}
	if err := foreignjson.Unmarshal(content, m); err != nil {
		return nil, &InvalidError{Causes: []string{decodeCause(err)}}
	}
	root, causes := checkKeys(content)
	if len(causes) == 0 {
		causes = m.settle(root)
	}
	if len(causes) > 0 {
		return nil, &InvalidError{Causes: causes}
	}
	return m, nil
}

const notAnObject = "it is not a JSON object"

func decodeCause(err error) string {
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		if kind.Field == "" {
			return notAnObject
		}
		return fmt.Sprintf("%.100s: it cannot be a JSON %.100s", kind.Field, kind.Value)
	}
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return fmt.Sprintf("it is not JSON: %v", err)
	}
	return err.Error()
}

// partKeys are the keys that name parts, and the format that each belongs to.
var partKeys = []struct {
	key    string
	format Format
}{
	{"config", FormatImage}, {"layers", FormatImage},
	{"manifests", FormatList},
	{"fsLayers", FormatSchema1},
	{"blobs", FormatArtifact},
}

// settle finds the format by the keys of the document, and returns what contradicts it.
func (m *Manifest) settle(root map[string]bool) []string {
	m.Signed = root["signatures"]
	var found []string
	for _, part := range partKeys {
		if !root[part.key] {
			continue
		}
		found = append(found, part.key)
		if m.Format != FormatUnknown && m.Format != part.format {
			return []string{"it is ambiguous: it has the parts of more than one format: " + strings.Join(found, ", ")}
		}
		m.Format = part.format
	}
	if m.Format == FormatUnknown {
		return nil
	}
	var causes []string
	if v := m.SchemaVersion; v == 1 && m.Format != FormatSchema1 || v == 2 && m.Format == FormatSchema1 {
		causes = append(causes, fmt.Sprintf("schemaVersion is %d, but it has the parts of another format: %s", v, strings.Join(found, ", ")))
	}
	if f := FormatOf(m.MediaType); f != FormatUnknown && f != m.Format {
		causes = append(causes, fmt.Sprintf("mediaType is %q, but it has the parts of another format: %s", m.MediaType, strings.Join(found, ", ")))
	}
	return causes
}

// Parts returns everything that a reader of the image needs, in the order of the document, with
// repetitions: configuration, layers, blobs, and the manifests of a list. Parts that come from
// FSLayers have a size of 0, because schema 1 does not tell it. The subject is not a part.
func (m *Manifest) Parts() []Descriptor {
	var parts []Descriptor
	if m.Config != nil {
		parts = append(parts, *m.Config)
	}
	parts = append(parts, m.Layers...)
	for _, layer := range m.FSLayers {
		parts = append(parts, Descriptor{MediaType: MediaTypeSchema1Layer, Digest: layer.BlobSum})
	}
	parts = append(parts, m.Blobs...)
	return append(parts, m.Manifests...)
}
