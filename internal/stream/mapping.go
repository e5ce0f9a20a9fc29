package stream

import (
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MappingReference is the reference that the event of an ImageStreamMapping gets:
// the submitted image's own, or, if the Image existed and the submitted one says that
// the integrated registry manages it, its place in the stream's repository. An
// existing Image may have been pushed through another stream first.
func MappingReference(s *imagev1.ImageStream, submitted *imagev1.Image, existed bool) string {
	managed := submitted.Annotations[imagev1.ManagedByOpenShiftAnnotation] == "true"
	if existed && managed && s.Status.DockerImageRepository != "" {
		return s.Status.DockerImageRepository + "@" + submitted.Name
	}
	return submitted.DockerImageReference
}

// ApplyMapping makes an image the head of a tag and lets the tags that track it
// follow. It reports whether anything changed. The event takes the generation of the
// stream, not of the spec tag, so a push counts as an answer to a pending import.
func ApplyMapping(s *imagev1.ImageStream, tag, ref, image string, now metav1.Time) bool {
	changed := AddEvent(s, tag, imagev1.TagEvent{
		Created:              now.Rfc3339Copy(),
		DockerImageReference: ref,
		Image:                image,
		Generation:           s.Generation,
	})
	if !changed {
		return false
	}
	Follow(s, []string{tag})
	return true
}

// MappingConflicts decides, after a lost race, whether a mapping onto tag may be
// tried again: it may not when another writer moved the head that this one saw.
// Changed generations and times alone do no harm.
func MappingConflicts(seen, current *imagev1.ImageStream, tag string) bool {
	before, after := LatestEvent(seen, tag), LatestEvent(current, tag)
	if before == nil {
		return false
	}
	return after == nil || !sameImage(before, after)
}
