package ociregistry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	casesensitivejson "k8s.io/apimachinery/pkg/util/json"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

// manifest is what a registry needs to know of a manifest: what it refers to.
type manifest struct {
	mediaType string
	// config is nil for indexes.
	config *descriptor
	layers []descriptor
	// children are those of an index or manifest list.
	children []descriptor
	subject  *descriptor
	// artifactType and annotations are as a list of referrers shows them.
	artifactType string
	annotations  map[string]string
}

// descriptor is what a registry looks at of a reference to content.
type descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	// Data is the content itself, where the manifest brings it along.
	Data []byte `json:"data"`
}

// isList reports whether a manifest is an index or a manifest list.
func (m *manifest) isList() bool { return dockerimage.IsList(m.mediaType) }

// manifestDocument has the keys of all formats. Keys whose presence tells formats apart
// are raw: an empty list may be written null.
type manifestDocument struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        json.RawMessage   `json:"config"`
	Layers        json.RawMessage   `json:"layers"`
	Manifests     json.RawMessage   `json:"manifests"`
	FSLayers      json.RawMessage   `json:"fsLayers"`
	Signatures    json.RawMessage   `json:"signatures"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// manifestProblem collects what is wrong with a manifest.
type manifestProblem struct{ causes []string }

func (p *manifestProblem) add(format string, args ...any) {
	const enough = 20 // more tell nothing more
	if len(p.causes) < enough {
		p.causes = append(p.causes, fmt.Sprintf(format, args...))
	}
}

func (p *manifestProblem) err() error {
	if len(p.causes) == 0 {
		return nil
	}
	return invalidManifest(p.causes...)
}

func invalidManifest(causes ...string) *Error {
	return &Error{
		Code:    CodeManifestInvalid,
		Message: "the manifest is invalid: " + strings.Join(causes, "; "),
		Detail:  map[string][]string{"causes": causes},
	}
}

// parseManifest reads a manifest that is pushed, and refuses what no client could use.
// contentType is the header of the request. What is not mentioned here is not looked at,
// and stays in the manifest byte for byte.
//
// Schema 1 is refused. Its digest is that of a part of the document, so that it can be
// kept neither as it is nor verified as what it is; nothing in use makes it any more.
func parseManifest(content []byte, contentType string) (*manifest, error) {
	doc, err := readDocument(content)
	if err != nil {
		return nil, err
	}
	declared, err := declaredType(contentType, doc.MediaType)
	if err != nil {
		return nil, err
	}
	m := &manifest{mediaType: declared, subject: doc.Subject, annotations: doc.Annotations}
	var wrong manifestProblem
	if doc.SchemaVersion != 2 {
		wrong.add("schemaVersion is %d, not 2", doc.SchemaVersion)
	}
	if !strings.HasPrefix(declared, "application/vnd.oci.") && doc.MediaType == "" {
		// Docker's formats have always named themselves. Without that nobody could tell
		// them from OCI's when they are read again.
		wrong.add("mediaType is missing")
	}
	if m.isList() {
		m.readList(doc, &wrong)
	} else {
		m.readImage(doc, &wrong)
	}
	if m.subject != nil {
		checkDescriptor("subject", *m.subject, &wrong)
	}
	return m, wrong.err()
}

// readDocument reads the JSON. Keys count only in their exact case, as other readers of
// manifests have it: nothing is to mean one thing here and another there.
func readDocument(content []byte) (*manifestDocument, error) {
	doc := &manifestDocument{}
	if err := casesensitivejson.Unmarshal(content, doc); err != nil {
		return nil, invalidManifest("it is no JSON of a manifest: " + err.Error())
	}
	return doc, nil
}

// declaredType is the media type of a pushed manifest, from the header and from itself.
func declaredType(contentType, mediaType string) (string, error) {
	declared := strings.TrimSpace(contentType)
	if parsed, _, err := mime.ParseMediaType(contentType); err == nil {
		declared = parsed
	}
	if declared != "" && mediaType != "" && declared != mediaType {
		return "", invalidManifest(fmt.Sprintf("its Content-Type is %.200q, its mediaType is %.200q", declared, mediaType))
	}
	declared = cmp.Or(declared, mediaType)
	switch {
	case dockerimage.IsImageManifest(declared), dockerimage.IsList(declared):
		return declared, nil
	case declared == "":
		return "", invalidManifest("neither Content-Type nor mediaType says what it is")
	case dockerimage.IsSchema1(declared):
		return "", invalidManifest("schema 1 is not accepted; push the image as schema 2 or OCI manifest")
	}
	return "", invalidManifest(fmt.Sprintf("its media type %.200q is no manifest's or index's", declared))
}

// readList reads what is an index. One that can be read as an image as well is refused:
// whoever verified it as one must not run it as the other.
func (m *manifest) readList(doc *manifestDocument, wrong *manifestProblem) {
	m.artifactType = doc.ArtifactType
	if doc.Manifests == nil {
		wrong.add("manifests is missing")
	}
	if doc.Layers != nil || doc.Config != nil {
		wrong.add("it has the config or layers of an image besides")
	}
	m.children = readDescriptors("manifests", doc.Manifests, wrong)
}

// readImage reads what has a configuration and layers.
func (m *manifest) readImage(doc *manifestDocument, wrong *manifestProblem) {
	if doc.Manifests != nil {
		wrong.add("it has the manifests of an index besides")
	}
	if len(doc.Config) == 0 || string(doc.Config) == "null" {
		wrong.add("config is missing")
	} else {
		m.config = &descriptor{}
		if err := casesensitivejson.Unmarshal(doc.Config, m.config); err != nil {
			wrong.add("config: %v", err)
		}
		checkDescriptor("config", *m.config, wrong)
		m.artifactType = cmp.Or(doc.ArtifactType, m.config.MediaType)
	}
	m.layers = readDescriptors("layers", doc.Layers, wrong)
}

// readDescriptors reads a list of descriptors. No list, or null, is an empty one: Go's
// encoders write it like that.
func readDescriptors(field string, raw json.RawMessage, wrong *manifestProblem) []descriptor {
	if len(raw) == 0 {
		return nil
	}
	var all []descriptor
	if err := casesensitivejson.Unmarshal(raw, &all); err != nil {
		wrong.add("%s: %v", field, err)
		return nil
	}
	for i, d := range all {
		checkDescriptor(fmt.Sprintf("%s[%d]", field, i), d, wrong)
	}
	return all
}

func checkDescriptor(field string, d descriptor, wrong *manifestProblem) {
	if _, err := parseDigest(d.Digest.String()); err != nil {
		wrong.add("%s.digest %.200q is no digest of sha256 or sha512", field, d.Digest)
	}
	if d.Size < 0 {
		wrong.add("%s.size is %d", field, d.Size)
	}
}

// isForeign reports whether a layer is one that registries need not have: whoever made it
// says that it is to be had elsewhere, or must not be passed on.
func isForeign(layer descriptor) bool {
	return layer.MediaType == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" ||
		strings.HasPrefix(layer.MediaType, "application/vnd.oci.image.layer.nondistributable.")
}

// descriptor is the manifest as a list of referrers shows it.
func (m *manifest) describe(d digest.Digest, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: m.mediaType, Digest: d, Size: size,
		ArtifactType: m.artifactType, Annotations: m.annotations,
	}
}

// typeOfStored is the media type of a manifest that is kept: what it says of itself, else
// what is known of it otherwise, else what its keys show. Blob storage does not say.
func typeOfStored(content []byte, known string) string {
	doc, err := readDocument(content)
	switch {
	case err != nil:
		return cmp.Or(known, "application/octet-stream")
	case doc.MediaType != "":
		return doc.MediaType
	case doc.SchemaVersion == 1 && doc.Signatures != nil:
		return dockerimage.MediaTypeSchema1Signed
	case doc.SchemaVersion == 1:
		return dockerimage.MediaTypeSchema1
	case known != "":
		return known
	case doc.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	}
	return ocispec.MediaTypeImageManifest
}
