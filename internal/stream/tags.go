package stream

import (
	"slices"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"

	"weir.dev/weir/internal/reference"
)

// Kinds that the from of a spec tag may name.
const (
	KindDockerImage      = "DockerImage"
	KindImageStreamTag   = "ImageStreamTag"
	KindImageStreamImage = "ImageStreamImage"
)

// Normalize brings spec.tags and status.tags into order: sorted by tag name, byte
// by byte, and of several entries with one name the last one stays. A stream in
// order is left as it is, without allocation.
func Normalize(s *imagev1.ImageStream) {
	s.Spec.Tags = normalized(s.Spec.Tags, specTagName)
	s.Status.Tags = normalized(s.Status.Tags, statusTagName)
}

func specTagName(t imagev1.TagReference) string        { return t.Name }
func statusTagName(t imagev1.NamedTagEventList) string { return t.Tag }

func normalized[T any](tags []T, name func(T) string) []T {
	if len(tags) == 0 {
		return nil
	}
	inOrder := true
	for i := 1; i < len(tags) && inOrder; i++ {
		inOrder = name(tags[i-1]) < name(tags[i])
	}
	if inOrder {
		return tags
	}
	// Equal names keep their order, so the last of each run was submitted last.
	slices.SortStableFunc(tags, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	kept := tags[:0]
	for i := range tags {
		if i+1 < len(tags) && name(tags[i]) == name(tags[i+1]) {
			continue
		}
		kept = append(kept, tags[i])
	}
	return slices.Clip(kept)
}

func findSpecTag(s *imagev1.ImageStream, name string) (int, bool) {
	return slices.BinarySearchFunc(s.Spec.Tags, name, func(t imagev1.TagReference, name string) int {
		return strings.Compare(t.Name, name)
	})
}

func findStatusTag(s *imagev1.ImageStream, name string) (int, bool) {
	return slices.BinarySearchFunc(s.Status.Tags, name, func(t imagev1.NamedTagEventList, name string) int {
		return strings.Compare(t.Tag, name)
	})
}

// SpecTag is the spec tag of that name, or nil. The pointer is into the stream and
// holds until spec.tags changes. A nil stream has no tags.
func SpecTag(s *imagev1.ImageStream, name string) *imagev1.TagReference {
	if s == nil {
		return nil
	}
	if i, found := findSpecTag(s, name); found {
		return &s.Spec.Tags[i]
	}
	return nil
}

// StatusTag is the status tag of that name, or nil. The pointer is into the stream
// and holds until status.tags changes. A nil stream has no tags.
func StatusTag(s *imagev1.ImageStream, name string) *imagev1.NamedTagEventList {
	if s == nil {
		return nil
	}
	if i, found := findStatusTag(s, name); found {
		return &s.Status.Tags[i]
	}
	return nil
}

// LatestEvent is the head of the tag's history, or nil. The pointer is into the
// stream.
func LatestEvent(s *imagev1.ImageStream, tag string) *imagev1.TagEvent {
	return head(StatusTag(s, tag))
}

func head(t *imagev1.NamedTagEventList) *imagev1.TagEvent {
	if t == nil || len(t.Items) == 0 {
		return nil
	}
	return &t.Items[0]
}

// TagNames are the names of all tags in spec or status, sorted.
func TagNames(s *imagev1.ImageStream) []string {
	names := make([]string, 0, max(len(s.Spec.Tags), len(s.Status.Tags)))
	spec, status := s.Spec.Tags, s.Status.Tags
	for len(spec) > 0 || len(status) > 0 {
		switch {
		case len(status) == 0 || (len(spec) > 0 && spec[0].Name < status[0].Tag):
			names, spec = append(names, spec[0].Name), spec[1:]
		case len(spec) == 0 || status[0].Tag < spec[0].Name:
			names, status = append(names, status[0].Tag), status[1:]
		default:
			names, spec, status = append(names, spec[0].Name), spec[1:], status[1:]
		}
	}
	return names
}

// SetSpecTag adds the tag to spec, or replaces the one of its name.
func SetSpecTag(s *imagev1.ImageStream, tag imagev1.TagReference) {
	i, found := findSpecTag(s, tag.Name)
	if found {
		s.Spec.Tags[i] = tag
		return
	}
	s.Spec.Tags = slices.Insert(s.Spec.Tags, i, tag)
}

// RemoveSpecTag removes the tag from spec and reports whether it was there. Its
// history stays.
func RemoveSpecTag(s *imagev1.ImageStream, name string) bool {
	i, found := findSpecTag(s, name)
	if found {
		s.Spec.Tags = slices.Delete(s.Spec.Tags, i, i+1)
	}
	return found
}

// RemoveStatusTag removes the tag's history and conditions and reports whether
// there were any. Tags that copied from it keep what they have.
func RemoveStatusTag(s *imagev1.ImageStream, name string) bool {
	i, found := findStatusTag(s, name)
	if found {
		s.Status.Tags = slices.Delete(s.Status.Tags, i, i+1)
	}
	return found
}

// ensureStatusTag is StatusTag, with an empty entry made where there is none.
func ensureStatusTag(s *imagev1.ImageStream, name string) *imagev1.NamedTagEventList {
	i, found := findStatusTag(s, name)
	if !found {
		s.Status.Tags = slices.Insert(s.Status.Tags, i, imagev1.NamedTagEventList{Tag: name})
	}
	return &s.Status.Tags[i]
}

// tagSource is the tag or image of an image stream that a spec tag's from names.
type tagSource struct {
	Namespace string
	Stream    string
	Tag       string // of a from of kind ImageStreamTag
	Image     string // of a from of kind ImageStreamImage; may be shortened
}

// sourceOf reads the from of a spec tag of stream s. It is ok for the two kinds
// that name an image stream and well-formed names only.
func sourceOf(s *imagev1.ImageStream, from *corev1.ObjectReference) (source tagSource, ok bool) {
	if from == nil {
		return tagSource{}, false
	}
	var err error
	switch from.Kind {
	case KindImageStreamTag:
		source.Stream, source.Tag, err = reference.ParseTagFrom(from.Name)
	case KindImageStreamImage:
		source.Stream, source.Image, err = reference.ParseImageFrom(from.Name)
	default:
		return tagSource{}, false
	}
	if err != nil {
		return tagSource{}, false
	}
	if source.Stream == "" {
		source.Stream = s.Name
	}
	source.Namespace = namespaceOr(from.Namespace, s.Namespace)
	return source, true
}

// isIn reports whether the source is in stream s itself.
func (t tagSource) isIn(s *imagev1.ImageStream) bool {
	return t.Stream == s.Name && t.Namespace == s.Namespace
}
