package stream

import (
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/reference"
)

// Importable reports whether the importer is responsible for a spec tag: it names an
// image in a registry, and not merely for reference.
func Importable(tag *imagev1.TagReference) bool {
	return tag.From != nil && tag.From.Kind == KindDockerImage && tag.From.Name != "" && !tag.Reference
}

// ObservedGeneration is the newest generation of a spec tag that has been answered,
// by an image or by a failure. Of conditions only the first ImportSuccess counts.
// 0 means that nothing has been answered.
func ObservedGeneration(s *imagev1.ImageStream, tag string) int64 {
	status := StatusTag(s, tag)
	if status == nil {
		return 0
	}
	var observed int64
	if newest := head(status); newest != nil {
		observed = newest.Generation
	}
	for i := range status.Conditions {
		if status.Conditions[i].Type == imagev1.ImportSuccess {
			return max(observed, status.Conditions[i].Generation)
		}
	}
	return observed
}

// ImportNeed lists the pending imports of a stream.
type ImportNeed struct {
	Repository bool     // the whole of spec.dockerImageRepository
	Tags       []string // spec tags, sorted
}

// Empty reports whether nothing is wanted.
func (n ImportNeed) Empty() bool { return !n.Repository && len(n.Tags) == 0 }

// ImportNeeds decides what of a stream is to be imported. A stream never imported
// from (without the annotation openshift.io/image.dockerRepositoryCheck) that is
// backed by a repository wants that and all its importable tags. Otherwise wanted are
// the importable tags whose generation has no answer yet, and on a stream never
// imported from those without a generation.
func ImportNeeds(s *imagev1.ImageStream) ImportNeed {
	unchecked := s.Annotations[imagev1.DockerImageRepositoryCheckAnnotation] == ""
	need := ImportNeed{Repository: unchecked && s.Spec.DockerImageRepository != ""}
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		if !Importable(tag) {
			continue
		}
		var wanted bool
		switch {
		case need.Repository:
			wanted = true
		case tag.Generation == nil:
			wanted = unchecked
		default:
			wanted = *tag.Generation > ObservedGeneration(s, tag.Name)
		}
		if wanted {
			need.Tags = append(need.Tags, tag.Name)
		}
	}
	return need
}

// ScheduledTags are the spec tags that are to be re-imported on a schedule, sorted.
// What a digest names never changes, so such a tag is scheduled only until its image
// came in for its current generation. Pull specs that do not parse are left out.
func ScheduledTags(s *imagev1.ImageStream) []string {
	var scheduled []string
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		if !tag.ImportPolicy.Scheduled || !Importable(tag) {
			continue
		}
		spec, err := reference.Parse(tag.From.Name)
		if err != nil || (spec.ID != "" && imported(s, tag)) {
			continue
		}
		scheduled = append(scheduled, tag.Name)
	}
	return scheduled
}

// imported reports whether the tag's current generation was answered by an image.
func imported(s *imagev1.ImageStream, tag *imagev1.TagReference) bool {
	newest := LatestEvent(s, tag.Name)
	return newest != nil && newest.Image != "" && (tag.Generation == nil || newest.Generation >= *tag.Generation)
}
