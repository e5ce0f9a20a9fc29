package dockerimage

import (
	"encoding/json"
	"fmt"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	imagev1 "github.com/openshift/api/image/v1"
)

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

// IsSchema1 tells the two media types of docker's first format.
func IsSchema1(mediaType string) bool {
	return mediaType == MediaTypeSchema1 || mediaType == MediaTypeSchema1Signed
}

// IsImageManifest tells formats that have a configuration blob: docker schema 2, OCI manifest.
func IsImageManifest(mediaType string) bool {
	return mediaType == MediaTypeSchema2 || mediaType == MediaTypeOCIManifest
}

// IsList tells manifest lists and OCI indexes.
func IsList(mediaType string) bool {
	return mediaType == MediaTypeManifestList || mediaType == MediaTypeOCIIndex
}

// Manifest is what matters of a manifest of any known format. Which fields are set depends on
// the format: Config and Layers for schema 2 and OCI, Layers for schema 1, Manifests for lists.
type Manifest struct {
	SchemaVersion int
	// MediaType is the one declared inside the document, "" if there is none.
	MediaType string
	// ConfigDigest and ConfigMediaType describe the configuration blob.
	ConfigDigest    string
	ConfigMediaType string
	// Layers, base first, repetitions kept.
	Layers []imagev1.ImageLayer
	// Manifests of a list, in its order. Entries without a platform have no architecture and os.
	Manifests []imagev1.ImageManifest

	history []string // schema 1: the v1 documents, newest first
}

// document holds the keys of all formats; they do not clash.
type document struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
	Manifests     []descriptor `json:"manifests"`
	FSLayers      []struct {
		BlobSum string `json:"blobSum"`
	} `json:"fsLayers"`
	History []struct {
		V1Compatibility string `json:"v1Compatibility"`
	} `json:"history"`
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	Platform  struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Variant      string `json:"variant"`
	} `json:"platform"`
}

// ParseManifest reads a manifest. It refuses what is no JSON object, an unknown schemaVersion,
// negative sizes, and schema 1 documents whose history does not go with their layers. It
// neither verifies digests nor requires fields that Image does not.
func ParseManifest(raw []byte) (*Manifest, error) {
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("reading manifest: %w", err)
	}
	m := &Manifest{
		SchemaVersion:   doc.SchemaVersion,
		MediaType:       doc.MediaType,
		ConfigDigest:    doc.Config.Digest,
		ConfigMediaType: doc.Config.MediaType,
	}
	switch doc.SchemaVersion {
	case 1:
		return m, m.readSchema1(doc)
	case 2:
		return m, m.readSchema2(doc)
	}
	return nil, fmt.Errorf("reading manifest: schemaVersion %d is not supported", doc.SchemaVersion)
}

func (m *Manifest) readSchema2(doc document) error {
	for i, d := range doc.Layers {
		if d.Size < 0 {
			return fmt.Errorf("reading manifest: layers[%d] has size %d", i, d.Size)
		}
		m.Layers = append(m.Layers, imagev1.ImageLayer{Name: d.Digest, LayerSize: d.Size, MediaType: d.MediaType})
	}
	for i, d := range doc.Manifests {
		if d.Size < 0 {
			return fmt.Errorf("reading manifest: manifests[%d] has size %d", i, d.Size)
		}
		m.Manifests = append(m.Manifests, imagev1.ImageManifest{
			Digest:       d.Digest,
			MediaType:    d.MediaType,
			ManifestSize: d.Size,
			Architecture: d.Platform.Architecture,
			OS:           d.Platform.OS,
			Variant:      d.Platform.Variant,
		})
	}
	return nil
}

// readSchema1 turns the layers round: the format lists the newest first. Their sizes stand, if
// anywhere, in the v1 document of the same position.
func (m *Manifest) readSchema1(doc document) error {
	if len(doc.History) != len(doc.FSLayers) {
		return fmt.Errorf("reading manifest: schema 1 with %d layers and a history of %d", len(doc.FSLayers), len(doc.History))
	}
	for i, layer := range doc.FSLayers {
		v1 := doc.History[i].V1Compatibility
		m.history = append(m.history, v1)
		m.Layers = append(m.Layers, imagev1.ImageLayer{
			Name: layer.BlobSum, LayerSize: v1Size(v1), MediaType: MediaTypeSchema1Layer,
		})
	}
	slices.Reverse(m.Layers)
	return nil
}

// v1Size reads the size that some builders noted in a v1 document; 0 means not known.
func v1Size(v1 string) int64 {
	var sized struct {
		Size int64 `json:"Size"`
	}
	if json.Unmarshal([]byte(v1), &sized) != nil {
		return 0
	}
	return max(sized.Size, 0)
}
