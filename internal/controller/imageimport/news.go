package imageimport

import (
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/stream"
)

// news is what a change of a stream tells those who look after it.
type news struct {
	Tag     string
	Source  string // pull spec of the tag
	Failure string // message; empty when the tag was imported after a failure
}

// newsOf compares a stream with what it was (nil for one that is new): tags whose
// import failed and had not failed before for the same spec, and tags that were
// imported after a failure, whoever had them imported. In order of tags.
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

// importedNow reports whether the tag's generation was answered by an image.
func importedNow(s *imagev1.ImageStream, tag *imagev1.TagReference) bool {
	head := stream.LatestEvent(s, tag.Name)
	return importCondition(s, tag.Name) == nil && head != nil && head.Image != "" &&
		(tag.Generation == nil || head.Generation >= *tag.Generation)
}
