package stream

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// server does to one stream what the API server does, with nothing but this package:
// it shows that the steps fit together as doc.go says.
type server struct {
	t      *testing.T
	stored *imagev1.ImageStream // nil before it is created
	writes int
	clock  int
}

func (v *server) now() metav1.Time { v.clock++; return at(v.clock) }

func (v *server) resolve(s *imagev1.ImageStream) {
	v.t.Helper()
	resolver := Resolver{Now: at(v.clock), Source: func(_, name string) (*imagev1.ImageStream, error) {
		return nil, apierrors.NewNotFound(imagev1.Resource("imagestreams"), name)
	}}
	if errs := resolver.Resolve(s, v.stored); len(errs) > 0 {
		v.t.Fatal(errs)
	}
}

// store writes what differs, as the store below an API server does.
func (v *server) store(s *imagev1.ImageStream) {
	if v.stored != nil && equalStreams(v.stored, s) {
		return
	}
	v.stored = s
	v.writes++
}

func (v *server) create(s *imagev1.ImageStream) {
	v.now()
	PrepareCreate(s)
	v.resolve(s)
	v.store(s)
}

// put is a PUT of the stream with what change makes of the stored one.
func (v *server) put(change func(s *imagev1.ImageStream)) {
	v.now()
	s := v.stored.DeepCopy()
	change(s)
	PrepareUpdate(s, v.stored)
	v.resolve(s)
	v.store(s)
}

// tag is a PUT of an imagestreamtag, as `oc tag` sends it.
func (v *server) tag(name, from string) {
	v.now()
	s := v.stored.DeepCopy()
	SetSpecTag(s, docker(name, from, generation(0)))
	PrepareUpdateWithStatus(s, v.stored)
	v.resolve(s)
	v.store(s)
}

func (v *server) deleteTag(name string) {
	v.now()
	s := v.stored.DeepCopy()
	RemoveStatusTag(s, name)
	RemoveSpecTag(s, name)
	PrepareUpdateWithStatus(s, v.stored)
	v.resolve(s)
	v.store(s)
}

// importTag is an ImageStreamImport of a spec tag; digest "" fails it.
func (v *server) importTag(name, digest string) {
	now := v.now()
	s := v.stored.DeepCopy()
	tag := SpecTag(s, name)
	result := TagImport{Tag: name, From: tag.From.Name, ImportPolicy: tag.ImportPolicy, ReferencePolicy: tag.ReferencePolicy}
	if digest == "" {
		result.Status = failure(metav1.StatusReasonNotFound, tag.From.Name+" not found")
	} else {
		result.Image, result.Reference = digest, "q.io/x@"+digest
	}
	if !ApplyImport(s, ImportOutcome{Now: now, Tags: []TagImport{result}}) {
		return
	}
	PrepareUpdateWithStatus(s, v.stored)
	v.resolve(s)
	v.store(s)
}

// push is an ImageStreamMapping.
func (v *server) push(tag, digest string) {
	s := v.stored.DeepCopy()
	if !ApplyMapping(s, []string{tag}, "reg/p/s@"+digest, digest, v.now()) {
		return
	}
	PrepareStatusUpdate(s, v.stored)
	v.store(s)
}

// row is what Appendix A1 shows of a stream after a step.
type row struct {
	G       int64
	Spec    map[string]int64
	Status  map[string][]item
	Failure map[string]int64 // generation of the failed condition
}

type item struct {
	Image      string
	Generation int64
}

func rowOf(s *imagev1.ImageStream) row {
	r := row{G: s.Generation, Spec: tagGenerations(s), Status: map[string][]item{}, Failure: map[string]int64{}}
	for _, tag := range s.Status.Tags {
		for _, e := range tag.Items {
			r.Status[tag.Tag] = append(r.Status[tag.Tag], item{e.Image, e.Generation})
		}
		for _, c := range tag.Conditions {
			if c.Type == imagev1.ImportSuccess && c.Reason == "NotFound" {
				r.Failure[tag.Tag] = c.Generation
			}
		}
	}
	return r
}

// Appendix A1 of the contract, step by step.
func TestWalkThrough(t *testing.T) {
	d1, d2, d3 := image("1"), image("2"), image("3")
	c := []item{{"", 1}}
	first := []item{{d1, 2}}
	second := []item{{d2, 5}, {d1, 2}}
	third := []item{{d3, 5}, {d2, 5}, {d1, 2}}
	none := map[string]int64{}

	v := &server{t: t}
	for _, step := range []struct {
		name   string
		act    func()
		want   row
		writes int
		needs  []string // what the import controller would import next
	}{
		{
			"1 POST", func() {
				v.create(streamOf(docker("a", "q.io/x:1"), tracking("b", "a"), docker("c", "q.io/y:1", asReference)))
			},
			row{1, map[string]int64{"a": 1, "b": 1, "c": 1}, map[string][]item{"c": c}, none}, 1, []string{"a"},
		},
		{
			"2 import a", func() { v.importTag("a", d1) },
			row{2, map[string]int64{"a": 2, "b": 1, "c": 1}, map[string][]item{"a": first, "b": first, "c": c}, none}, 1, nil,
		},
		{
			"3 PUT scheduled", func() { v.put(func(s *imagev1.ImageStream) { scheduled(SpecTag(s, "a")) }) },
			row{3, map[string]int64{"a": 2, "b": 1, "c": 1}, map[string][]item{"a": first, "b": first, "c": c}, none}, 1, nil,
		},
		{
			"4 PUT the same", func() { v.put(func(*imagev1.ImageStream) {}) },
			row{3, map[string]int64{"a": 2, "b": 1, "c": 1}, map[string][]item{"a": first, "b": first, "c": c}, none}, 0, nil,
		},
		{
			"5 oc tag q.io/x:1 s:a", func() { v.tag("a", "q.io/x:1") },
			row{4, map[string]int64{"a": 4, "b": 1, "c": 1}, map[string][]item{"a": first, "b": first, "c": c}, none}, 1, []string{"a"},
		},
		{
			"6 import a, moved upstream", func() { v.importTag("a", d2) },
			row{5, map[string]int64{"a": 5, "b": 1, "c": 1}, map[string][]item{"a": second, "b": second, "c": c}, none}, 1, nil,
		},
		{
			"7 import a, nothing new", func() { v.importTag("a", d2) },
			row{5, map[string]int64{"a": 5, "b": 1, "c": 1}, map[string][]item{"a": second, "b": second, "c": c}, none}, 0, nil,
		},
		{
			"8 push a", func() { v.push("a", d3) },
			row{5, map[string]int64{"a": 5, "b": 1, "c": 1}, map[string][]item{"a": third, "b": third, "c": c}, none}, 1, nil,
		},
		{
			"9 oc tag q.io/x:gone s:a", func() { v.tag("a", "q.io/x:gone") },
			row{6, map[string]int64{"a": 6, "b": 1, "c": 1}, map[string][]item{"a": third, "b": third, "c": c}, none}, 1, []string{"a"},
		},
		{
			"10 import a fails", func() { v.importTag("a", "") },
			row{7, map[string]int64{"a": 7, "b": 1, "c": 1}, map[string][]item{"a": third, "b": third, "c": c}, map[string]int64{"a": 7}}, 1, nil,
		},
		{
			"10b oc tag again", func() { v.tag("a", "q.io/x:gone") },
			row{8, map[string]int64{"a": 8, "b": 1, "c": 1}, map[string][]item{"a": third, "b": third, "c": c}, map[string]int64{"a": 7}}, 1, []string{"a"},
		},
		{
			"10c the same failure: the condition is the answer to generation 8 (O36)", func() { v.importTag("a", "") },
			row{8, map[string]int64{"a": 8, "b": 1, "c": 1}, map[string][]item{"a": third, "b": third, "c": c}, map[string]int64{"a": 8}}, 1, nil,
		},
		{
			"10d the same failure, not asked for: nothing is written", func() { v.importTag("a", "") },
			row{8, map[string]int64{"a": 8, "b": 1, "c": 1}, map[string][]item{"a": third, "b": third, "c": c}, map[string]int64{"a": 8}}, 0, nil,
		},
		{
			"11 PUT without a", func() { v.put(func(s *imagev1.ImageStream) { RemoveSpecTag(s, "a") }) },
			row{9, map[string]int64{"b": 1, "c": 1}, map[string][]item{"a": third, "b": third, "c": c}, map[string]int64{"a": 8}}, 1, nil,
		},
		{
			"12 DELETE istag a", func() { v.deleteTag("a") },
			row{9, map[string]int64{"b": 1, "c": 1}, map[string][]item{"b": third, "c": c}, none}, 1, nil,
		},
		{
			"13 DELETE istag c", func() { v.deleteTag("c") },
			row{10, map[string]int64{"b": 1}, map[string][]item{"b": third}, none}, 1, nil,
		},
	} {
		before := v.writes
		step.act()
		equal(t, step.name, step.want, rowOf(v.stored))
		if got := v.writes - before; got != step.writes {
			t.Errorf("%s: %d writes, want %d", step.name, got, step.writes)
		}
		equal(t, step.name+": next imports", ImportNeed{Tags: step.needs}, ImportNeeds(v.stored))
		if t.Failed() {
			t.FailNow()
		}
	}
}

// Appendix A5 of the contract, as far as it is the stream's.
func TestLocalPolicyWalkThrough(t *testing.T) {
	v := &server{t: t}
	v.create(streamOf(docker("a", "q.io/x:1")))
	v.importTag("a", image("1"))
	before := rowOf(v.stored)
	v.put(func(s *imagev1.ImageStream) { SpecTag(s, "a").ReferencePolicy.Type = imagev1.LocalTagReferencePolicy })

	before.G++
	equal(t, "setting a policy raises only the generation of the stream", before, rowOf(v.stored))
	SetRepositories(v.stored, Registries{Internal: "reg.svc:5000"})
	if got, ok := resolveReference(v.stored, "a"); !ok || got != "reg.svc:5000/p/s@"+image("1") {
		t.Errorf("pulled from %q, %t", got, ok)
	}
	if got := LatestEvent(v.stored, "a").DockerImageReference; got != "q.io/x@"+image("1") {
		t.Errorf("the event has %q", got)
	}
}

// An image stream whose tags fail for different reasons keeps its retry series, and
// success ends it.
func TestRetryWalkThrough(t *testing.T) {
	v := &server{t: t}
	v.create(streamOf(docker("a", "q.io/x:1")))
	v.importTag("a", "")
	note := func(retry Retry) {
		t.Helper()
		s := v.stored.DeepCopy()
		if !SetRetry(s, "a", retry, v.now()) {
			t.Fatal("the retry was not noted")
		}
		PrepareStatusUpdate(s, v.stored)
		v.store(s)
		if got, ok := RetryOf(v.stored, "a"); !ok || got != retry {
			t.Fatalf("stored is %v, %t, want %v", got, ok, retry)
		}
	}
	quiet := func(what string, retrying bool) {
		t.Helper()
		if _, ok := RetryOf(v.stored, "a"); ok != retrying {
			t.Errorf("%s: a retry is due: %t", what, ok)
		}
		if need := ImportNeeds(v.stored); !need.Empty() {
			t.Errorf("%s: the retry looks like a request: %v", what, need)
		}
	}
	note(Retry{Attempt: 1, Next: at(5).Time})
	quiet("noted", true)

	writes := v.writes
	v.importTag("a", "")
	if v.writes != writes {
		t.Error("failing as before was written")
	}
	quiet("failed as before", true)

	s := v.stored.DeepCopy()
	result := refused("a", "q.io/x:1", "InternalError", "q.io is down")
	if !ApplyImport(s, ImportOutcome{Now: v.now(), Tags: []TagImport{result}}) {
		t.Fatal("another failure is no change")
	}
	PrepareUpdateWithStatus(s, v.stored)
	v.store(s)
	quiet("failed otherwise", true)
	note(Retry{Attempt: 2, Next: at(9).Time})

	v.tag("a", "q.io/y:1")
	if _, ok := RetryOf(v.stored, "a"); ok || len(StatusTag(v.stored, "a").Conditions) != 1 {
		t.Errorf("the retry outlives its spec: %v", StatusTag(v.stored, "a").Conditions)
	}
	v.importTag("a", "")
	note(Retry{Attempt: 1, Next: at(12).Time})
	v.importTag("a", image("1"))
	quiet("succeeded", false)
	if conditions := StatusTag(v.stored, "a").Conditions; conditions != nil {
		t.Errorf("conditions after success: %v", conditions)
	}

	v.tag("a", "q.io/z:1")
	v.importTag("a", "")
	note(Retry{Attempt: 1, Next: at(20).Time})
	v.put(func(s *imagev1.ImageStream) { RemoveSpecTag(s, "a") })
	if conditions := StatusTag(v.stored, "a").Conditions; len(conditions) != 1 || conditions[0].Type != imagev1.ImportSuccess {
		t.Errorf("conditions of a tag that left spec: %v", conditions)
	}
}
