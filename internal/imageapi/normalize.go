package imageapi

import (
	"slices"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
)

// normalizeStream sorts spec.tags and status.tags by tag name in byte order and removes duplicates,
// as all code of the server expects. Of several entries with one name the last wins, as when the
// list is read into a map.
func normalizeStream(s *imagev1.ImageStream) {
	s.Spec.Tags = normalize(s.Spec.Tags, func(t *imagev1.TagReference) string { return t.Name })
	s.Status.Tags = normalize(s.Status.Tags, func(t *imagev1.NamedTagEventList) string { return t.Tag })
}

// normalize returns list itself if it is in order, as for all stored streams; otherwise a new
// slice, so that it does not modify a list shared with another object.
func normalize[T any](list []T, name func(*T) string) []T {
	if ordered(list, name) {
		return list
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b T) int { return strings.Compare(name(&a), name(&b)) })
	kept := sorted[:0]
	for i := range sorted {
		if i+1 < len(sorted) && name(&sorted[i]) == name(&sorted[i+1]) {
			continue
		}
		kept = append(kept, sorted[i])
	}
	return slices.Clip(kept)
}

func ordered[T any](list []T, name func(*T) string) bool {
	for i := 1; i < len(list); i++ {
		if name(&list[i-1]) >= name(&list[i]) {
			return false
		}
	}
	return true
}
