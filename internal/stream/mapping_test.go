package stream

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMappingReference(t *testing.T) {
	for _, test := range []struct {
		name       string
		managed    string
		existed    bool
		repository string
		want       string
	}{
		{name: "a new image", managed: "true", repository: "reg/p/s", want: "reg/q/first@sha256:1"},
		{name: "a known image of the registry", managed: "true", existed: true, repository: "reg/p/s", want: "reg/p/s@sha256:1"},
		{name: "a known image from elsewhere", existed: true, repository: "reg/p/s", want: "reg/q/first@sha256:1"},
		{name: "the annotation says otherwise", managed: "false", existed: true, repository: "reg/p/s", want: "reg/q/first@sha256:1"},
		{name: "no registry", managed: "true", existed: true, want: "reg/q/first@sha256:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := streamOf()
			s.Status.DockerImageRepository = test.repository
			submitted := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "sha256:1"}, DockerImageReference: "reg/q/first@sha256:1"}
			if test.managed != "" {
				submitted.Annotations = map[string]string{imagev1.ManagedByOpenShiftAnnotation: test.managed}
			}
			if got := MappingReference(s, submitted, test.existed); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestApplyMapping(t *testing.T) {
	s := withStatus(withGeneration(streamOf(docker("a", "q.io/x:1", generation(9)), tracking("b", "a"), tracking("c", "b")), 7))
	if !ApplyMapping(s, []string{"a"}, "reg/p/s@1", "1", at(1)) {
		t.Error("a push is no change")
	}
	pushed := event("reg/p/s@1", "1", 7, at(1)) // the stream's generation, O13
	equal(t, "status.tags", []imagev1.NamedTagEventList{history("a", pushed), history("b", pushed), history("c", pushed)}, s.Status.Tags)

	if ApplyMapping(s, []string{"a"}, "reg/p/s@1", "1", at(2)) {
		t.Error("the same push again is a change")
	}
	if !ApplyMapping(s, []string{"a"}, "q.io/mirror@1", "1", at(2)) || len(StatusTag(s, "a").Items) != 1 || LatestEvent(s, "c").DockerImageReference != "q.io/mirror@1" {
		t.Errorf("the same image from another place: %v", s.Status.Tags)
	}
}

// TestApplyMappingOfSeveralTags: the tags of a push are one change, which each tracking tag
// follows once.
func TestApplyMappingOfSeveralTags(t *testing.T) {
	s := withStatus(withGeneration(streamOf(tracking("b", "a"), tracking("d", "c")), 7))
	pushed := event("reg/p/s@1", "1", 7, at(1))
	if !ApplyMapping(s, []string{"a", "b", "c"}, "reg/p/s@1", "1", at(1)) {
		t.Error("a push is no change")
	}
	equal(t, "status.tags", []imagev1.NamedTagEventList{history("a", pushed), history("b", pushed), history("c", pushed), history("d", pushed)}, s.Status.Tags)
	if ApplyMapping(s, []string{"a", "b", "c"}, "reg/p/s@1", "1", at(2)) {
		t.Error("the same push again is a change")
	}
	if !ApplyMapping(s, []string{"a", "e"}, "reg/p/s@1", "1", at(2)) || LatestEvent(s, "a").Created != at(1) {
		t.Errorf("one tag more: %v", s.Status.Tags)
	}
}

func TestMappingConflicts(t *testing.T) {
	with := func(events ...imagev1.TagEvent) *imagev1.ImageStream {
		return withStatus(streamOf(), history("a", events...))
	}
	seen := with(event("r", "1", 2, at(1)))
	for _, test := range []struct {
		name          string
		seen, current *imagev1.ImageStream
		want          bool
	}{
		{"nothing happened to the tag", seen, with(event("r", "1", 2, at(1))), false},
		{"another generation and time", seen, with(event("r", "1", 5, at(4))), false},
		{"a longer history", seen, with(event("r", "1", 2, at(1)), event("r0", "0", 1, at(0))), false},
		{"another image", seen, with(event("r", "2", 2, at(1))), true},
		{"another place", seen, with(event("r2", "1", 2, at(1))), true},
		{"the tag is gone", seen, streamOf(), true},
		{"there was no tag", streamOf(), with(event("r", "1", 2, at(1))), false},
		{"there was no history", with(), with(event("r", "1", 2, at(1))), false},
	} {
		want := ""
		if test.want {
			want = "a"
		}
		for _, tags := range [][]string{{"a"}, {"another", "a"}} {
			if got := MappingConflict(test.seen, test.current, tags); got != want {
				t.Errorf("%s: conflict of %q at %q", test.name, tags, got)
			}
		}
	}
}
