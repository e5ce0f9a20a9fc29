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

// manifest is the parsed form of a manifest: its type and its references.
type manifest struct {
	mediaType string
	// config is nil for indexes.
	config *descriptor
	layers []descriptor
	// children are the entries of an index or manifest list.
	children []descriptor
	subject  *descriptor
	// artifactType and annotations are as a list of referrers shows them.
	artifactType string
	annotations  map[string]string
}

// descriptor is an OCI descriptor. After the check its digest is valid and its size not
// negative.
type descriptor = imagemanifest.Descriptor

// isList reports whether a manifest is an index or a manifest list.
func (m *manifest) isList() bool { return imagemanifest.IsList(m.mediaType) }

// manifestProblem collects the errors of a manifest.
type manifestProblem struct{ causes []string }

func (p *manifestProblem) add(format string, args ...any) {
	const enough = 20 // more would not help the client
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

// parseManifest parses a pushed manifest. It rejects manifests that no client could use, and
// those that two parsers could read differently. contentType is the header of the request.
// Unknown keys stay in the manifest byte for byte.
//
// Schema 1 is rejected. Its digest covers only a part of the document, so the stored bytes
// could not be verified; no tool in use produces it any more.
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

// checkDocument checks that a document has the declared type. A manifest that was verified
// as one type must not run as another.
func checkDocument(doc *imagemanifest.Manifest, declared string, wrong *manifestProblem) {
	if doc.SchemaVersion != 2 {
		wrong.add("schemaVersion is %d, not 2", doc.SchemaVersion)
	}
	if !strings.HasPrefix(declared, "application/vnd.oci.") && doc.MediaType == "" {
		// Docker's formats always have a mediaType. Without it a stored manifest could not be
		// distinguished from OCI's.
		wrong.add("mediaType is missing")
	}
	want := imagemanifest.FormatOf(declared)
	if doc.Format != imagemanifest.FormatUnknown && doc.Format != want {
		wrong.add("it is pushed as %s, but has the structure of %s", declared, doc.Format)
	}
	switch {
	case want == imagemanifest.FormatList && doc.Format != want:
		wrong.add("manifests is missing")
	case want == imagemanifest.FormatImage && doc.Config == nil:
		wrong.add("config is missing")
	}
}

// declaredType returns the media type of a pushed manifest, from its header and its mediaType.
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
		return "", invalidManifest("both Content-Type and mediaType are missing")
	case imagemanifest.IsSchema1(declared):
		return "", invalidManifest("schema 1 is not accepted; push the image as schema 2 or OCI manifest")
	}
	return "", invalidManifest(fmt.Sprintf("media type %.200q is not that of a manifest or index", declared))
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
		wrong.add("%s.digest %.200q is not a sha256 or sha512 digest", field, d.Digest)
	}
	if d.Size < 0 {
		wrong.add("%s.size is %d", field, d.Size)
	}
}

// isForeign reports whether a registry may lack a layer: its descriptor has URLs to download it
// from, or its type is non-distributable.
func isForeign(layer descriptor) bool {
	return layer.MediaType == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" ||
		strings.HasPrefix(layer.MediaType, "application/vnd.oci.image.layer.nondistributable.")
}

// describe returns the descriptor of the manifest in a list of referrers.
func (m *manifest) describe(d digest.Digest, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: m.mediaType, Digest: d, Size: size,
		ArtifactType: m.artifactType, Annotations: m.annotations,
	}
}

// typeOfStored returns the media type of a stored manifest: its mediaType, else known, else the
// type that its keys imply. Blob storage does not record types.
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
