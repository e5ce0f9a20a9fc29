package stream

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

func TestNormalize(t *testing.T) {
	s := &imagev1.ImageStream{}
	s.Spec.Tags = []imagev1.TagReference{
		docker("b", "q.io/first"), docker("a", "q.io/a"), docker("b", "q.io/second"), docker("B", "q.io/B"), docker("b", "q.io/last"),
	}
	s.Status.Tags = []imagev1.NamedTagEventList{
		history("z", event("r", "first", 1, at(1))), history("10"), history("9"), history("z", event("r", "last", 1, at(1))),
	}
	Normalize(s)
	equal(t, "spec.tags", []imagev1.TagReference{docker("B", "q.io/B"), docker("a", "q.io/a"), docker("b", "q.io/last")}, s.Spec.Tags)
	equal(t, "status.tags", []imagev1.NamedTagEventList{
		history("10"), history("9"), history("z", event("r", "last", 1, at(1))),
	}, s.Status.Tags)

	first := &s.Spec.Tags[0]
	if allocations := testing.AllocsPerRun(10, func() { Normalize(s) }); allocations != 0 || first != &s.Spec.Tags[0] {
		t.Errorf("a stream in order is touched: %v allocations", allocations)
	}

	s.Spec.Tags, s.Status.Tags = []imagev1.TagReference{}, []imagev1.NamedTagEventList{}
	Normalize(s)
	if s.Spec.Tags != nil || s.Status.Tags != nil {
		t.Error("empty lists stay lists")
	}
}

func TestFindTags(t *testing.T) {
	s := withStatus(streamOf(docker("b", "q.io/b"), docker("d", "q.io/d")),
		history("c", event("r2", "i2", 2, at(2)), event("r1", "i1", 1, at(1))), history("d"))
	for _, name := range []string{"b", "d"} {
		if tag := SpecTag(s, name); tag == nil || tag.Name != name {
			t.Errorf("spec tag %s: %v", name, tag)
		}
	}
	for _, name := range []string{"", "a", "c", "e"} {
		if tag := SpecTag(s, name); tag != nil {
			t.Errorf("spec tag %s: %v", name, tag)
		}
	}
	if newest := LatestEvent(s, "c"); newest == nil || newest.Image != "i2" {
		t.Errorf("latest event of c: %v", newest)
	}
	for _, name := range []string{"b", "d", "x"} {
		if newest := LatestEvent(s, name); newest != nil {
			t.Errorf("latest event of %s: %v", name, newest)
		}
	}
	if SpecTag(nil, "b") != nil || StatusTag(nil, "b") != nil || LatestEvent(nil, "b") != nil {
		t.Error("no stream has tags")
	}
	equal(t, "names", []string{"b", "c", "d"}, TagNames(s))
	equal(t, "names of spec", []string{"b", "d"}, TagNames(streamOf(docker("b", "q.io/b"), docker("d", "q.io/d"))))
	equal(t, "names of status", []string{"x", "y"}, TagNames(withStatus(streamOf(), history("y"), history("x"))))
}

func TestSetAndRemoveTags(t *testing.T) {
	s := streamOf(docker("b", "q.io/b"))
	SetSpecTag(s, docker("c", "q.io/c"))
	SetSpecTag(s, docker("a", "q.io/a"))
	SetSpecTag(s, docker("b", "q.io/other"))
	equal(t, "after setting", []imagev1.TagReference{docker("a", "q.io/a"), docker("b", "q.io/other"), docker("c", "q.io/c")}, s.Spec.Tags)
	AddEvent(s, "b", event("r", "i", 1, at(1)))

	if !RemoveSpecTag(s, "b") || RemoveSpecTag(s, "b") {
		t.Error("the spec tag is removed once")
	}
	if LatestEvent(s, "b") == nil {
		t.Error("removing a spec tag took its history along")
	}
	if !RemoveStatusTag(s, "b") || RemoveStatusTag(s, "b") {
		t.Error("the status tag is removed once")
	}
	equal(t, "what is left", []string{"a", "c"}, TagNames(s))
}
