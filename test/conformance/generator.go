package conformance

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types that are not OCI's.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"

	exampleArtifact = "application/vnd.example.artifact.v1"
	exampleConfig   = "application/vnd.example.config.v1+json"
	exampleLayer    = "application/vnd.example.content.v1"
	octetStream     = "application/octet-stream"
)

// generator makes content that is random and the same for the same seed.
type generator struct {
	random    *rand.ChaCha8
	algorithm digest.Algorithm
	serial    uint64
	made      int
}

func newGenerator(seed, serial uint64) *generator {
	var key [32]byte
	for i := range 8 {
		key[i], key[8+i] = byte(seed>>(8*i)), byte(serial>>(8*i))
	}
	return &generator{random: rand.NewChaCha8(key), algorithm: digest.SHA256, serial: serial}
}

// with is a generator that names what it makes by another algorithm.
func (g *generator) with(a digest.Algorithm) *generator {
	other := *g
	other.algorithm = a
	return &other
}

// blob is content by its digest.
type blob struct {
	digest    digest.Digest
	mediaType string
	content   []byte
}

func (b blob) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: b.mediaType, Digest: b.digest, Size: int64(len(b.content))}
}

// bytes are random.
func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = g.random.Read(b) // never fails
	return b
}

func (g *generator) name(content []byte, mediaType string) blob {
	return blob{digest: g.algorithm.FromBytes(content), mediaType: mediaType, content: content}
}

// blob is one of a size like no other.
func (g *generator) blob(size int) blob { return g.name(g.bytes(size), octetStream) }

// layer is a small blob of a media type.
func (g *generator) layer(mediaType string) blob {
	return g.name(g.bytes(512+g.serialByte()), mediaType)
}

func (g *generator) serialByte() int {
	g.made++
	return g.made % 256
}

// config is an image configuration like no other.
func (g *generator) config(mediaType string) blob {
	content := fmt.Sprintf(`{"architecture":"amd64","os":"linux","config":{"Env":["N=%x"]},"rootfs":{"type":"layers","diff_ids":[]}}`, g.bytes(12))
	return g.name([]byte(content), mediaType)
}

// emptyJSON is the content that artifacts without a configuration have as one.
func (g *generator) emptyJSON() blob {
	return g.name([]byte("{}"), ocispec.MediaTypeEmptyJSON)
}

// unknownDigest is of content that nobody has.
func (g *generator) unknownDigest() digest.Digest { return g.algorithm.FromBytes(g.bytes(32)) }

// object is a manifest with all that it refers to and that is to be pushed first.
type object struct {
	mediaType string
	content   []byte
	digest    digest.Digest
	blobs     []blob
	children  []*object
	// What a list of referrers tells of it.
	subject      digest.Digest
	artifactType string
	annotations  map[string]string
}

func (o *object) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: o.mediaType, Digest: o.digest, Size: int64(len(o.content))}
}

// annotations are like no others, so that no two manifests are alike.
func (g *generator) annotations() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title": fmt.Sprintf("%x", g.bytes(12)),
		"org.example.letters":            "ä → \"quoted\" <&>",
	}
}

func descriptorsOf(blobs []blob) []ocispec.Descriptor {
	all := make([]ocispec.Descriptor, 0, len(blobs))
	for _, b := range blobs {
		all = append(all, b.descriptor())
	}
	return all
}

// manifest is an OCI image manifest over a configuration and layers. change may adapt
// it before it is written.
func (g *generator) manifest(config blob, layers []blob, change ...func(*ocispec.Manifest)) *object {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config.descriptor(), Layers: descriptorsOf(layers), Annotations: g.annotations(),
	}
	for _, f := range change {
		f(&m)
	}
	o := g.write(ocispec.MediaTypeImageManifest, m)
	o.blobs = append([]blob{config}, layers...)
	o.annotations, o.artifactType = m.Annotations, m.ArtifactType
	if o.artifactType == "" {
		o.artifactType = m.Config.MediaType
	}
	if m.Subject != nil {
		o.subject = m.Subject.Digest
	}
	return o
}

// index is an OCI image index over manifests.
func (g *generator) index(children []*object, change ...func(*ocispec.Index)) *object {
	x := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{}, Annotations: g.annotations(),
	}
	for i, child := range children {
		d := child.descriptor()
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: []string{"amd64", "arm64", "s390x"}[i%3]}
		x.Manifests = append(x.Manifests, d)
	}
	for _, f := range change {
		f(&x)
	}
	o := g.write(ocispec.MediaTypeImageIndex, x)
	o.children, o.annotations, o.artifactType = children, x.Annotations, x.ArtifactType
	if x.Subject != nil {
		o.subject = x.Subject.Digest
	}
	return o
}

// write is an object whose manifest is a value in JSON.
func (g *generator) write(mediaType string, value any) *object {
	content, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		panic(fmt.Sprintf("writing a manifest of known types: %v", err))
	}
	return g.raw(mediaType, content)
}

// raw is an object of a manifest's bytes.
func (g *generator) raw(mediaType string, content []byte) *object {
	return &object{mediaType: mediaType, content: content, digest: g.algorithm.FromBytes(content)}
}

// image is a plain OCI image of two layers.
func (g *generator) image(change ...func(*ocispec.Manifest)) *object {
	layers := []blob{g.layer(ocispec.MediaTypeImageLayerGzip), g.layer(ocispec.MediaTypeImageLayerGzip)}
	return g.manifest(g.config(ocispec.MediaTypeImageConfig), layers, change...)
}

// artifact is an OCI artifact of one type.
func (g *generator) artifact(artifactType string, change ...func(*ocispec.Manifest)) *object {
	typed := func(m *ocispec.Manifest) { m.ArtifactType = artifactType }
	return g.manifest(g.emptyJSON(), []blob{g.layer(exampleLayer)}, append([]func(*ocispec.Manifest){typed}, change...)...)
}

// of has a manifest refer to a subject.
func of(subject *object) func(*ocispec.Manifest) {
	return func(m *ocispec.Manifest) { m.Subject = new(subject.descriptor()) }
}

// indexOf has an index refer to a subject.
func indexOf(subject *object) func(*ocispec.Index) {
	return func(x *ocispec.Index) { x.Subject = new(subject.descriptor()) }
}
