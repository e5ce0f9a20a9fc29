package importer

import (
	"encoding/json"

	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/manifest"
)

// describe turns the config that d points at into metadata, the size with its layers included. The
// config of an artifact may be anything: the metadata has its
// digest and size, and nothing of its content.
func describe(d descriptor, config []byte, layers []imagev1.ImageLayer) (docker10.DockerImage, error) {
	if !isConfigType(normalizeType(d.MediaType)) {
		size := dockerimage.Size(int64(len(config)), layers)
		return docker10.DockerImage{ID: d.Digest.String(), Size: size}, nil
	}
	if manifest.TooDeep(config) {
		return docker10.DockerImage{}, contentErrorf("malformed: nested more than %d levels deep", manifest.MaxDepth)
	}
	metadata, err := dockerimage.MetadataFromConfig(d.Digest.String(), config, layers)
	if err != nil {
		return docker10.DockerImage{}, contentErrorf("malformed: %v", err)
	}
	return metadata, nil
}

// isConfigType tells the media types of configs that describe a runnable image. Other configs
// belong to artifacts and mean nothing to this API.
func isConfigType(mediaType string) bool {
	switch mediaType {
	case "", dockerimage.MediaTypeSchema2Config, dockerimage.MediaTypeOCIImageConfig:
		return true
	}
	return false
}

// configPlatform reads what a config is for; empty parts where it does not say. The metadata of the
// API has no field for the operating system.
func configPlatform(config []byte) Platform {
	var c struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	if json.Unmarshal(config, &c) != nil {
		return Platform{}
	}
	return Platform{Architecture: c.Architecture, OS: c.OS}
}
