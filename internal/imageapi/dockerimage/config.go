package dockerimage

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// imageConfig is an image configuration: the blob that docker schema 2 and OCI manifests point
// at, and, in schema 1, the newest v1 document. What docker knows beyond this (os, rootfs,
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

// lenientTime is zero for whatever is no time: builders write "" and worse into "created", and
// nobody should be kept from an image by that.
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

// writableTime tells that RFC 3339 has a spelling of t in UTC.
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

// MetadataFromConfig reads the configuration blob of a docker schema 2 or OCI image. Id is
// configDigest (as the manifest has it), Size the length of config plus the distinct layers.
// The blob of an OCI artifact, which need not be an image configuration, yields what it has.
func MetadataFromConfig(configDigest string, config []byte, layers []imagev1.ImageLayer) (docker10.DockerImage, error) {
	var c imageConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return docker10.DockerImage{}, fmt.Errorf("reading image configuration %s: %w", configDigest, err)
	}
	m := c.metadata()
	m.ID = configDigest
	m.Size = int64(len(config))
	addDistinct(&m.Size, layers, configDigest)
	return m, nil
}

// MetadataFromSchema1 reads the newest v1 document of a schema 1 manifest. Id is the v1 id;
// Size sums up the distinct layers and is 0 when the manifest does not tell their sizes.
func MetadataFromSchema1(manifest *Manifest) (docker10.DockerImage, error) {
	return metadataFromHistory(manifest, manifest.Layers)
}

func metadataFromHistory(manifest *Manifest, layers []imagev1.ImageLayer) (docker10.DockerImage, error) {
	if len(manifest.history) == 0 {
		return docker10.DockerImage{}, errors.New("reading schema 1 manifest: it has no history")
	}
	var c imageConfig
	if err := json.Unmarshal([]byte(manifest.history[0]), &c); err != nil {
		return docker10.DockerImage{}, fmt.Errorf("reading history of schema 1 manifest: %w", err)
	}
	m := c.metadata()
	addDistinct(&m.Size, layers, "")
	return m, nil
}

// Size is what an image takes in a registry that keeps each blob once: the bytes of its
// configuration plus its distinct layers.
func Size(configBytes int64, layers []imagev1.ImageLayer) int64 {
	size := configBytes
	addDistinct(&size, layers, "")
	return size
}

// addDistinct counts each layer once, and none that is the blob counted already. The sizes are
// foreign, so that the sum stops at the largest number instead of turning negative.
func addDistinct(size *int64, layers []imagev1.ImageLayer, counted string) {
	seen := map[string]bool{counted: counted != ""}
	for _, layer := range layers {
		if seen[layer.Name] || layer.LayerSize <= 0 {
			continue
		}
		seen[layer.Name] = true
		if *size > math.MaxInt64-layer.LayerSize {
			*size = math.MaxInt64
			return
		}
		*size += layer.LayerSize
	}
}
