package stream

import (
	"fmt"
	"maps"
	"slices"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
)

// AnnotationImportInterval on a spec tag is the time between two looks at it on a schedule, as a
// Go duration ("5m").
const AnnotationImportInterval = "weir.dev/import-interval"

const (
	// maxIntervalProblems bounds the problems reported of one stream.
	maxIntervalProblems = 10
	// maxQuotedInterval is how much of a value is repeated.
	maxQuotedInterval = 40
)

// Intervals are how often scheduled tags are looked at.
type Intervals struct {
	// Default is for tags that name no interval, or none that can be used.
	Default time.Duration
	// Minimum is the least that a tag can have.
	Minimum time.Duration
}

// Of returns the interval of a spec tag.
func (i Intervals) Of(tag *imagev1.TagReference) time.Duration {
	interval, err := time.ParseDuration(tag.Annotations[AnnotationImportInterval])
	if err != nil || interval <= 0 {
		return i.Default
	}
	return max(interval, i.Minimum)
}

// problem returns why the interval in the annotation of a spec tag is not in effect, "" if it is.
func (i Intervals) problem(tag *imagev1.TagReference) string {
	value, set := tag.Annotations[AnnotationImportInterval]
	if !set {
		return ""
	}
	quoted := fmt.Sprintf("%.*q", maxQuotedInterval, value)
	interval, err := time.ParseDuration(value)
	switch {
	case err != nil || interval <= 0:
		return fmt.Sprintf("%s is not a duration such as 5m or 24h and has no effect; the interval is %v", quoted, i.Default)
	case interval < i.Minimum:
		return fmt.Sprintf("%s is less than the minimum, and the interval is %v (schedule.minimumInterval)", quoted, i.Minimum)
	case !tag.ImportPolicy.Scheduled || !Importable(tag):
		return "it has no effect: the tag is not scheduled (importPolicy.scheduled with a DockerImage)"
	}
	return ""
}

// Problems returns the annotations for intervals of a stream that have no effect or another than they
// name, each with its path, in the order of the tags' names. old is the stream before, whose
// problems are not repeated, or nil.
func (i Intervals) Problems(s, old *imagev1.ImageStream) []string {
	now, before := i.problems(s), map[string]string{}
	if old != nil {
		before = i.problems(old)
	}
	var found []string
	for _, path := range slices.Sorted(maps.Keys(now)) {
		if now[path] == before[path] {
			continue
		}
		if len(found) == maxIntervalProblems {
			return append(found, "further annotations "+AnnotationImportInterval+" have no effect, or another than they name")
		}
		found = append(found, path+": "+now[path])
	}
	return found
}

func (i Intervals) problems(s *imagev1.ImageStream) map[string]string {
	found := map[string]string{}
	if _, set := s.Annotations[AnnotationImportInterval]; set {
		found[fmt.Sprintf("metadata.annotations[%s]", AnnotationImportInterval)] = "it has no effect on an image stream; annotate its tags (spec.tags[].annotations)"
	}
	for n := range s.Spec.Tags {
		tag := &s.Spec.Tags[n]
		if text := i.problem(tag); text != "" {
			found[fmt.Sprintf("spec.tags[%s].annotations[%s]", tag.Name, AnnotationImportInterval)] = text
		}
	}
	return found
}
