package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

func limited(s *imagev1.ImageStream, limit string) *imagev1.ImageStream {
	s.Annotations = map[string]string{AnnotationHistoryLimit: limit}
	return s
}

// events are a history with these images, newest first.
func events(images ...string) []imagev1.TagEvent {
	var items []imagev1.TagEvent
	for i, name := range images {
		items = append(items, event("r@"+name, name, 1, at(len(images)-i)))
	}
	return items
}

func imagesOf(s *imagev1.ImageStream, tag string) []string {
	var names []string
	for _, e := range StatusTag(s, tag).Items {
		names = append(names, e.Image)
	}
	return names
}

func TestHistoryLimitOf(t *testing.T) {
	if limit, err := HistoryLimitOf(streamOf()); limit != 0 || err != nil {
		t.Errorf("without an annotation: %d, %v", limit, err)
	}
	for text, want := range map[string]int{"1": 1, "25": 25, "": 0, "0": 0, "-1": 0, "1.5": 0, "ten": 0, " 3": 0, "99999999999999999999": 0} {
		limit, err := HistoryLimitOf(limited(streamOf(), text))
		if limit != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", text, limit, err, want)
		}
	}
}

func TestLimitHistory(t *testing.T) {
	a, b, c, d := image("a"), image("b"), image("c"), image("d")
	of := func(kind, from string) imagev1.TagReference { return spec("named", kind, from) }
	for _, test := range []struct {
		name, limit string
		spec        []imagev1.TagReference
		want        []string
	}{
		{"no limit", "", nil, []string{a, b, c, d}},
		{"one that cannot be read", "few", nil, []string{a, b, c, d}},
		{"more than there are", "5", nil, []string{a, b, c, d}},
		{"as many as there are", "4", nil, []string{a, b, c, d}},
		{"fewer", "2", nil, []string{a, b}},
		{"only the head", "1", nil, []string{a}},
		{"an image that the spec names", "1", []imagev1.TagReference{of(KindImageStreamImage, c)}, []string{a, c}},
		{"one named with the stream", "1", []imagev1.TagReference{of(KindImageStreamImage, "s@"+d)}, []string{a, d}},
		{"one named by its beginning", "2", []imagev1.TagReference{of(KindImageStreamImage, "s@sha256:c")}, []string{a, b, c}},
		{"one of another stream", "1", []imagev1.TagReference{of(KindImageStreamImage, "other@"+d)}, []string{a}},
		{"one of another namespace", "1", []imagev1.TagReference{spec("named", KindImageStreamImage, "s@"+d, in("q"))}, []string{a}},
		{"one of a registry", "1", []imagev1.TagReference{docker("named", "q.io/x@"+d)}, []string{a, d}},
		{"a tag of a registry", "1", []imagev1.TagReference{docker("named", "q.io/x:d")}, []string{a}},
		{"a tag of the stream", "1", []imagev1.TagReference{tracking("named", "t")}, []string{a}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := withStatus(streamOf(test.spec...), history("t", events(a, b, c, d)...))
			if test.limit != "" {
				limited(s, test.limit)
			}
			if changed := LimitHistory(s); changed != (len(test.want) < 4) {
				t.Errorf("changed is %t", changed)
			}
			if got := imagesOf(s, "t"); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestLimitHistoryOfAny: whatever a stream is, its heads and the images that its spec names stay,
// no history gets longer or another order, and a second time changes nothing.
func TestLimitHistoryOfAny(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		s, limit := streamOf(), 1+random.IntN(5)
		for i := range random.IntN(4) {
			digest := image(fmt.Sprintf("%x", random.IntN(16)))
			s.Spec.Tags = append(s.Spec.Tags, []imagev1.TagReference{
				spec(fmt.Sprint("s", i), KindImageStreamImage, digest[:8+random.IntN(60)]), docker(fmt.Sprint("s", i), "q.io/x@"+digest), tracking(fmt.Sprint("s", i), "t0"),
			}[random.IntN(3)])
		}
		for i := range 1 + random.IntN(4) {
			var names []string
			for range random.IntN(10) {
				names = append(names, image(fmt.Sprintf("%x", random.IntN(16))))
			}
			s.Status.Tags = append(s.Status.Tags, history(fmt.Sprint("t", i), events(names...)...))
		}
		limited(s, fmt.Sprint(limit))
		before := s.DeepCopy()
		LimitHistory(s)
		named := namedImages(s)
		for i, now := range s.Status.Tags {
			then := before.Status.Tags[i]
			first := min(limit, len(then.Items))
			want := slices.Clone(then.Items[:first])
			for _, e := range then.Items[first:] {
				there := slices.ContainsFunc(want, func(w imagev1.TagEvent) bool { return w.Image == e.Image })
				if !there && slices.ContainsFunc(named, func(id string) bool { return strings.HasPrefix(e.Image, id) }) {
					want = append(want, e)
				}
			}
			if len(then.Items) > 0 && LatestEvent(s, then.Tag) == nil {
				t.Fatalf("tag %s lost its head", then.Tag)
			}
			equal(t, "history of "+then.Tag, want, now.Items)
		}
		again := s.DeepCopy()
		if LimitHistory(again) || !equalStreams(again, s) {
			t.Fatal("a second time changes something")
		}
	}
}
