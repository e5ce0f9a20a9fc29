package stream

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestObservedGeneration(t *testing.T) {
	retry := imagev1.TagEventCondition{Type: ConditionImportRetry, Status: corev1.ConditionTrue, Generation: 99}
	for _, test := range []struct {
		name       string
		items      []imagev1.TagEvent
		conditions []imagev1.TagEventCondition
		want       int64
	}{
		{name: "nothing", want: 0},
		{name: "the head", items: []imagev1.TagEvent{event("r", "i", 3, at(1)), event("r1", "i1", 8, at(1))}, want: 3},
		{name: "a failure", conditions: []imagev1.TagEventCondition{failed("NotFound", "gone", 4, at(1))}, want: 4},
		{
			name: "a newer failure", items: []imagev1.TagEvent{event("r", "i", 3, at(1))},
			conditions: []imagev1.TagEventCondition{failed("NotFound", "gone", 4, at(1))}, want: 4,
		},
		{
			name: "an older failure", items: []imagev1.TagEvent{event("r", "i", 5, at(1))},
			conditions: []imagev1.TagEventCondition{failed("NotFound", "gone", 4, at(1))}, want: 5,
		},
		{
			name: "the first failure only",
			conditions: []imagev1.TagEventCondition{
				{Type: "example.com/Other", Generation: 50}, failed("NotFound", "gone", 4, at(1)), failed("NotFound", "gone", 7, at(1)),
			}, want: 4,
		},
		{name: "a retry does not count", conditions: []imagev1.TagEventCondition{retry, failed("NotFound", "gone", 4, at(1))}, want: 4},
		{name: "a retry alone does not count", conditions: []imagev1.TagEventCondition{retry}, want: 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := withStatus(streamOf(), imagev1.NamedTagEventList{Tag: "a", Items: test.items, Conditions: test.conditions})
			if got := ObservedGeneration(s, "a"); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
	if got := ObservedGeneration(streamOf(), "a"); got != 0 {
		t.Errorf("of a tag without status: %d", got)
	}
}

func TestImportNeeds(t *testing.T) {
	b := history("failed")
	b.Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 4, at(1))}
	tags := withStatus(streamOf(
		docker("done", "q.io/x:done", generation(2)),
		docker("due", "q.io/x:due", generation(3)),
		docker("failed", "q.io/x:failed", generation(4)),
		docker("new", "q.io/x:new", generation(1)),
		docker("old", "q.io/x:old"),
		docker("reference", "q.io/x:ref", asReference, generation(9)),
		docker("nameless", "", generation(9)),
		tracking("tracking", "done", generation(9)),
		spec("image", KindImageStreamImage, "sha256:a", generation(9)),
		imagev1.TagReference{Name: "empty", Generation: generationOf(9)},
	), history("done", event("r", "i", 2, at(1))), history("due", event("r", "i", 2, at(1))), b)
	upToDate := withStatus(streamOf(docker("done", "q.io/x:done", generation(2))), history("done", event("r", "i", 2, at(1))))

	for _, test := range []struct {
		name       string
		stream     *imagev1.ImageStream
		repository string
		checked    bool
		want       ImportNeed
	}{
		{name: "imported from before", stream: tags, checked: true, want: ImportNeed{Tags: []string{"due", "new"}}},
		{name: "imported from before, with a repository", stream: tags, checked: true, repository: "q.io/x", want: ImportNeed{Tags: []string{"due", "new"}}},
		{name: "never imported from", stream: tags, want: ImportNeed{Tags: []string{"due", "new", "old"}}},
		{
			name: "never imported from, with a repository", stream: tags, repository: "q.io/x",
			want: ImportNeed{Repository: true, Tags: []string{"done", "due", "failed", "new", "old"}},
		},
		{name: "a repository alone", stream: streamOf(), repository: "q.io/x", want: ImportNeed{Repository: true}},
		{name: "never imported from, all up to date", stream: upToDate},
		{name: "nothing at all", stream: streamOf()},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := test.stream.DeepCopy()
			s.Spec.DockerImageRepository = test.repository
			if test.checked {
				s.Annotations = map[string]string{imagev1.DockerImageRepositoryCheckAnnotation: checked}
			}
			need := ImportNeeds(s)
			equal(t, "need", test.want, need)
			if empty := !test.want.Repository && test.want.Tags == nil; need.Empty() != empty {
				t.Errorf("empty: %t", need.Empty())
			}
		})
	}
}

func TestScheduledTags(t *testing.T) {
	pinned := "q.io/x@" + image("a")
	c := history("failed")
	c.Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 3, at(1))}
	s := withStatus(streamOf(
		docker("by-tag", "q.io/x:1", scheduled, generation(1)),
		docker("failed", pinned, scheduled, generation(3)),
		docker("new", pinned, scheduled, generation(1)),
		docker("newer", pinned, scheduled, generation(3)),
		docker("done", pinned, scheduled, generation(2)),
		docker("legacy", pinned, scheduled),
		docker("reference", "q.io/x:1", scheduled, asReference, generation(1)),
		docker("unreadable", "q.io/X:1", scheduled, generation(1)),
		docker("unscheduled", "q.io/x:1", generation(1)),
		tracking("tracking", "by-tag", scheduled, generation(1)),
	), history("by-tag", event("r", "i", 1, at(1))), c, history("done", event("r", "i", 2, at(1))),
		history("legacy", event("r", "i", 2, at(1))), history("newer", event("r", "i", 2, at(1))))
	equal(t, "scheduled", []string{"by-tag", "failed", "new", "newer"}, ScheduledTags(s))
}
