package testimage

import (
	"crypto/rand"
	"encoding/json"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Raw is an OCI image as bytes: uncompressed layers, the configuration and the manifest.
type Raw struct {
	Layers   [][]byte
	Config   []byte
	Manifest []byte
	Digest   digest.Digest
}

// NewRaw is an image of layers, for linux/amd64. No other image has its configuration.
func NewRaw(layers ...[]byte) Raw { return NewRawFor("amd64", layers...) }

// NewRawFor is NewRaw for another architecture.
func NewRawFor(architecture string, layers ...[]byte) Raw {
	config := ocispec.Image{Platform: ocispec.Platform{Architecture: architecture, OS: "linux"}, Author: rand.Text()}
	config.RootFS.Type = "layers"
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, layer := range layers {
		m.Layers = append(m.Layers, Describe(ocispec.MediaTypeImageLayer, layer))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(layer))
	}
	i := Raw{Layers: layers, Config: Encode(config)}
	m.Config = Describe(ocispec.MediaTypeImageConfig, i.Config)
	i.Manifest = Encode(m)
	i.Digest = digest.FromBytes(i.Manifest)
	return i
}

// Blobs are the configuration and the layers.
func (i Raw) Blobs() [][]byte { return append([][]byte{i.Config}, i.Layers...) }

// Describe is the descriptor of content.
func Describe(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// Encode is a document of the image specification as JSON.
func Encode(document any) []byte {
	content, err := json.Marshal(document)
	if err != nil {
		panic(err) // no type of the specification fails to encode
	}
	return content
}

// Noise is random content of a size in bytes.
func Noise(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.Read(content) // it never fails
	return content
}
