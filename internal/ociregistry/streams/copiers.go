package streams

import (
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/stream"
)

// copiers are the streams that have copies, by the repository that they copied from: the removal
// of a stream need not look through all others. known's lock protects it.
type copiers map[string]map[types.NamespacedName]struct{}

// replace records another version of a stream, a new stream, or a deleted one: nil.
func (c copiers) replace(id types.NamespacedName, before, after *imagev1.ImageStream) {
	was, is := copiedFromOf(before), copiedFromOf(after)
	if was == is {
		return
	}
	if was != "" {
		for _, source := range stream.CopySources(before) {
			if delete(c[source.Repository], id); len(c[source.Repository]) == 0 {
				delete(c, source.Repository)
			}
		}
	}
	if is == "" {
		return
	}
	for _, source := range stream.CopySources(after) {
		if c[source.Repository] == nil {
			c[source.Repository] = map[types.NamespacedName]struct{}{}
		}
		c[source.Repository][id] = struct{}{}
	}
}

// copiedFromOf is the record of a stream's copy sources, "" without one.
func copiedFromOf(s *imagev1.ImageStream) string {
	if s == nil {
		return ""
	}
	return s.Annotations[stream.AnnotationCopiedFrom]
}
