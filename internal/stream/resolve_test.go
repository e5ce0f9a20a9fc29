package stream

import (
	"errors"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const internalHost = "reg.svc:5000"

// resolver knows the streams given and counts what it is asked.
func resolver(asked map[string]int, known ...*imagev1.ImageStream) Resolver {
	return Resolver{
		Now:   at(30),
		Hosts: Registries{Internal: internalHost},
		Source: func(namespace, name string) (*imagev1.ImageStream, error) {
			key := namespace + "/" + name
			asked[key]++
			for _, s := range known {
				if s.Namespace == namespace && s.Name == name {
					return s, nil
				}
			}
			if name == "broken" {
				return nil, errors.New("store is down")
			}
			return nil, apierrors.NewNotFound(imagev1.Resource("imagestreams"), name)
		},
	}
}

// otherStream has, in namespace and name, tag x with two images, and tag none without.
func otherStream(namespace, name string) *imagev1.ImageStream {
	repository := internalHost + "/" + namespace + "/" + name
	return named(withStatus(streamOf(),
		history("none"),
		history("x",
			event(repository+"@"+image("b2"), image("b2"), 9, at(9)),
			event("q.io/x@"+image("b1"), image("b1"), 8, at(8))),
	), namespace, name)
}

func TestResolve(t *testing.T) {
	for _, test := range []struct {
		name string
		tag  imagev1.TagReference
		want *imagev1.TagEvent
		err  *field.Error // Type, Field and BadValue
	}{
		{name: "to be imported", tag: docker("t", "q.io/x:1")},
		{name: "no from", tag: imagev1.TagReference{Name: "t"}},
		{name: "an empty from", tag: spec("t", "", "")},
		{
			name: "reference only", tag: docker("t", "q.io/x:1", asReference),
			want: new(event("q.io/x:1", "", 5, at(30))),
		},
		{
			name: "tag of another stream, pushed there: pulled through this stream",
			tag:  tracking("t", "other:x"),
			want: new(event(internalHost+"/p/s@"+image("b2"), image("b2"), 5, at(9))),
		},
		{
			name: "tag of another stream, for reference: pulled there",
			tag:  tracking("t", "other:x", asReference),
			want: new(event(internalHost+"/p/other@"+image("b2"), image("b2"), 5, at(9))),
		},
		{
			name: "tag of another namespace",
			tag:  tracking("t", "other:x", in("q")),
			want: new(event(internalHost+"/p/s@"+image("b2"), image("b2"), 5, at(9))),
		},
		{
			name: "bare tag of another namespace is of the stream of this name",
			tag:  tracking("t", "x", in("q")),
			want: new(event(internalHost+"/p/s@"+image("b2"), image("b2"), 5, at(9))),
		},
		{name: "tag without history", tag: tracking("t", "other:none")},
		{name: "tag that is not there", tag: tracking("t", "other:missing")},
		{
			name: "tag of this stream", tag: tracking("t", "own"),
			want: new(event("q.io/own@"+image("c1"), image("c1"), 5, at(7))),
		},
		{
			name: "tag of this stream by its full name", tag: tracking("t", "s:own", in("p")),
			want: new(event("q.io/own@"+image("c1"), image("c1"), 5, at(7))),
		},
		{
			name: "image of another stream, external", tag: spec("t", KindImageStreamImage, "other@sha256:b1"),
			want: new(event("q.io/x@"+image("b1"), image("b1"), 5, at(30))),
		},
		{
			name: "image of another stream, shortened", tag: spec("t", KindImageStreamImage, "other@b2"),
			want: new(event(internalHost+"/p/s@"+image("b2"), image("b2"), 5, at(30))),
		},
		{
			name: "image of this stream", tag: spec("t", KindImageStreamImage, "sha256:c1"),
			want: new(event("q.io/own@"+image("c1"), image("c1"), 5, at(30))),
		},
		{name: "no such stream", tag: tracking("t", "missing:x"), err: field.NotFound(FromPath("t").Child("name"), "missing:x")},
		{name: "stream cannot be loaded", tag: tracking("t", "broken:x"), err: field.Invalid(FromPath("t").Child("name"), "broken:x", "")},
		{name: "three parts", tag: tracking("t", "a:b:c"), err: field.Invalid(FromPath("t").Child("name"), "a:b:c", "")},
		{name: "two ids", tag: spec("t", KindImageStreamImage, "a@b@c"), err: field.Invalid(FromPath("t").Child("name"), "a@b@c", "")},
		{name: "no such image", tag: spec("t", KindImageStreamImage, "other@c"), err: field.Invalid(FromPath("t").Child("name"), "other@c", "")},
		{name: "several images", tag: spec("t", KindImageStreamImage, "other@b"), err: field.Invalid(FromPath("t").Child("name"), "other@b", "")},
		{name: "another kind", tag: spec("t", "Pod", "x"), err: field.Invalid(FromPath("t").Child("name"), "x", "")},
		{name: "no kind", tag: spec("t", "", "x"), err: field.Invalid(FromPath("t").Child("name"), "x", "")},
		{name: "docker image without a name", tag: docker("t", ""), err: field.Invalid(FromPath("t").Child("name"), "", "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := withStatus(withGeneration(streamOf(), 5), history("own", event("q.io/own@"+image("c1"), image("c1"), 2, at(7))))
			s := old.DeepCopy()
			SetSpecTag(s, test.tag)
			errs := resolver(map[string]int{}, otherStream("p", "other"), otherStream("q", "other"), otherStream("q", "s")).Resolve(s, old)

			if test.err != nil {
				if len(errs) != 1 || errs[0].Type != test.err.Type || errs[0].Field != test.err.Field || errs[0].BadValue != test.err.BadValue {
					t.Fatalf("errors %v, want one like %v", errs, test.err)
				}
			} else if len(errs) > 0 {
				t.Fatalf("errors %v", errs)
			}
			want := old.DeepCopy().Status.Tags // own is not touched: O10
			if test.want != nil {
				want = append(want, history("t", *test.want))
			}
			equal(t, "status.tags", want, s.Status.Tags)
		})
	}
}

func TestResolveErrorSaysWhy(t *testing.T) {
	s := streamOf(spec("t", KindImageStreamImage, "other@b"))
	errs := resolver(map[string]int{}, otherStream("p", "other")).Resolve(s, nil)
	const want = `spec.tags[t].from.name: Invalid value: "other@b": error generating tag event: 2 images of the stream match "b"; give more of the digest`
	if len(errs) != 1 || errs[0].Error() != want {
		t.Errorf("errors %v, want %s", errs, want)
	}
}

func TestResolveRewritesOnlyTheSourceRepository(t *testing.T) {
	for ref, want := range map[string]string{
		internalHost + "/q/other@" + id('b'):     internalHost + "/p/s@" + id('b'),
		internalHost + "/q/third@" + id('b'):     internalHost + "/q/third@" + id('b'),
		internalHost + "/q/other/sub@" + id('b'): internalHost + "/q/other/sub@" + id('b'),
		"elsewhere:5000/q/other@" + id('b'):      "elsewhere:5000/q/other@" + id('b'),
		"this is no reference":                   "this is no reference",
	} {
		source := named(withStatus(streamOf(), history("x", event(ref, id('b'), 1, at(1)))), "q", "other")
		s := streamOf(tracking("t", "other:x", in("q")))
		r := resolver(map[string]int{}, source)
		if errs := r.Resolve(s, nil); len(errs) > 0 {
			t.Fatal(errs)
		}
		if got := LatestEvent(s, "t").DockerImageReference; got != want {
			t.Errorf("%s becomes %s, want %s", ref, got, want)
		}
		r.Hosts.Internal = ""
		s = streamOf(tracking("t", "other:x", in("q")))
		r.Resolve(s, nil)
		if got := LatestEvent(s, "t").DockerImageReference; got != ref {
			t.Errorf("without a registry %s becomes %s", ref, got)
		}
	}
}

// TestResolveRewritesReferencesOfFormerHosts: the registry had other internal names, by
// which stored events call it. Its public name was never one of those.
func TestResolveRewritesReferencesOfFormerHosts(t *testing.T) {
	hosts := Registries{
		Internal: internalHost, Public: "reg.example", Former: []string{"before:5000"}, Remembered: map[string]time.Time{"remembered:5000": at(1).Time},
	}
	for ref, want := range map[string]string{
		"before:5000/q/other@" + id('b'):     internalHost + "/p/s@" + id('b'),
		"remembered:5000/q/other@" + id('b'): internalHost + "/p/s@" + id('b'),
		"before:5000/q/third@" + id('b'):     "before:5000/q/third@" + id('b'),
		"reg.example/q/other@" + id('b'):     "reg.example/q/other@" + id('b'),
	} {
		source := named(withStatus(streamOf(), history("x", event(ref, id('b'), 1, at(1)))), "q", "other")
		s := streamOf(tracking("t", "other:x", in("q")))
		r := resolver(map[string]int{}, withUID(source, "u"))
		r.Hosts = hosts
		if errs := r.Resolve(s, nil); len(errs) > 0 {
			t.Fatal(errs)
		}
		if got := LatestEvent(s, "t").DockerImageReference; got != want {
			t.Errorf("%s becomes %s, want %s", ref, got, want)
		}
		equal(t, "copies of "+ref, []CopySource{copied("q/other", "u", id('b'))}, CopySources(s))
	}
}

// TestResolveRecordsCopies: an image of the integrated registry is noted with the stream it
// is copied from, and with those that this one has it from.
func TestResolveRecordsCopies(t *testing.T) {
	other := withUID(withStatus(named(streamOf(), "q", "other"),
		history("chained", event(internalHost+"/q/other@"+image("b3"), image("b3"), 1, at(3))),
		history("imported", event("q.io/x@"+image("b1"), image("b1"), 1, at(1))),
		history("pushed", event(internalHost+"/q/other@"+image("b2"), image("b2"), 1, at(2))),
		history("reference", event(internalHost+"/q/other:x", "", 1, at(4))),
		history("third", event(internalHost+"/q/third@"+image("b4"), image("b4"), 1, at(5))),
	), "u")
	RecordCopies(other, Copied{image("b3"), withUID(named(streamOf(), "r", "first"), "v")})
	for _, test := range []struct {
		name string
		tag  imagev1.TagReference
		want []CopySource
	}{
		{"a tag that was pushed", tracking("t", "other:pushed", in("q")), []CopySource{copied("q/other", "u", image("b2"))}},
		{"an image that was pushed", spec("t", KindImageStreamImage, "other@b2", in("q")), []CopySource{copied("q/other", "u", image("b2"))}},
		{"for reference", tracking("t", "other:pushed", in("q"), asReference), []CopySource{copied("q/other", "u", image("b2"))}},
		{"a copy", tracking("t", "other:chained", in("q")), []CopySource{copied("q/other", "u", image("b3")), copied("r/first", "v", image("b3"))}},
		{"what was imported from a third stream", tracking("t", "other:third", in("q")), []CopySource{copied("q/other", "u", image("b4"))}},
		{"what was imported from another registry", tracking("t", "other:imported", in("q")), []CopySource{}},
		{"a reference without image", tracking("t", "other:reference", in("q")), []CopySource{}},
		{"a tag without history", tracking("t", "other:none", in("q")), []CopySource{}},
		{"a tag of this stream", tracking("t", "own"), nil},
		{"an import", docker("t", internalHost+"/q/other:pushed"), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := withStatus(streamOf(), history("own", event(internalHost+"/p/s@"+image("c1"), image("c1"), 1, at(1))))
			s := old.DeepCopy()
			SetSpecTag(s, test.tag)
			CompleteCopySources(s)
			before := other.DeepCopy()
			if errs := resolver(map[string]int{}, other).Resolve(s, old); len(errs) > 0 {
				t.Fatal(errs)
			}
			PruneCopySources(s)
			equal(t, "copies", test.want, CopySources(s))
			equal(t, "the source", before, other)
		})
	}
}

func TestResolveLeavesUnchangedTagsAlone(t *testing.T) {
	old := withGeneration(streamOf(
		tracking("t", "other:x", generation(1)), docker("r", "q.io/r:1", asReference, generation(1)), tracking("bad", "missing:x", generation(1)),
	), 1)
	s := old.DeepCopy()
	s.Annotations = map[string]string{"a": "b"}
	SpecTag(s, "t").Generation = generationOf(0)
	PrepareUpdate(s, old)
	asked := map[string]int{}
	if errs := resolver(asked, otherStream("p", "other")).Resolve(s, old); len(errs) > 0 {
		t.Errorf("errors %v", errs)
	}
	// Only DockerImage tags are started anew by generation 0: O8.
	equal(t, "status.tags", []imagev1.NamedTagEventList(nil), s.Status.Tags)
	equal(t, "streams asked for", map[string]int{}, asked)
}

func TestResolveAsksForEachStreamOnce(t *testing.T) {
	s := streamOf(tracking("a", "other:x"), tracking("b", "other:x"), spec("c", KindImageStreamImage, "other@b2"),
		tracking("d", "missing:x"), tracking("e", "missing:y"))
	asked := map[string]int{}
	errs := resolver(asked, otherStream("p", "other")).Resolve(s, nil)
	equal(t, "streams asked for", map[string]int{"p/other": 1, "p/missing": 1}, asked)
	if len(errs) != 2 || len(s.Status.Tags) != 3 {
		t.Errorf("errors %v, tags %v: the good tags are resolved beside the bad ones", errs, s.Status.Tags)
	}
}

// The image that an import brought onto a reference tag is not buried under the
// reference of the same write.
func TestResolveKeepsImportedHeadOfReferenceTag(t *testing.T) {
	old := withGeneration(streamOf(docker("t", "q.io/x:1", asReference, generation(1))), 1)
	AddEvent(old, "t", event("q.io/x:1", "", 1, at(1)))
	s := old.DeepCopy()
	ApplyImport(s, ImportOutcome{Now: at(2), Tags: []TagImport{{Tag: "t", From: "q.io/x:2", Image: id('a'), Reference: "q.io/x@" + id('a'),
		ImportPolicy: SpecTag(s, "t").ImportPolicy}}})
	PrepareUpdateWithStatus(s, old)
	if errs := resolver(map[string]int{}).Resolve(s, old); len(errs) > 0 {
		t.Fatal(errs)
	}
	equal(t, "spec.tags", []imagev1.TagReference{docker("t", "q.io/x:2", asReference, generation(2))}, s.Spec.Tags)
	equal(t, "status.tags", []imagev1.NamedTagEventList{
		history("t", event("q.io/x@"+id('a'), id('a'), 2, at(2)), event("q.io/x:1", "", 1, at(1))),
	}, s.Status.Tags)
}

func TestCrossNamespaceSources(t *testing.T) {
	old := streamOf(
		tracking("old", "secret:x", in("q"), generation(1)),
		tracking("moved", "secret:x", in("q"), generation(1)),
	)
	s := streamOf(
		tracking("old", "secret:x", in("q"), generation(1), scheduled),
		tracking("moved", "other:x", in("q"), generation(1)),
		tracking("new", "other:y", in("q")),
		spec("image", KindImageStreamImage, "third@sha256:a", in("r")),
		tracking("bare", "x", in("r")),
		tracking("own", "other:x", in("p")),
		tracking("near", "other:x"),
		docker("docker", internalHost+"/q/secret:x", in("q")),
		tracking("malformed", "a:b:c", in("q")),
		spec("kind", "Pod", "x", in("q")),
		imagev1.TagReference{Name: "empty"},
	)
	equal(t, "sources of an update", []CrossNamespaceSource{
		{Namespace: "r", Name: "s", Tags: []string{"bare"}},
		{Namespace: "r", Name: "third", Tags: []string{"image"}},
		{Namespace: "q", Name: "other", Tags: []string{"moved", "new"}},
	}, CrossNamespaceSources(s, old))
	equal(t, "sources of a new stream", []CrossNamespaceSource{
		{Namespace: "q", Name: "secret", Tags: []string{"moved", "old"}},
	}, CrossNamespaceSources(old, nil))
}
