package stream

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPrepareCreate(t *testing.T) {
	sent := func() *imagev1.ImageStream {
		s := withStatus(streamOf(docker("b", "q.io/b", generation(7)), docker("a", "q.io/a")), history("a", event("r", "i", 1, at(1))))
		s.Generation = 12
		s.Status.DockerImageRepository = "sent/by/client"
		return s
	}
	want := withGeneration(streamOf(docker("a", "q.io/a", generation(1)), docker("b", "q.io/b", generation(1))), 1)

	s := sent()
	PrepareCreate(s)
	equal(t, "created by a client", want, s)

	s = sent()
	PrepareCreateWithStatus(s)
	want.Status = sent().Status
	equal(t, "created by the server", want, s)
}

// The generation algorithm of §1.3, with O6 and O7.
func TestPrepareUpdate(t *testing.T) {
	old := withGeneration(streamOf(
		docker("a", "q.io/a", generation(3)),
		tracking("b", "a", generation(2)),
		docker("legacy", "q.io/l"),
	), 5)
	old.Status.DockerImageRepository = "reg/p/s"
	AddEvent(old, "a", event("q.io/a@d", "d", 3, at(1)))

	for _, test := range []struct {
		name       string
		change     func(s *imagev1.ImageStream)
		generation int64
		tags       map[string]int64 // those that differ from a:3 b:2 legacy:5
	}{
		{name: "nothing", change: func(*imagev1.ImageStream) {}, generation: 5},
		{name: "the sent generation is ignored", change: func(s *imagev1.ImageStream) { s.Generation = 40 }, generation: 5},
		{name: "labels and annotations", change: func(s *imagev1.ImageStream) {
			s.Labels, s.Annotations = map[string]string{"l": "1"}, map[string]string{"a": "1"}
		}, generation: 5},
		{name: "lookup policy", change: func(s *imagev1.ImageStream) { s.Spec.LookupPolicy.Local = true }, generation: 6},
		{name: "tag generation 99", change: func(s *imagev1.ImageStream) { SpecTag(s, "a").Generation = generationOf(99) }, generation: 5},
		{name: "tag generation left out", change: func(s *imagev1.ImageStream) { SpecTag(s, "a").Generation = nil }, generation: 5},
		{name: "tag generation 0", change: func(s *imagev1.ImageStream) { SpecTag(s, "a").Generation = generationOf(0) }, generation: 6, tags: map[string]int64{"a": 6}},
		{name: "scheduled", change: func(s *imagev1.ImageStream) { SpecTag(s, "a").ImportPolicy.Scheduled = true }, generation: 6},
		{name: "insecure", change: func(s *imagev1.ImageStream) { SpecTag(s, "a").ImportPolicy.Insecure = true }, generation: 6},
		{name: "reference policy", change: func(s *imagev1.ImageStream) {
			SpecTag(s, "a").ReferencePolicy.Type = imagev1.LocalTagReferencePolicy
		}, generation: 6},
		{name: "tag annotations", change: func(s *imagev1.ImageStream) {
			SpecTag(s, "a").Annotations = map[string]string{"k": "v"}
		}, generation: 6},
		{name: "import mode", change: func(s *imagev1.ImageStream) { preserve(SpecTag(s, "a")) }, generation: 6, tags: map[string]int64{"a": 6}},
		{name: "reference", change: func(s *imagev1.ImageStream) { asReference(SpecTag(s, "a")) }, generation: 6, tags: map[string]int64{"a": 6}},
		{name: "from.name", change: func(s *imagev1.ImageStream) { SpecTag(s, "a").From.Name = "q.io/x" }, generation: 6, tags: map[string]int64{"a": 6}},
		{name: "from.namespace", change: func(s *imagev1.ImageStream) { SpecTag(s, "b").From.Namespace = "q" }, generation: 6, tags: map[string]int64{"b": 6}},
		{name: "from.namespace is its own", change: func(s *imagev1.ImageStream) { SpecTag(s, "b").From.Namespace = "p" }, generation: 6},
		{name: "from.kind (O6)", change: func(s *imagev1.ImageStream) { SpecTag(s, "b").From.Kind = KindDockerImage }, generation: 6, tags: map[string]int64{"b": 6}},
		{name: "from removed", change: func(s *imagev1.ImageStream) { SpecTag(s, "a").From = nil }, generation: 6},
		{name: "a new tag", change: func(s *imagev1.ImageStream) { SetSpecTag(s, docker("n", "q.io/n", generation(99))) }, generation: 6, tags: map[string]int64{"n": 6}},
		{name: "a new tag without from", change: func(s *imagev1.ImageStream) { SetSpecTag(s, imagev1.TagReference{Name: "n"}) }, generation: 6, tags: map[string]int64{"n": 6}},
		{name: "a tag less", change: func(s *imagev1.ImageStream) { RemoveSpecTag(s, "b") }, generation: 6, tags: map[string]int64{"b": 0}},
		{name: "status is not for clients", change: func(s *imagev1.ImageStream) { s.Status = imagev1.ImageStreamStatus{} }, generation: 5},
		{name: "tags in disorder", change: func(s *imagev1.ImageStream) {
			s.Spec.Tags[0], s.Spec.Tags[2] = s.Spec.Tags[2], s.Spec.Tags[0]
		}, generation: 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, before := old.DeepCopy(), old.DeepCopy()
			test.change(s)
			PrepareUpdate(s, before)
			equal(t, "old", old, before)
			if s.Generation != test.generation {
				t.Errorf("generation %d, want %d", s.Generation, test.generation)
			}
			want := map[string]int64{"a": 3, "b": 2, "legacy": test.generation}
			for tag, g := range test.tags {
				if want[tag] = g; g == 0 {
					delete(want, tag)
				}
			}
			equal(t, "tag generations", want, tagGenerations(s))
			equal(t, "status", old.Status, s.Status)
		})
	}
}

func TestPrepareUpdateOfStreamWithoutGeneration(t *testing.T) {
	old := streamOf()
	s := old.DeepCopy()
	PrepareUpdate(s, old)
	if s.Generation != 1 {
		t.Errorf("generation %d, want 1", s.Generation)
	}
}

func TestPrepareUpdateWithStatusKeepsStatus(t *testing.T) {
	old := withGeneration(streamOf(docker("a", "q.io/a", generation(1))), 1)
	s := old.DeepCopy()
	AddEvent(s, "a", event("r", "i", 2, at(1)))
	PrepareUpdateWithStatus(s, old)
	equal(t, "status", []imagev1.NamedTagEventList{history("a", event("r", "i", 2, at(1)))}, s.Status.Tags)
	if s.Generation != 1 {
		t.Errorf("status alone raised the generation to %d", s.Generation)
	}
}

// The status endpoint of §1.3, with O15.
func TestPrepareStatusUpdate(t *testing.T) {
	old := withStatus(withGeneration(streamOf(
		docker("a", "q.io/a", generation(3)),
		docker("b", "q.io/b"),
		docker("c", "q.io/c", generation(4)),
	), 7),
		history("a", event("q.io/a@d", "d", 3, at(1))),
		history("b", event("q.io/b@d", "d", 3, at(1))),
		history("zero", event("q.io/z@d", "d", 0, at(1))),
	)
	old.Labels, old.Annotations = map[string]string{"l": "old"}, map[string]string{"a": "old"}
	old.ResourceVersion = "10"

	s := old.DeepCopy()
	s.Labels, s.Annotations, s.Generation, s.ResourceVersion = nil, map[string]string{"a": "new"}, 99, "11"
	s.Finalizers = []string{"f"}
	s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m"}}
	s.Spec = imagev1.ImageStreamSpec{LookupPolicy: imagev1.ImageLookupPolicy{Local: true}}
	s.Status.DockerImageRepository = "as/was/sent"
	s.Status.Tags = []imagev1.NamedTagEventList{
		history("zero", event("q.io/z@d", "d", 0, at(1))), // head unchanged
		history("new", event("q.io/n@d", "d", 0, at(2))),  // no history before
		history("a", event("q.io/a@e", "e", 0, at(2))),    // spec tag with a generation
		history("b", event("q.io/b@e", "e", 0, at(2))),    // spec tag without
		history("c", event("q.io/c@d", "d", 0, at(2))),    // no history before, spec tag with one
		history("kept", event("q.io/k@d", "d", 2, at(2))), // comes with a generation
		{Tag: "empty", Conditions: []imagev1.TagEventCondition{failed("NotFound", "gone", 3, at(1))}},
	}
	PrepareStatusUpdate(s, old)

	want := old.DeepCopy()
	want.ResourceVersion = "11"
	want.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m"}}
	want.Status.DockerImageRepository = "as/was/sent"
	withStatus(want,
		history("a", event("q.io/a@e", "e", 3, at(2))),
		history("b", event("q.io/b@e", "e", 7, at(2))),
		history("c", event("q.io/c@d", "d", 7, at(2))),
		imagev1.NamedTagEventList{Tag: "empty", Conditions: []imagev1.TagEventCondition{failed("NotFound", "gone", 3, at(1))}},
		history("kept", event("q.io/k@d", "d", 2, at(2))),
		history("new", event("q.io/n@d", "d", 7, at(2))),
		history("zero", event("q.io/z@d", "d", 7, at(1))),
	)
	equal(t, "stream", want, s)
}

// A head that went back to generation 0 was written anew, see headMoved.
func TestPrepareStatusUpdateOfSameImage(t *testing.T) {
	old := withStatus(withGeneration(streamOf(docker("a", "q.io/a", generation(3))), 7), history("a", event("q.io/a@d", "d", 5, at(1))))
	s := old.DeepCopy()
	s.Status.Tags[0].Items[0].Generation = 0
	PrepareStatusUpdate(s, old)
	if got := LatestEvent(s, "a").Generation; got != 3 {
		t.Errorf("generation %d, want that of the spec tag", got)
	}
}

func tagGenerations(s *imagev1.ImageStream) map[string]int64 {
	generations := map[string]int64{}
	for _, tag := range s.Spec.Tags {
		if tag.Generation != nil {
			generations[tag.Name] = *tag.Generation
		}
	}
	return generations
}
