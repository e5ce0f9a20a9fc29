package conformance

import (
	"fmt"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// kind is a kind of content that a registry stores.
type kind struct {
	name string
	make func(g *generator) *object
	// algorithm names everything of it; SHA-256 when empty. Content of others is
	// pushed by digest only, because a push by tag leaves the choice to the registry.
	algorithm digest.Algorithm
}

// kinds are all kinds.
var kinds = []kind{
	{name: "image", make: func(g *generator) *object { return g.image() }},
	{name: "image-docker", make: (*generator).dockerImage},
	{name: "image-without-media-type", make: (*generator).untypedImage},
	{name: "image-without-layers", make: func(g *generator) *object {
		return g.manifest(g.config(ocispec.MediaTypeImageConfig), nil)
	}},
	{name: "image-with-one-layer-twice", make: (*generator).repeatedLayer},
	{name: "image-uncompressed", make: func(g *generator) *object {
		return g.manifest(g.config(ocispec.MediaTypeImageConfig), []blob{g.layer(ocispec.MediaTypeImageLayer)})
	}},
	{name: "image-zstd", make: func(g *generator) *object {
		return g.manifest(g.config(ocispec.MediaTypeImageConfig), []blob{g.layer(ocispec.MediaTypeImageLayerZstd)})
	}},
	{name: "image-empty-layer", make: func(g *generator) *object {
		empty := g.name([]byte{}, ocispec.MediaTypeImageLayer)
		return g.manifest(g.config(ocispec.MediaTypeImageConfig), []blob{empty, g.layer(ocispec.MediaTypeImageLayer)})
	}},
	{name: "image-non-distributable", make: (*generator).nonDistributable},
	{name: "image-data-field", make: (*generator).dataField},
	{name: "image-custom-fields", make: (*generator).customFields},
	{name: "index", make: (*generator).platforms},
	{name: "index-docker", make: (*generator).dockerIndex},
	{name: "index-nested", make: func(g *generator) *object {
		return g.index([]*object{g.platforms(), g.image()})
	}},
	{name: "index-empty", make: func(g *generator) *object { return g.index(nil) }},
	{name: "index-sparse", make: (*generator).sparseIndex},
	{name: "index-custom-fields", make: (*generator).customIndex},
	{name: "artifact", make: func(g *generator) *object { return g.artifact(exampleArtifact) }},
	{name: "artifact-by-config", make: func(g *generator) *object {
		return g.manifest(g.config(exampleConfig), []blob{g.layer(exampleLayer)})
	}},
	{name: "artifact-without-content", make: func(g *generator) *object {
		empty := g.emptyJSON()
		return g.manifest(empty, []blob{empty}, func(m *ocispec.Manifest) { m.ArtifactType = exampleArtifact })
	}},
	{name: "artifact-index", make: func(g *generator) *object {
		return g.index([]*object{g.image()}, func(x *ocispec.Index) { x.ArtifactType = exampleArtifact })
	}},
	{name: "index-of-artifacts", make: func(g *generator) *object {
		return g.index([]*object{g.artifact(exampleArtifact), g.artifact("application/vnd.example.other.v1")})
	}},
	{name: "image-sha512", make: func(g *generator) *object { return g.image() }, algorithm: digest.SHA512},
	{name: "index-sha512", make: (*generator).platforms, algorithm: digest.SHA512},
	{name: "artifact-sha512", make: func(g *generator) *object { return g.artifact(exampleArtifact) }, algorithm: digest.SHA512},
}

func (k kind) new(g *generator) *object {
	if k.algorithm != "" {
		g = g.with(k.algorithm)
	}
	return k.make(g)
}

func (g *generator) platforms() *object { return g.index([]*object{g.image(), g.image()}) }

func (g *generator) dockerImage() *object {
	config, layer := g.config(dockerConfig), g.layer(dockerLayer)
	o := g.write(dockerManifest, map[string]any{
		"schemaVersion": 2, "mediaType": dockerManifest,
		"config": config.descriptor(), "layers": descriptorsOf([]blob{layer}),
	})
	o.blobs = []blob{config, layer}
	return o
}

func (g *generator) dockerIndex() *object {
	var children []*object
	var manifests []ocispec.Descriptor
	for _, architecture := range []string{"amd64", "arm64"} {
		child := g.dockerImage()
		d := child.descriptor()
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
		children, manifests = append(children, child), append(manifests, d)
	}
	o := g.write(dockerList, map[string]any{"schemaVersion": 2, "mediaType": dockerList, "manifests": manifests})
	o.children = children
	return o
}

func (g *generator) untypedImage() *object {
	return g.image(func(m *ocispec.Manifest) { m.MediaType = "" })
}

func (g *generator) repeatedLayer() *object {
	layer := g.layer(ocispec.MediaTypeImageLayerGzip)
	return g.manifest(g.config(ocispec.MediaTypeImageConfig), []blob{layer, layer})
}

// nonDistributable has a layer that nobody pushes: its URL tells where it is.
func (g *generator) nonDistributable() *object {
	elsewhere := g.layer(ocispec.MediaTypeImageLayerNonDistributableGzip) //nolint:staticcheck // deprecated, and still pushed
	d := elsewhere.descriptor()
	d.URLs = []string{"https://example.com/layer"}
	return g.manifest(g.config(ocispec.MediaTypeImageConfig), []blob{g.layer(ocispec.MediaTypeImageLayerGzip)},
		func(m *ocispec.Manifest) { m.Layers = append(m.Layers, d) })
}

// dataField has the content of its configuration in the descriptor (image-spec,
// descriptor.md, Embedded Content).
func (g *generator) dataField() *object {
	config := g.config(ocispec.MediaTypeImageConfig)
	layer := g.layer(ocispec.MediaTypeImageLayerGzip)
	return g.manifest(config, []blob{layer}, func(m *ocispec.Manifest) {
		m.Config.Data = config.content
		m.Layers[0].Data = layer.content
	})
}

// customFields has what no structure of Go keeps: fields that nobody knows, at every
// level, numbers beyond 2^53, odd spaces, letters written as escapes, a key that comes
// twice.
func (g *generator) customFields() *object {
	config, layer := g.config(ocispec.MediaTypeImageConfig), g.layer(ocispec.MediaTypeImageLayerGzip)
	content := fmt.Sprintf("{ \"layers\" : [\n\t{\"digest\":%q,\"x-layer\":{\"a\":[1,2.50,1e3]},\"size\":%d,\"mediaType\":%q} ],\r\n"+
		"  \"org.example.number\": 12345678901234567890, \"org.example.text\": \"\\u00e4\\/\\u003c\",\n"+
		"\"config\":{\"mediaType\":%q,\"digest\":%q,\"size\":%d,\"x-config\":null},\"x\":1,\"x\":2,"+
		"\"mediaType\":%q,   \"schemaVersion\":2,\"annotations\":{\"n\":\"%x\"}}\n\n",
		layer.digest, len(layer.content), layer.mediaType, config.mediaType, config.digest, len(config.content),
		ocispec.MediaTypeImageManifest, g.bytes(8))
	o := g.raw(ocispec.MediaTypeImageManifest, []byte(content))
	o.blobs, o.artifactType = []blob{config, layer}, config.mediaType
	return o
}

// customIndex is customFields of an index.
func (g *generator) customIndex() *object {
	child := g.image()
	content := fmt.Sprintf("{\"x-first\":[[]],\"manifests\":[ {\"size\":%d , \"digest\":%q,\"mediaType\":%q,\"x\":true} ],"+
		"\t\"mediaType\":%q,\"schemaVersion\":2, \"n\":\"%x\"} ",
		len(child.content), child.digest, child.mediaType, ocispec.MediaTypeImageIndex, g.bytes(8))
	o := g.raw(ocispec.MediaTypeImageIndex, []byte(content))
	o.children = []*object{child}
	return o
}

// sparseIndex has two platforms of which one is never pushed.
func (g *generator) sparseIndex() *object {
	here, elsewhere := g.image(), g.image()
	o := g.index([]*object{here, elsewhere})
	o.children = []*object{here}
	return o
}
