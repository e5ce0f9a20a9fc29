package stream

import (
	"math/rand/v2"
	"strconv"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

func heads(s *imagev1.ImageStream) map[string]string {
	images := map[string]string{}
	for _, name := range TagNames(s) {
		if newest := LatestEvent(s, name); newest != nil {
			images[name] = newest.Image
		}
	}
	return images
}

func TestFollow(t *testing.T) {
	for _, test := range []struct {
		name string
		tags []imagev1.TagReference
		push map[string]string // tag: image
		want map[string]string
	}{
		{
			name: "along a chain, O9",
			tags: []imagev1.TagReference{tracking("b", "a"), tracking("c", "s:b"), tracking("d", "c", in("p")), tracking("z", "y")},
			push: map[string]string{"a": "1"},
			want: map[string]string{"a": "1", "b": "1", "c": "1", "d": "1"},
		},
		{
			name: "from the middle of a chain",
			tags: []imagev1.TagReference{tracking("b", "a"), tracking("c", "b")},
			push: map[string]string{"b": "1"},
			want: map[string]string{"b": "1", "c": "1"},
		},
		{
			name: "others do not",
			tags: []imagev1.TagReference{
				docker("docker", "a"), tracking("elsewhere", "a", in("q")), tracking("stream", "other:a"),
				spec("image", KindImageStreamImage, "a"), tracking("bad", "s:a:b"), {Name: "empty"},
			},
			push: map[string]string{"a": "1"},
			want: map[string]string{"a": "1"},
		},
		{
			name: "two in a ring",
			tags: []imagev1.TagReference{tracking("a", "b"), tracking("b", "a")},
			push: map[string]string{"a": "1"},
			want: map[string]string{"a": "1", "b": "1"},
		},
		{
			name: "a tag of itself",
			tags: []imagev1.TagReference{tracking("a", "a"), tracking("b", "a")},
			push: map[string]string{"a": "1"},
			want: map[string]string{"a": "1", "b": "1"},
		},
		{
			name: "the source leads when both changed, whatever their names",
			tags: []imagev1.TagReference{tracking("a", "m"), tracking("m", "z")},
			push: map[string]string{"a": "1", "z": "2"},
			want: map[string]string{"a": "2", "m": "2", "z": "2"},
		},
		{
			name: "in a ring that changed as a whole the first leads, tails too",
			tags: []imagev1.TagReference{tracking("a", "b"), tracking("b", "c"), tracking("c", "b")},
			push: map[string]string{"a": "1", "b": "2", "c": "3"},
			want: map[string]string{"a": "2", "b": "2", "c": "2"},
		},
		{
			name: "a ring entered from one changed tag",
			tags: []imagev1.TagReference{tracking("a", "c"), tracking("b", "a"), tracking("c", "b"), tracking("0", "b")},
			push: map[string]string{"b": "2"},
			want: map[string]string{"0": "2", "a": "2", "b": "2", "c": "2"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := streamOf(test.tags...)
			s := old.DeepCopy()
			for tag, image := range test.push {
				AddEvent(s, tag, event("q.io/x@"+image, image, 3, at(1)))
			}
			follow(s, changedHeads(s, old))
			equal(t, "heads", test.want, heads(s))
			for tag := range test.want {
				if newest := LatestEvent(s, tag); newest.Generation != 3 || !newest.Created.Equal(new(at(1))) {
					t.Errorf("%s has %+v, not the same event", tag, newest)
				}
			}
			if follow(s, changedHeads(s, old)) && len(test.push) == 1 {
				t.Error("following again writes again")
			}
		})
	}
}

func TestFollowWithoutHistory(t *testing.T) {
	s := streamOf(tracking("b", "a"))
	if follow(s, []string{"a"}) || follow(s, nil) || len(s.Status.Tags) > 0 {
		t.Error("there was nothing to follow")
	}
}

// Whatever tracks whatever, following ends and leaves no tag behind its source.
func TestFollowOnAnyGraph(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		size := 1 + random.IntN(8)
		s := streamOf()
		for i := range size {
			if source := random.IntN(size + 2); source < size {
				SetSpecTag(s, tracking(strconv.Itoa(i), strconv.Itoa(source)))
			}
		}
		old := s.DeepCopy()
		for i := range size {
			if random.IntN(3) == 0 {
				AddEvent(s, strconv.Itoa(i), event("q.io/x@"+strconv.Itoa(i), strconv.Itoa(i), 1, at(1)))
			}
		}
		pushed := heads(s)
		follow(s, changedHeads(s, old))
		followed := heads(s)
		for tag, source := range trackedTags(s) {
			if image, found := followed[source]; found && followed[tag] != image {
				t.Fatalf("round %d: %s has %q, its source %s has %q\ntracked %v\npushed %v\nfollowed %v",
					round, tag, followed[tag], source, image, trackedTags(s), pushed, followed)
			}
		}
	}
}
