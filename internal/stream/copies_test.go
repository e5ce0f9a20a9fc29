package stream

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"
)

// copied is a source of images.
func copied(repository string, uid types.UID, images ...string) CopySource {
	return CopySource{Repository: repository, UID: uid, Images: images}
}

// annotated is a stream with a text as AnnotationCopiedFrom.
func annotated(s *imagev1.ImageStream, text string) *imagev1.ImageStream {
	s.Annotations = map[string]string{AnnotationCopiedFrom: text}
	return s
}

// withUID is a stream with a UID.
func withUID(s *imagev1.ImageStream, uid types.UID) *imagev1.ImageStream {
	s.UID = uid
	return s
}

func TestCopySources(t *testing.T) {
	heads := func(tags ...imagev1.TagReference) *imagev1.ImageStream {
		s := streamOf(tags...)
		for _, tag := range tags {
			s = withStatus(s, append(s.Status.Tags, history(tag.Name, event("reg/p/s@"+id('a'), id('a'), 1, at(2)), event("reg/p/s@"+id('b'), id('b'), 1, at(1))))...)
		}
		return s
	}
	const text = `[{"repository":"q/other","uid":"u","images":["x"]},{"repository":"r/other","images":["x","y"]}]`
	for _, test := range []struct {
		name   string
		stream *imagev1.ImageStream
		want   []CopySource
	}{
		{"nothing", streamOf(), nil},
		{"recorded", annotated(streamOf(), text), []CopySource{copied("q/other", "u", "x"), copied("r/other", "", "x", "y")}},
		{"recorded beside a spec", annotated(heads(tracking("t", "third:x", in("q"))), text), []CopySource{copied("q/other", "u", "x"), copied("r/other", "", "x", "y")}},
		{"recorded to be none", annotated(heads(tracking("t", "third:x", in("q"))), `[]`), []CopySource{}},
		{"recorded as nothing", annotated(heads(tracking("t", "third:x", in("q"))), ``), nil},
		{"no JSON", annotated(heads(tracking("t", "third:x", in("q"))), `[{"repository":"q/other"`), nil},
		{"other JSON", annotated(heads(tracking("t", "third:x", in("q"))), `{"repository":"q/other"}`), nil},
		{"a list of something else", annotated(heads(tracking("t", "third:x", in("q"))), `["q/other"]`), nil},
		{"not recorded: a tag of another namespace", heads(tracking("t", "other:x", in("q"))), []CopySource{copied("q/other", "", id('a'), id('b'))}},
		{"not recorded: a tag of another stream", heads(tracking("t", "other:x")), []CopySource{copied("p/other", "", id('a'), id('b'))}},
		{"not recorded: a bare tag of another namespace", heads(tracking("t", "x", in("q"))), []CopySource{copied("q/s", "", id('a'), id('b'))}},
		{"not recorded: an image", heads(spec("t", KindImageStreamImage, "other@sha256:a", in("q"))), []CopySource{copied("q/other", "", id('a'), id('b'))}},
		{
			"not recorded: several", heads(tracking("1", "other:x", in("r")), tracking("2", "other:x", in("q")), tracking("3", "other:y", in("q"))),
			[]CopySource{copied("q/other", "", id('a'), id('b')), copied("r/other", "", id('a'), id('b'))},
		},
		{"not recorded: this stream", heads(tracking("t", "own"), tracking("u", "s:own", in("p"))), nil},
		{"not recorded: an import", heads(docker("t", "reg/q/other:x")), nil},
		{"not recorded: malformed", heads(tracking("t", "a:b:c", in("q")), imagev1.TagReference{Name: "u"}), nil},
		{"not recorded: no head", streamOf(tracking("t", "other:x", in("q"))), nil},
		{"not recorded: a head without image", withStatus(streamOf(tracking("t", "other:x", in("q"))), history("t", event("reg/q/other:x", "", 1, at(1)))), nil},
	} {
		t.Run(test.name, func(t *testing.T) { equal(t, "copies", test.want, CopySources(test.stream)) })
	}
}

func TestSetCopySources(t *testing.T) {
	other := func(tags ...imagev1.TagReference) *imagev1.ImageStream {
		s := streamOf(tags...)
		s.Annotations = map[string]string{"a": "b", AnnotationCopiedFrom: "stale"}
		return s
	}
	one := []CopySource{copied("q/other", "u", "x")}
	for _, test := range []struct {
		name    string
		stream  *imagev1.ImageStream
		sources []CopySource
		want    string // "" is without
	}{
		{"none", other(), nil, ""},
		{"none, in an empty list", other(), []CopySource{}, ""},
		{"none, and the spec names this stream", other(tracking("t", "own")), nil, ""},
		{"none, and the spec names another registry", other(docker("t", "q.io/x:1")), nil, ""},
		{"none, and the spec names another stream", other(tracking("t", "other:x")), nil, "[]"},
		{"one", other(), one, `[{"repository":"q/other","uid":"u","images":["x"]}]`},
		{"one that the spec names", other(tracking("t", "other:x", in("q"))), one, `[{"repository":"q/other","uid":"u","images":["x"]}]`},
		{"one without annotations", streamOf(), one, `[{"repository":"q/other","uid":"u","images":["x"]}]`},
		{"one without a UID", other(), []CopySource{copied("q/other", "", "x")}, `[{"repository":"q/other","images":["x"]}]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			kept := test.stream.Annotations["a"]
			SetCopySources(test.stream, test.sources)
			text, found := test.stream.Annotations[AnnotationCopiedFrom]
			if text != test.want || found != (test.want != "") || test.stream.Annotations["a"] != kept {
				t.Errorf("annotations %v, want %q", test.stream.Annotations, test.want)
			}
			if got := CopySources(test.stream); len(got)+len(test.sources) > 0 {
				equal(t, "copies", test.sources, got)
			}
		})
	}
}

// TestLaterHeadsAreNoCopies: what the spec shows counts for streams alone that were last
// written before copies were recorded. A head that a tag gets otherwise is no copy.
func TestLaterHeadsAreNoCopies(t *testing.T) {
	forge := func(s *imagev1.ImageStream) {
		AddEvent(s, "t", event("reg/p/s@"+id('a'), id('a'), 1, at(1)))
		PruneCopySources(s)
	}
	for name, write := range map[string]func(*imagev1.ImageStream){
		"by the stream": func(s *imagev1.ImageStream) { SetCopySources(s, nil) },
		"by its tag":    CompleteCopySources,
	} {
		s := streamOf(tracking("t", "other:none", in("q")))
		write(s)
		forge(s)
		if got := CopySources(s); len(got) > 0 {
			t.Errorf("written %s: copies %v", name, got)
		}
	}
	s := annotated(streamOf(tracking("t", "other:x", in("q"))), `[{"repository":"q/other","images":["x"]}]`)
	CompleteCopySources(s)
	equal(t, "what is recorded already", []CopySource{copied("q/other", "", "x")}, CopySources(s))
	imported := streamOf()
	CompleteCopySources(imported)
	equal(t, "annotations of a stream that names no other", map[string]string(nil), imported.Annotations)
}

func TestRecordCopy(t *testing.T) {
	s := streamOf()
	other, third := withUID(named(streamOf(), "q", "other"), "one"), withUID(named(streamOf(), "q", "third"), "three")
	next := withUID(named(streamOf(), "q", "other"), "two")
	for range 2 { // again changes nothing
		RecordCopies(s, Copied{id('b'), other})
		RecordCopies(s, Copied{id('a'), other})
		RecordCopies(s, Copied{id('b'), third})
		RecordCopies(s, Copied{id('c'), next})
	}
	want := []CopySource{copied("q/other", "one", id('a'), id('b')), copied("q/other", "two", id('c')), copied("q/third", "three", id('b'))}
	equal(t, "copies", want, CopySources(s))
	for _, source := range []*imagev1.ImageStream{other, third, next} {
		equal(t, "annotations of a source", map[string]string(nil), source.Annotations)
	}
}

// TestRecordCopyThroughAChain: a copy of a copy has all sources, each of which may end
// before the others, and for each image its own.
func TestRecordCopyThroughAChain(t *testing.T) {
	chain := []*imagev1.ImageStream{withUID(named(streamOf(), "a", "s"), "a"), withUID(named(streamOf(), "b", "s"), "b"), withUID(named(streamOf(), "c", "s"), "c")}
	beside := withUID(named(streamOf(), "z", "s"), "z")
	RecordCopies(chain[1], Copied{id('1'), chain[0]})
	RecordCopies(chain[1], Copied{id('2'), beside})
	RecordCopies(chain[2], Copied{id('1'), chain[1]})
	last := streamOf()
	RecordCopies(last, Copied{id('1'), chain[2]})
	equal(t, "copies", []CopySource{copied("a/s", "a", id('1')), copied("b/s", "b", id('1')), copied("c/s", "c", id('1'))}, CopySources(last))

	legacy := named(withStatus(streamOf(tracking("t", "s:x", in("a"))), history("t", event("reg/b/s@"+id('1'), id('1'), 1, at(1)))), "b", "s")
	last = streamOf()
	RecordCopies(last, Copied{id('1'), withUID(legacy, "b")})
	equal(t, "copies through a stream that recorded none", []CopySource{copied("a/s", "", id('1')), copied("b/s", "b", id('1'))}, CopySources(last))
}

func TestPruneCopySources(t *testing.T) {
	named := func(tags ...imagev1.NamedTagEventList) *imagev1.ImageStream { return withStatus(streamOf(), tags...) }
	a, b := event("reg/p/s@"+id('a'), id('a'), 1, at(2)), event("reg/p/s@"+id('b'), id('b'), 1, at(1))
	for _, test := range []struct {
		name    string
		stream  *imagev1.ImageStream
		sources []CopySource
		want    []CopySource
	}{
		{"all are in the history", named(history("t", a), history("u", b)), []CopySource{copied("q/other", "u", id('a'), id('b'))}, []CopySource{copied("q/other", "u", id('a'), id('b'))}},
		{"behind a head", named(history("t", a, b)), []CopySource{copied("q/other", "u", id('b'))}, []CopySource{copied("q/other", "u", id('b'))}},
		{"one is not", named(history("t", a)), []CopySource{copied("q/other", "u", id('a'), id('b')), copied("r/other", "v", id('b'))}, []CopySource{copied("q/other", "u", id('a'))}},
		{"none is", named(), []CopySource{copied("q/other", "u", id('a'))}, nil},
		{"of the stream itself", named(history("t", a)), []CopySource{copied("p/s", "u", id('a')), copied("p/s2", "v", id('a'))}, []CopySource{copied("p/s2", "v", id('a'))}},
		{"nothing", named(history("t", a)), nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			SetCopySources(test.stream, test.sources)
			PruneCopySources(test.stream)
			equal(t, "copies", test.want, CopySources(test.stream))
			if _, found := test.stream.Annotations[AnnotationCopiedFrom]; found != (test.want != nil) {
				t.Errorf("annotations %v", test.stream.Annotations)
			}
		})
	}
}

// TestPruneCopySourcesIsBounded: the newest copies stay, in as much of the annotations as
// Kubernetes lets one have beside others.
func TestPruneCopySourcesIsBounded(t *testing.T) {
	const events = maxCopies + 500
	digestOf := func(n int) string { return fmt.Sprintf("sha256:%064x", n) }
	var items []imagev1.TagEvent
	for n := range events {
		items = append(items, event("reg/p/s@"+digestOf(n), digestOf(n), 1, at(events-n)))
	}
	for name, sourcesOf := range map[string]func(n int) []string{
		"of one stream":              func(int) []string { return []string{"q/other"} },
		"of a chain":                 func(int) []string { return []string{"q/a", "q/b", "q/c", "q/d"} },
		"of a stream for each image": func(n int) []string { return []string{fmt.Sprintf("q/a-name-that-is-rather-long-%d", n)} },
	} {
		t.Run(name, func(t *testing.T) {
			s := withStatus(streamOf(), history("t", slices.Clone(items)...))
			lists := map[string][]string{}
			for n := range events {
				for _, repository := range sourcesOf(n) {
					lists[repository] = append(lists[repository], digestOf(n))
				}
			}
			var sources []CopySource
			for repository, images := range lists {
				sources = append(sources, copied(repository, "01234567-89ab-cdef-0123-456789abcdef", images...))
			}
			slices.SortFunc(sources, func(a, b CopySource) int { return strings.Compare(a.Repository, b.Repository) })
			SetCopySources(s, sources)
			PruneCopySources(s)
			if size := len(s.Annotations[AnnotationCopiedFrom]); size > maxCopiedFrom || size < maxCopiedFrom/2 {
				t.Errorf("the annotation has %d bytes, want %d at most and not much less", size, maxCopiedFrom)
			}
			kept := map[string]int{}
			for _, source := range CopySources(s) {
				for _, image := range source.Images {
					kept[image]++
				}
			}
			if len(kept) > maxCopies {
				t.Errorf("%d images stay, want %d at most", len(kept), maxCopies)
			}
			for n := range events {
				want := 0
				if n < len(kept) {
					want = len(sourcesOf(n))
				}
				if kept[digestOf(n)] != want {
					t.Fatalf("of %d images that stay, number %d has %d sources, want %d", len(kept), n, kept[digestOf(n)], want)
				}
			}
		})
	}
}

// FuzzCopySources: whatever the annotation holds, it can be read, pruned and written.
func FuzzCopySources(f *testing.F) {
	for _, text := range []string{``, `[]`, `null`, `[{"repository":"q/other","uid":"u","images":["x"]}]`, `[{"repository":7}]`, `{}`, `[null,{}]`, `[{"images":[""]}]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := withStatus(annotated(streamOf(), text), history("t", event("reg/p/s@x", "x", 1, at(1))))
		RecordCopies(s, Copied{"x", withUID(named(streamOf(), "q", "other"), "u")})
		PruneCopySources(s)
		for _, source := range CopySources(s) {
			if len(source.Images) == 0 || strings.Trim(strings.Join(source.Images, ""), "x") != "" || source.Repository == "p/s" {
				t.Errorf("%v stays", source)
			}
		}
		if text := s.Annotations[AnnotationCopiedFrom]; text != "" && !json.Valid([]byte(text)) {
			t.Errorf("wrote %q", text)
		}
	})
}

func TestCopySourceOf(t *testing.T) {
	hosts := Registries{Internal: "reg:5000", Public: "reg.example", Former: []string{"before:5000"}}
	for pullSpec, want := range map[string]types.NamespacedName{
		"reg:5000/q/other@" + id('a'):          {Namespace: "q", Name: "other"},
		"reg.example/q/other:1":                {Namespace: "q", Name: "other"},
		"before:5000/q/other":                  {Namespace: "q", Name: "other"},
		"reg:5000/p/other":                     {Namespace: "p", Name: "other"},
		"reg:5000/q/s":                         {Namespace: "q", Name: "s"},
		"reg:5000/q/a/b@" + id('a'):            {Namespace: "q", Name: "a.x2f.b"},
		"reg:5000/p/s@" + id('a'):              {},
		"reg:5000/other@" + id('a'):            {},
		"q.io/q/other@" + id('a'):              {},
		"reg.example.com/q/other@" + id('a'):   {},
		"q/other":                              {},
		"":                                     {},
		"reg:5000/q/other@not-a-digest-at-all": {},
	} {
		got, ok := CopySourceOf(streamOf(), pullSpec, hosts)
		if ok != (want != types.NamespacedName{}) || ok && got != want {
			t.Errorf("%q is of %v, %v; want %v", pullSpec, got, ok, want)
		}
	}
}
