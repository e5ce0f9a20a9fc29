package ociregistry

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	imagemanifest "weir.dev/weir/internal/manifest"
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

// descriptor points at content. Once it is checked, its digest is valid and its size not
// negative.
type descriptor = imagemanifest.Descriptor

// isList reports whether a manifest is an index or a manifest list.
func (m *manifest) isList() bool { return imagemanifest.IsList(m.mediaType) }

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

// parseManifest reads a manifest that is pushed, and refuses what no client could use and
// what two readers could read differently. contentType is the header of the request. Keys
// that are not known stay in the manifest byte for byte.
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
	m := &manifest{
		mediaType: declared, config: doc.Config, layers: doc.Layers, children: doc.Manifests,
		subject: doc.Subject, artifactType: doc.ArtifactType, annotations: doc.Annotations,
	}
	if m.artifactType == "" && m.config != nil {
		m.artifactType = m.config.MediaType
	}
	var wrong manifestProblem
	checkDocument(doc, declared, &wrong)
	m.checkDescriptors(&wrong)
	return m, wrong.err()
}

// readDocument reads the JSON. The error is an *Error with CodeManifestInvalid.
func readDocument(content []byte) (*imagemanifest.Manifest, error) {
	doc, err := imagemanifest.Read(content)
	if invalid := (*imagemanifest.InvalidError)(nil); errors.As(err, &invalid) {
		return nil, invalidManifest(invalid.Causes...)
	}
	return doc, err
}

// checkDocument checks that a document is of the type that it was declared to be of. A
// manifest that was verified as one type must not be run as another.
func checkDocument(doc *imagemanifest.Manifest, declared string, wrong *manifestProblem) {
	if doc.SchemaVersion != 2 {
		wrong.add("schemaVersion is %d, not 2", doc.SchemaVersion)
	}
	if !strings.HasPrefix(declared, "application/vnd.oci.") && doc.MediaType == "" {
		// Docker's formats have always named themselves. Without that they could not be
		// told from OCI's when they are read again.
		wrong.add("mediaType is missing")
	}
	want := imagemanifest.FormatOf(declared)
	if doc.Format != imagemanifest.FormatUnknown && doc.Format != want {
		wrong.add("it is pushed as %s, but has the parts of another format (%s)", declared, doc.Format)
	}
	switch {
	case want == imagemanifest.FormatList && doc.Format != want:
		wrong.add("manifests is missing")
	case want == imagemanifest.FormatImage && doc.Config == nil:
		wrong.add("config is missing")
	}
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
	case imagemanifest.IsImageManifest(declared), imagemanifest.IsList(declared):
		return declared, nil
	case declared == "":
		return "", invalidManifest("neither Content-Type nor mediaType says what it is")
	case imagemanifest.IsSchema1(declared):
		return "", invalidManifest("schema 1 is not accepted; push the image as schema 2 or OCI manifest")
	}
	return "", invalidManifest(fmt.Sprintf("its media type %.200q is no manifest's or index's", declared))
}

func (m *manifest) checkDescriptors(wrong *manifestProblem) {
	if m.config != nil {
		checkDescriptor("config", *m.config, wrong)
	}
	for i, layer := range m.layers {
		checkDescriptor(fmt.Sprintf("layers[%d]", i), layer, wrong)
	}
	for i, child := range m.children {
		checkDescriptor(fmt.Sprintf("manifests[%d]", i), child, wrong)
	}
	if m.subject != nil {
		checkDescriptor("subject", *m.subject, wrong)
	}
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
	case doc.SchemaVersion == 1 && doc.Signed:
		return imagemanifest.MediaTypeSchema1Signed
	case doc.SchemaVersion == 1:
		return imagemanifest.MediaTypeSchema1
	case known != "":
		return known
	case doc.Format == imagemanifest.FormatList:
		return ocispec.MediaTypeImageIndex
	}
	return ocispec.MediaTypeImageManifest
}
