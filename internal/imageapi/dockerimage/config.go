package dockerimage

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"time"

	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/foreignjson"
	"weir.dev/weir/internal/manifest"
)

// imageConfig is an image configuration: the blob that docker schema 2 and OCI manifests point
// at, and, in schema 1, the newest v1 document. What docker has beyond this (os, rootfs,
// history) has no place in docker10.DockerImage.
type imageConfig struct {
	ID              string                 `json:"id"`
	Parent          string                 `json:"parent"`
	Comment         string                 `json:"comment"`
	Created         lenientTime            `json:"created"`
	Container       string                 `json:"container"`
	ContainerConfig docker10.DockerConfig  `json:"container_config"`
	DockerVersion   string                 `json:"docker_version"`
	Author          string                 `json:"author"`
	Config          *docker10.DockerConfig `json:"config"`
	Architecture    string                 `json:"architecture"`
}

// lenientTime decodes an invalid time as zero: build tools write "" and worse into "created",
// which must not make an image unusable.
type lenientTime struct{ metav1.Time }

// UnmarshalJSON implements json.Unmarshaler and never fails.
func (t *lenientTime) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil
	}
	if parsed, err := time.Parse(time.RFC3339, text); err == nil && writableTime(parsed) {
		t.Time = metav1.NewTime(parsed)
	}
	return nil
}

// writableTime reports whether t has an RFC 3339 form in UTC.
func writableTime(t time.Time) bool {
	year := t.UTC().Year()
	return t.IsZero() || (year >= 0 && year <= 9999)
}

func (c imageConfig) metadata() docker10.DockerImage {
	return docker10.DockerImage{
		ID:              c.ID,
		Parent:          c.Parent,
		Comment:         c.Comment,
		Created:         c.Created.Time,
		Container:       c.Container,
		ContainerConfig: c.ContainerConfig,
		DockerVersion:   c.DockerVersion,
		Author:          c.Author,
		Config:          c.Config,
		Architecture:    c.Architecture,
	}
}

// metadataFromConfig parses the configuration blob of a docker schema 2 or OCI image. Id is
// configDigest (as in the manifest), Size the length of config plus the distinct layers. The blob
// of an OCI artifact need not be an image configuration; metadataFromConfig uses the known keys.
func metadataFromConfig(configDigest string, config []byte, layers []imagev1.ImageLayer) (docker10.DockerImage, error) {
	c, err := readConfig(config)
	if err != nil {
		return docker10.DockerImage{}, fmt.Errorf("reading image configuration %s: %w", configDigest, err)
	}
	m := c.metadata()
	m.ID = configDigest
	m.Size = Size(configDigest, int64(len(config)), layers)
	return m, nil
}

// MetadataFromSchema1 parses the newest v1 document of a schema 1 manifest. Id is the v1 id; Size
// is the sum of the distinct layers, 0 if the manifest has no sizes.
func MetadataFromSchema1(m *Manifest) (docker10.DockerImage, error) {
	return metadataFromHistory(m, m.Layers)
}

func metadataFromHistory(schema1 *Manifest, layers []imagev1.ImageLayer) (docker10.DockerImage, error) {
	if len(schema1.history) == 0 {
		return docker10.DockerImage{}, errors.New("reading schema 1 manifest: it has no history")
	}
	c, err := readConfig([]byte(schema1.history[0]))
	if err != nil {
		return docker10.DockerImage{}, fmt.Errorf("reading history of schema 1 manifest: %w", err)
	}
	metadata := c.metadata()
	metadata.Size = Size("", 0, layers)
	return metadata, nil
}

// readConfig omits values of another type than their fields: Docker accepts a string as Entrypoint,
// and copying tools do not check configurations. It rejects text that is not a JSON object, or
// that is nested more than manifest.MaxDepth levels deep.
func readConfig(text []byte) (imageConfig, error) {
	var c imageConfig
	if manifest.TooDeep(text) {
		return c, fmt.Errorf("it is nested more than %d levels deep", manifest.MaxDepth)
	}
	err := foreignjson.Unmarshal(text, &c)
	return c, err
}

// Describe returns the metadata of an image from its configuration. The result always has the
// digest and the size, by which readers of a stream find the configuration. It has nothing else if
// the configuration was not read (config is nil) or is not one of an image, as for artifacts.
func Describe(d manifest.Descriptor, config []byte, layers []imagev1.ImageLayer) docker10.DockerImage {
	if config != nil && IsImageConfig(d.MediaType) {
		if m, err := metadataFromConfig(d.Digest.String(), config, layers); err == nil {
			return m
		}
	}
	size := max(d.Size, 0)
	if config != nil {
		size = int64(len(config))
	}
	return docker10.DockerImage{ID: d.Digest.String(), Size: Size(d.Digest.String(), size, layers)}
}

// IsImageConfig reports whether a media type is that of configurations of images, parameters
// aside. Manifests need not name it, and early ones of Docker name a general type. Other
// configurations belong to artifacts and may have keys that mean something else there.
func IsImageConfig(mediaType string) bool {
	if bare, _, err := mime.ParseMediaType(mediaType); err == nil {
		mediaType = bare
	}
	switch mediaType {
	case "", MediaTypeSchema2Config, MediaTypeOCIImageConfig, "application/octet-stream", "application/json", "text/plain":
		return true
	}
	return false
}

// Size returns the bytes of an image in a registry that stores each blob once: its configuration
// plus its distinct layers, without one that is the configuration. The sizes are untrusted, so the
// sum saturates instead of overflowing.
func Size(configDigest string, configBytes int64, layers []imagev1.ImageLayer) int64 {
	size := configBytes
	seen := map[string]bool{configDigest: configDigest != ""}
	for _, layer := range layers {
		if seen[layer.Name] || layer.LayerSize <= 0 {
			continue
		}
		seen[layer.Name] = true
		if size > math.MaxInt64-layer.LayerSize {
			return math.MaxInt64
		}
		size += layer.LayerSize
	}
	return size
}
