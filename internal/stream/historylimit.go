package stream

import (
	"errors"
	"slices"
	"strconv"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/reference"
)

// AnnotationHistoryLimit on a stream: how many events the history of each tag keeps, a number
// from 1 on. Without it a history keeps all of them, as the API promises.
const AnnotationHistoryLimit = "weir.dev/history-limit"

// HistoryLimitOf returns the limit of a stream, 0 if it has none. The error describes
// an annotation that cannot be read.
func HistoryLimitOf(s *imagev1.ImageStream) (int, error) {
	text, found := s.Annotations[AnnotationHistoryLimit]
	if !found {
		return 0, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 {
		return 0, errors.New("must be a number of events, 1 or more")
	}
	return limit, nil
}

// LimitHistory shortens the history of each tag to the limit of the stream, and reports whether
// it changed anything. The newest events stay. So does the newest event of each image that the
// spec names by digest: a tag that points to an image of the history finds it there. Without a limit, or with
// one that cannot be read, nothing is removed.
func LimitHistory(s *imagev1.ImageStream) bool {
	limit, err := HistoryLimitOf(s)
	if err != nil || limit == 0 {
		return false
	}
	var named []string
	changed := false
	for i := range s.Status.Tags {
		t := &s.Status.Tags[i]
		if len(t.Items) <= limit {
			continue
		}
		if named == nil {
			named = namedImages(s)
		}
		kept := slices.Clone(t.Items[:limit])
		for _, event := range t.Items[limit:] {
			if isNamed(named, event.Image) && !hasEventOf(kept, event.Image) {
				kept = append(kept, event)
			}
		}
		changed = changed || len(kept) < len(t.Items)
		t.Items = kept
	}
	return changed
}

// namedImages are the digests, or beginnings of them, by which the spec of a stream names
// images of its own history.
func namedImages(s *imagev1.ImageStream) []string {
	named := []string{}
	for i := range s.Spec.Tags {
		from := s.Spec.Tags[i].From
		if from == nil {
			continue
		}
		if source, ok := sourceOf(s, from); ok {
			if source.isIn(s) && source.Image != "" {
				named = append(named, source.Image)
			}
			continue
		}
		if spec, err := reference.Parse(from.Name); err == nil && spec.ID != "" && from.Kind == KindDockerImage {
			named = append(named, spec.ID)
		}
	}
	return named
}

func isNamed(named []string, image string) bool {
	return slices.ContainsFunc(named, func(id string) bool { return reference.MatchesImage(image, id) })
}

func hasEventOf(events []imagev1.TagEvent, image string) bool {
	return slices.ContainsFunc(events, func(e imagev1.TagEvent) bool { return e.Image == image })
}
