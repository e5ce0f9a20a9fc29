package importer

import (
	"github.com/openshift/api/image/docker10"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/manifest"
	"weir.dev/weir/internal/reference"
)

// maxSchema1Layers is more than any graph driver can mount; each layer may cost a HEAD.
const maxSchema1Layers = 1000

// parseSchema1 parses a docker schema 1 manifest: the format of registries before 2016, which
// contains the configuration of every layer. Weir reads and never writes it; it verifies the digest
// but not the signatures. Layers are base first, with size 0 if not known.
func parseSchema1(m *manifest.Manifest) (document, error) {
	image, err := dockerimage.FromManifest(m)
	if err != nil {
		return document{}, contentErrorf("the schema 1 manifest is malformed: %v", err)
	}
	if n := len(image.Layers); n == 0 || n > maxSchema1Layers {
		return document{}, contentErrorf("the schema 1 manifest has %d layers; 1 to %d are possible", n, maxSchema1Layers)
	}
	for i, l := range image.Layers {
		if !reference.ValidDigest(l.Name) {
			return document{}, contentErrorf("the schema 1 manifest is malformed: layer %d: %q is no digest", i, foreignText(l.Name))
		}
	}
	var metadata docker10.DockerImage
	if metadata, err = dockerimage.MetadataFromSchema1(image); err != nil {
		return document{}, contentErrorf("the schema 1 manifest is malformed: %v", err)
	}
	return document{kind: kindSchema1, mediaType: dockerimage.MediaTypeSchema1, layers: image.Layers, metadata: metadata}, nil
}
