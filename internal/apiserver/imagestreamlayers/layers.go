package imagestreamlayers

import (
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/imageapi/dockerimage"
)

// layersOf lists the blobs of images: their layers, configurations and the
// manifests themselves.
func layersOf(s *imagev1.ImageStream, images []image.Found) *imagev1.ImageStreamLayers {
	layers := &imagev1.ImageStreamLayers{
		ObjectMeta: s.ObjectMeta,
		Blobs:      make(map[string]imagev1.ImageLayerData, 4*len(images)),
		Images:     make(map[string]imagev1.ImageBlobReferences, len(images)),
	}
	for _, f := range images {
		if f.Image == nil {
			layers.Images[f.Name] = imagev1.ImageBlobReferences{ImageMissing: true}
			continue
		}
		layers.Images[f.Name] = addImage(layers.Blobs, f.Image)
	}
	return layers
}

// addImage adds the blobs of an image and returns its references to them. A blob
// of several images stands there once.
func addImage(blobs map[string]imagev1.ImageLayerData, img *imagev1.Image) imagev1.ImageBlobReferences {
	var references imagev1.ImageBlobReferences
	blobs[img.Name] = imagev1.ImageLayerData{MediaType: manifestMediaType(img)}
	for i := range img.DockerImageLayers {
		layer := &img.DockerImageLayers[i]
		size := layer.LayerSize
		blobs[layer.Name] = imagev1.ImageLayerData{LayerSize: &size, MediaType: layer.MediaType}
		references.Layers = append(references.Layers, layer.Name)
	}
	if config, mediaType := configOf(img); config != "" {
		blobs[config] = imagev1.ImageLayerData{MediaType: mediaType}
		references.Config = &config
	}
	for i := range img.DockerImageManifests {
		references.Manifests = append(references.Manifests, img.DockerImageManifests[i].Digest)
	}
	return references
}

// manifestMediaType is that of an image stored without one, by old clients, the
// format of their day.
func manifestMediaType(img *imagev1.Image) string {
	if img.DockerImageManifestMediaType == "" {
		return dockerimage.MediaTypeSchema2
	}
	return img.DockerImageManifestMediaType
}

// configOf is the digest of the configuration and its media type, "" for formats
// without one, and for an Image whose metadata does not tell: that one may fail to
// be pulled, but not keep the rest of the stream from it.
func configOf(img *imagev1.Image) (config, mediaType string) {
	switch img.DockerImageManifestMediaType {
	case dockerimage.MediaTypeSchema2:
		mediaType = dockerimage.MediaTypeSchema2Config
	case dockerimage.MediaTypeOCIManifest:
		mediaType = dockerimage.MediaTypeOCIImageConfig
	default:
		return "", ""
	}
	return dockerimage.MetadataID(img), mediaType
}
