package stream

import (
	"errors"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

// The history rule, §1.3.4 of the contract, with O11 and O12.
func TestAddEvent(t *testing.T) {
	older := event("q.io/x@old", "old", 1, at(1))
	current := event("q.io/x@d", "d", 2, at(2))
	for _, test := range []struct {
		name string
		next imagev1.TagEvent
		want []imagev1.TagEvent // nil when nothing changes
	}{
		{name: "the same in all", next: event("q.io/x@d", "d", 2, at(9))},
		{
			name: "another generation keeps the time",
			next: event("q.io/x@d", "d", 5, at(9)),
			want: []imagev1.TagEvent{event("q.io/x@d", "d", 5, at(2)), older},
		},
		{
			name: "another image in the same place replaces it",
			next: event("q.io/x@d", "e", 5, at(9)),
			want: []imagev1.TagEvent{event("q.io/x@d", "e", 5, at(2)), older},
		},
		{
			name: "the same image in another place replaces it",
			next: event("reg/p/s@d", "d", 5, at(9)),
			want: []imagev1.TagEvent{event("reg/p/s@d", "d", 5, at(2)), older},
		},
		{
			name: "another image in another place comes first",
			next: event("q.io/x@e", "e", 5, at(9)),
			want: []imagev1.TagEvent{event("q.io/x@e", "e", 5, at(9)), current, older},
		},
		{
			name: "only the head is compared",
			next: event("q.io/x@old", "old", 1, at(9)),
			want: []imagev1.TagEvent{event("q.io/x@old", "old", 1, at(9)), current, older},
		},
		{
			name: "an older generation is a change",
			next: event("q.io/x@d", "d", 1, at(9)),
			want: []imagev1.TagEvent{event("q.io/x@d", "d", 1, at(2)), older},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			tag := history("a", current, older)
			tag.Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 2, at(3))}
			s := withStatus(streamOf(), tag)
			before := s.DeepCopy()

			changed := AddEvent(s, "a", test.next)
			if changed != (test.want != nil) {
				t.Errorf("changed: %t", changed)
			}
			if test.want == nil {
				equal(t, "stream", before, s)
				return
			}
			equal(t, "history without conditions", []imagev1.NamedTagEventList{history("a", test.want...)}, s.Status.Tags)
		})
	}

	t.Run("the first event", func(t *testing.T) {
		tag := history("b")
		tag.Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 2, at(3))}
		s := withStatus(streamOf(), tag, history("x"))
		if !AddEvent(s, "b", current) || !AddEvent(s, "a", current) {
			t.Error("nothing changed")
		}
		equal(t, "status.tags", []imagev1.NamedTagEventList{history("a", current), history("b", current), history("x")}, s.Status.Tags)
	})
}

func TestFindEvent(t *testing.T) {
	s := withStatus(streamOf(),
		history("a", event("q.io/x@1", "sha256:abc1", 2, at(5)), event("q.io/x@2", "sha256:abd2", 1, at(1))),
		history("b", event("q.io/y@2", "sha256:abd2", 1, at(2)), event("", "", 1, at(9))),
		history("c", event("q.io/z@2", "sha256:abd2", 1, at(2)), event("q.io/v@", "v", 1, at(1)), event("q.io/v1@", "v1", 1, at(1))),
	)
	equal(t, "images", []string{"sha256:abc1", "sha256:abd2", "v", "v1"}, Images(s))

	for id, want := range map[string]string{
		"sha256:abc1": "q.io/x@1",
		"sha256:abc":  "q.io/x@1",
		"abc":         "q.io/x@1",
		"abd":         "q.io/y@2", // the newest, of equals that of the first tag
		"v":           "q.io/v@",  // exactly, though v1 begins like it
	} {
		found, err := FindEvent(s, id)
		if err != nil || found.DockerImageReference != want {
			t.Errorf("%s is %v, %v; want %s", id, found, err, want)
		}
	}

	for _, id := range []string{"", "x", "sha256:abc12", "bc1"} {
		var missing *ImageNotFoundError
		if _, err := FindEvent(s, id); !errors.As(err, &missing) || missing.ID != id {
			t.Errorf("%q: %v", id, err)
		}
	}

	var ambiguous *AmbiguousImageError
	if _, err := FindEvent(s, "sha256:ab"); !errors.As(err, &ambiguous) {
		t.Fatalf("two matches: %v", err)
	}
	equal(t, "matches", &AmbiguousImageError{ID: "sha256:ab", Matches: []string{"sha256:abc1", "sha256:abd2"}}, ambiguous)
	if text := ambiguous.Error(); !strings.Contains(text, "2 images") || !strings.Contains(text, `"sha256:ab"`) {
		t.Errorf("it says %q", text)
	}
}

func TestMatchImageCountsRepeatedCandidatesOnce(t *testing.T) {
	image, err := MatchImage([]string{"sha256:a1", "sha256:a1", "sha256:b"}, "a")
	if err != nil || image != "sha256:a1" {
		t.Errorf("%q, %v", image, err)
	}
}
