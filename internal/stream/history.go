package stream

import (
	"fmt"
	"slices"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/reference"
)

// AddEvent makes next the head of the tag's history and reports whether that
// changed anything.
//
// The history has one entry for each pair of an image and a place to pull it from.
// When next shares the image or the reference with the head, the head is brought
// up to date in place and keeps its time; when it shares both and the generation,
// nothing happens. Any change clears the tag's conditions. There is no limit on
// the length of a history here; LimitHistory and pruning shorten it.
func AddEvent(s *imagev1.ImageStream, tag string, next imagev1.TagEvent) bool {
	t := ensureStatusTag(s, tag)
	current := head(t)
	switch {
	case current == nil:
		t.Items = []imagev1.TagEvent{next}
	case sameImage(current, &next):
		if current.Generation == next.Generation {
			return false
		}
		current.Generation = next.Generation
	case current.DockerImageReference == next.DockerImageReference:
		current.Image, current.Generation = next.Image, next.Generation
	case current.Image == next.Image:
		current.DockerImageReference, current.Generation = next.DockerImageReference, next.Generation
	default:
		t.Items = slices.Insert(t.Items, 0, next)
	}
	t.Conditions = nil
	return true
}

// sameImage reports whether two events name the same image in the same place.
func sameImage(a, b *imagev1.TagEvent) bool {
	return a.Image == b.Image && a.DockerImageReference == b.DockerImageReference
}

// headMoved reports whether a tag points to something else than before. A head
// that went back to an older generation was written anew and counts as moved; one
// whose generation was raised in place does not.
func headMoved(before, after *imagev1.TagEvent) bool {
	if before == nil || after == nil {
		return before != after
	}
	return !sameImage(before, after) || before.Generation > after.Generation
}

// ImageNotFoundError reports an id that no image of the stream's history matches.
type ImageNotFoundError struct{ ID string }

func (e *ImageNotFoundError) Error() string {
	return fmt.Sprintf("no image of the stream matches %q", e.ID)
}

// AmbiguousImageError reports an id that several distinct images match.
type AmbiguousImageError struct {
	ID      string
	Matches []string // names of the images, sorted
}

func (e *AmbiguousImageError) Error() string {
	return fmt.Sprintf("%d images of the stream match %q; give more of the digest", len(e.Matches), e.ID)
}

// MatchImage picks the one name among candidates that id stands for: the name
// itself, or a unique beginning of it (see reference.MatchesImage). Candidates may
// repeat. The error is an *ImageNotFoundError or an *AmbiguousImageError.
func MatchImage(candidates []string, id string) (string, error) {
	var matches []string
	for _, image := range candidates {
		if image == id && id != "" {
			return image, nil
		}
		if reference.MatchesImage(image, id) {
			matches = append(matches, image)
		}
	}
	slices.Sort(matches)
	matches = slices.Compact(matches)
	switch len(matches) {
	case 0:
		return "", &ImageNotFoundError{ID: id}
	case 1:
		return matches[0], nil
	}
	return "", &AmbiguousImageError{ID: id, Matches: matches}
}

// FindEvent finds the image that id stands for in the history of all tags and
// returns the newest event that names it; of equally new ones the one of the first
// tag by name. The pointer is into the stream. Errors are those of MatchImage.
func FindEvent(s *imagev1.ImageStream, id string) (*imagev1.TagEvent, error) {
	image, err := MatchImage(Images(s), id)
	if err != nil {
		return nil, err
	}
	var newest *imagev1.TagEvent
	for i := range s.Status.Tags {
		items := s.Status.Tags[i].Items
		for j := range items {
			if items[j].Image != image {
				continue
			}
			if newest == nil || items[j].Created.After(newest.Created.Time) {
				newest = &items[j]
			}
		}
	}
	return newest, nil
}

// Images are the names of the distinct images in the history of all tags, in order
// of their first appearance. Events without an image do not count.
func Images(s *imagev1.ImageStream) []string {
	var images []string
	seen := map[string]struct{}{}
	for i := range s.Status.Tags {
		for j := range s.Status.Tags[i].Items {
			image := s.Status.Tags[i].Items[j].Image
			if _, found := seen[image]; found || image == "" {
				continue
			}
			seen[image] = struct{}{}
			images = append(images, image)
		}
	}
	return images
}
