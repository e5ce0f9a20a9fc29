package imageapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	imagev1 "github.com/openshift/api/image/v1"
)

// AnnotationFurtherTags on an ImageStreamMapping: a JSON list of tags that move to the image
// together with the tag of the mapping, in one write of the stream. Either all of them move or
// none.
const AnnotationFurtherTags = "weir.dev/further-tags"

// MaxMappingTags is how many tags one mapping can move.
const MaxMappingTags = 100

// MappingTags returns the tags that a mapping moves, sorted and without duplicates. The error is
// about AnnotationFurtherTags.
func MappingTags(m *imagev1.ImageStreamMapping) ([]string, error) {
	tags := []string{m.Tag}
	if text, found := m.Annotations[AnnotationFurtherTags]; found {
		var further []string
		if err := json.Unmarshal([]byte(text), &further); err != nil {
			return nil, errors.New(`must be a JSON list of tags, such as ["1","latest"]`)
		}
		tags = append(tags, further...)
	}
	slices.Sort(tags)
	if tags = slices.Compact(tags); len(tags) > MaxMappingTags {
		return nil, fmt.Errorf("one mapping can move %d tags at most", MaxMappingTags)
	}
	if slices.Contains(tags, "") && m.Tag != "" {
		return nil, errors.New("a tag must not be empty")
	}
	return tags, nil
}

// SetMappingTags sets the tags that a mapping moves, at least one.
func SetMappingTags(m *imagev1.ImageStreamMapping, tags []string) error {
	m.Tag = tags[0]
	if len(tags) == 1 {
		delete(m.Annotations, AnnotationFurtherTags)
		return nil
	}
	text, err := json.Marshal(tags[1:])
	if err != nil {
		return fmt.Errorf("listing %d tags of a mapping: %w", len(tags), err)
	}
	if m.Annotations == nil {
		m.Annotations = map[string]string{}
	}
	m.Annotations[AnnotationFurtherTags] = string(text)
	return nil
}
