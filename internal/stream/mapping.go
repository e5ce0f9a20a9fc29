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

// ApplyMapping makes an image the head of tags and lets the tags that track them
// follow. It reports whether anything changed. The events take the generation of the
// stream, not of the spec tags, so a push counts as an answer to a pending import.
func ApplyMapping(s *imagev1.ImageStream, tags []string, ref, image string, now metav1.Time) bool {
	next := imagev1.TagEvent{
		Created:              now.Rfc3339Copy(),
		DockerImageReference: ref,
		Image:                image,
		Generation:           s.Generation,
	}
	var changed []string
	for _, tag := range tags {
		if AddEvent(s, tag, next) {
			changed = append(changed, tag)
		}
	}
	follow(s, changed)
	return len(changed) > 0
}

// MappingConflict returns the first of the tags of a mapping that another writer moved since
// seen, "" if there is none: after a lost race, a mapping may be tried again only then.
// Changed generations and times alone do no harm.
func MappingConflict(seen, current *imagev1.ImageStream, tags []string) string {
	for _, tag := range tags {
		if mappingConflicts(seen, current, tag) {
			return tag
		}
	}
	return ""
}

func mappingConflicts(seen, current *imagev1.ImageStream, tag string) bool {
	before, after := LatestEvent(seen, tag), LatestEvent(current, tag)
	if before == nil {
		return false
	}
	return after == nil || !sameImage(before, after)
}
