package imageimport

import (
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/stream"
)

// news is a change of a tag's import result that users should see as an Event.
type news struct {
	Tag     string
	Source  string // pull spec of the tag
	Failure string // message; empty if the tag was imported after a failure
}

// newsOf compares a stream with its former version (nil for a new one). It returns tags whose
// import failed for the first time for the same spec, and tags that were imported after a
// failure, by any client. In order of tags.
func newsOf(before, after *imagev1.ImageStream) []news {
	var all []news
	for i := range after.Spec.Tags {
		tag := &after.Spec.Tags[i]
		if !stream.Importable(tag) {
			continue
		}
		if failure := failureOf(after, tag); failure != nil {
			if old := stream.SpecTag(before, tag.Name); old == nil || failureOf(before, old) == nil {
				all = append(all, news{Tag: tag.Name, Source: tag.From.Name, Failure: failure.Message})
			}
			continue
		}
		if before != nil && importCondition(before, tag.Name) != nil && importedNow(after, tag) {
			all = append(all, news{Tag: tag.Name, Source: tag.From.Name})
		}
	}
	return all
}

// importedNow reports whether the tag's generation has been imported.
func importedNow(s *imagev1.ImageStream, tag *imagev1.TagReference) bool {
	head := stream.LatestEvent(s, tag.Name)
	return importCondition(s, tag.Name) == nil && head != nil && head.Image != "" &&
		(tag.Generation == nil || head.Generation >= *tag.Generation)
}
