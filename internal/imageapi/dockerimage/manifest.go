package dockerimage

import (
	"fmt"
	"slices"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/foreignjson"
	"weir.dev/weir/internal/manifest"
)

// Media types, see package manifest.
const (
	MediaTypeSchema1        = manifest.MediaTypeSchema1
	MediaTypeSchema1Signed  = manifest.MediaTypeSchema1Signed
	MediaTypeSchema2        = manifest.MediaTypeSchema2
	MediaTypeManifestList   = manifest.MediaTypeManifestList
	MediaTypeOCIManifest    = manifest.MediaTypeOCIManifest
	MediaTypeOCIIndex       = manifest.MediaTypeOCIIndex
	mediaTypeSchema1Layer   = manifest.MediaTypeSchema1Layer
	MediaTypeSchema2Config  = manifest.MediaTypeSchema2Config
	MediaTypeOCIImageConfig = manifest.MediaTypeOCIImageConfig
)

// IsSchema1 is manifest.IsSchema1.
func IsSchema1(mediaType string) bool { return manifest.IsSchema1(mediaType) }

// IsImageManifest is manifest.IsImageManifest.
func IsImageManifest(mediaType string) bool { return manifest.IsImageManifest(mediaType) }

// IsList is manifest.IsList.
func IsList(mediaType string) bool { return manifest.IsList(mediaType) }

// Manifest has the relevant fields of a manifest of any known format: Config and Layers for
// schema 2 and OCI, Layers for schema 1, Manifests for lists.
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

// parseManifest parses the text of a manifest, with the checks of manifest.Read and
// FromManifest.
func parseManifest(raw []byte) (*Manifest, error) {
	read, err := manifest.Read(raw)
	if err != nil {
		return nil, fmt.Errorf("reading manifest: %w", err)
	}
	return FromManifest(read)
}

// FromManifest converts a parsed manifest. It rejects an unknown schemaVersion, negative sizes, and
// schema 1 documents whose history does not match their layers. It neither verifies digests nor
// requires fields that Image does not.
func FromManifest(read *manifest.Manifest) (*Manifest, error) {
	m := &Manifest{SchemaVersion: read.SchemaVersion, MediaType: read.MediaType}
	if read.Config != nil {
		m.ConfigDigest, m.ConfigMediaType = read.Config.Digest.String(), read.Config.MediaType
	}
	switch read.SchemaVersion {
	case 1:
		return m, m.fillSchema1(read)
	case 2:
		return m, m.fillSchema2(read)
	}
	return nil, fmt.Errorf("reading manifest: schemaVersion %d is not supported", read.SchemaVersion)
}

func (m *Manifest) fillSchema2(read *manifest.Manifest) error {
	for i, d := range read.Layers {
		if d.Size < 0 {
			return fmt.Errorf("reading manifest: layers[%d] has size %d", i, d.Size)
		}
		m.Layers = append(m.Layers, imagev1.ImageLayer{Name: d.Digest.String(), LayerSize: d.Size, MediaType: d.MediaType})
	}
	for i, d := range read.Manifests {
		if d.Size < 0 {
			return fmt.Errorf("reading manifest: manifests[%d] has size %d", i, d.Size)
		}
		m.Manifests = append(m.Manifests, imagev1.ImageManifest{
			Digest:       d.Digest.String(),
			MediaType:    d.MediaType,
			ManifestSize: d.Size,
			Architecture: d.Platform.Architecture,
			OS:           d.Platform.OS,
			Variant:      d.Platform.Variant,
		})
	}
	return nil
}

// fillSchema1 reverses the layers: the format lists the newest first. If the sizes are known, they
// are in the v1 document at the same position.
func (m *Manifest) fillSchema1(read *manifest.Manifest) error {
	if len(read.History) != len(read.FSLayers) {
		return fmt.Errorf("reading manifest: schema 1 with %d layers and a history of %d", len(read.FSLayers), len(read.History))
	}
	for i, layer := range read.FSLayers {
		v1 := read.History[i].V1Compatibility
		m.history = append(m.history, v1)
		m.Layers = append(m.Layers, imagev1.ImageLayer{
			Name: layer.BlobSum.String(), LayerSize: v1Size(v1), MediaType: manifest.MediaTypeSchema1Layer,
		})
	}
	slices.Reverse(m.Layers)
	return nil
}

// v1Size returns the size that some build tools write to a v1 document; 0 if not known.
func v1Size(v1 string) int64 {
	var sized struct {
		Size int64 `json:"Size"`
	}
	if foreignjson.Unmarshal([]byte(v1), &sized) != nil {
		return 0
	}
	return max(sized.Size, 0)
}
