package stream

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const checked = "2026-11-21T00:20:00Z" // at(20), the time of imports in these tests

func failure(reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{Status: metav1.StatusFailure, Reason: reason, Message: message}
}

var legacy = imagev1.TagImportPolicy{ImportMode: imagev1.ImportModeLegacy}

func succeeded(tag, from, start string) TagImport {
	return TagImport{Tag: tag, From: from, ImportPolicy: legacy,
		ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.SourceTagReferencePolicy},
		Image:           image(start), Reference: "q.io/x:1@" + image(start)}
}

func refused(tag, from string, reason metav1.StatusReason, message string) TagImport {
	result := succeeded(tag, from, "")
	result.Image, result.Reference, result.Status = "", "", failure(reason, message)
	return result
}

func TestApplyImport(t *testing.T) {
	// Tag a was imported at generation 2, b failed at generation 3.
	stored := func() *imagev1.ImageStream {
		s := withGeneration(streamOf(docker("a", "q.io/x:1", generation(2)), docker("b", "q.io/x:b", generation(3))), 5)
		s.Annotations = map[string]string{imagev1.DockerImageRepositoryCheckAnnotation: "2026-11-20T00:00:00Z"}
		b := history("b")
		b.Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 3, at(3))}
		return withStatus(s, history("a", event("q.io/x@"+image("1"), image("1"), 2, at(1))), b)
	}
	for _, test := range []struct {
		name   string
		before func(s *imagev1.ImageStream) // the stored stream, if it is another
		tags   []TagImport
		same   bool                         // nothing changes
		after  func(s *imagev1.ImageStream) // what becomes of the stored one
	}{
		{name: "nothing", same: true},
		{name: "the same image again", tags: []TagImport{succeeded("a", "q.io/x:1", "1")}, same: true},
		{name: "the same image from another tag", tags: []TagImport{succeeded("a", "q.io/x:2", "1")}, same: true},
		{name: "the same failure again, O36", tags: []TagImport{refused("b", "q.io/x:b", "NotFound", "gone")}, same: true},
		{
			name: "another image",
			tags: []TagImport{succeeded("a", "q.io/x:1", "2")},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "a").Generation = generationOf(0)
				StatusTag(s, "a").Items = []imagev1.TagEvent{
					event("q.io/x@"+image("2"), image("2"), 6, at(20)), event("q.io/x@"+image("1"), image("1"), 2, at(1)),
				}
			},
		},
		{
			name:   "the same image for a newer spec",
			before: func(s *imagev1.ImageStream) { SpecTag(s, "a").Generation = generationOf(4) },
			tags:   []TagImport{succeeded("a", "q.io/x:1", "1")},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "a").Generation = generationOf(0)
				LatestEvent(s, "a").Generation = 6
			},
		},
		{
			name:   "the same image for a spec tag without a generation",
			before: func(s *imagev1.ImageStream) { SpecTag(s, "a").Generation = nil },
			tags:   []TagImport{succeeded("a", "q.io/x:1", "1")},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "a").Generation = generationOf(0)
				LatestEvent(s, "a").Generation = 6
			},
		},
		{
			name: "the same image with another policy",
			tags: []TagImport{func() TagImport { r := succeeded("a", "q.io/x:1", "1"); r.ImportPolicy.Scheduled = true; return r }()},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "a").ImportPolicy.Scheduled = true
			},
		},
		{
			name: "the same image clears conditions",
			before: func(s *imagev1.ImageStream) {
				StatusTag(s, "a").Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 2, at(3))}
			},
			tags:  []TagImport{succeeded("a", "q.io/x:1", "1")},
			after: func(s *imagev1.ImageStream) { StatusTag(s, "a").Conditions = nil },
		},
		{
			name: "a success after a failure",
			tags: []TagImport{succeeded("b", "q.io/x:b", "1")},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "b").Generation = generationOf(0)
				*StatusTag(s, "b") = history("b", event("q.io/x@"+image("1"), image("1"), 6, at(20)))
			},
		},
		{
			name: "a new tag",
			tags: []TagImport{succeeded("n", "q.io/x:n", "2")},
			after: func(s *imagev1.ImageStream) {
				SetSpecTag(s, docker("n", "q.io/x:n", generation(0)))
				AddEvent(s, "n", event("q.io/x@"+image("2"), image("2"), 6, at(20)))
			},
		},
		{
			name: "what a tag was is kept, what it refers to is not",
			before: func(s *imagev1.ImageStream) {
				SetSpecTag(s, tracking("a", "b", asReference, generation(2), func(tag *imagev1.TagReference) {
					tag.Annotations = map[string]string{"k": "v"}
					tag.ReferencePolicy.Type = imagev1.LocalTagReferencePolicy
				}))
			},
			tags: []TagImport{succeeded("a", "q.io/x:1", "2")},
			after: func(s *imagev1.ImageStream) {
				tag := SpecTag(s, "a")
				tag.From = &corev1.ObjectReference{Kind: KindDockerImage, Name: "q.io/x:1"}
				tag.Generation = generationOf(0)
				AddEvent(s, "a", event("q.io/x@"+image("2"), image("2"), 6, at(20)))
			},
		},
		{
			name:   "a reference policy is set where there is none",
			before: func(s *imagev1.ImageStream) { SpecTag(s, "a").ReferencePolicy.Type = "" },
			tags:   []TagImport{succeeded("a", "q.io/x:1", "2")},
			after: func(s *imagev1.ImageStream) {
				tag := SpecTag(s, "a")
				tag.ReferencePolicy.Type, tag.Generation = imagev1.SourceTagReferencePolicy, generationOf(0)
				AddEvent(s, "a", event("q.io/x@"+image("2"), image("2"), 6, at(20)))
			},
		},
		{
			name: "two images for one tag: both are in history, the last one wins",
			tags: []TagImport{succeeded("a", "q.io/x:1", "2"), succeeded("a", "q.io/x:2", "3")},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "a").From.Name, SpecTag(s, "a").Generation = "q.io/x:2", generationOf(0)
				AddEvent(s, "a", event("q.io/x@"+image("2"), image("2"), 6, at(20)))
				AddEvent(s, "a", event("q.io/x@"+image("3"), image("3"), 6, at(20)))
			},
		},
		{
			name: "a failure, then the known image, for one tag",
			tags: []TagImport{refused("a", "q.io/y:1", "NotFound", "gone"), succeeded("a", "q.io/x:1", "1")},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "a").Generation = generationOf(0)
				LatestEvent(s, "a").Generation = 6
			},
		},
		{
			name: "a failure keeps history",
			tags: []TagImport{refused("a", "q.io/x:other", "NotFound", "gone")},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "a").Generation = generationOf(0)
				StatusTag(s, "a").Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 6, at(20))}
			},
		},
		{
			name: "another failure",
			tags: []TagImport{refused("b", "q.io/x:b", "Unauthorized", "no access")},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "b").Generation = generationOf(0)
				StatusTag(s, "b").Conditions = []imagev1.TagEventCondition{failed("Unauthorized", "no access", 6, at(20))}
			},
		},
		{
			name:   "the same failure of a newer spec, O36",
			before: func(s *imagev1.ImageStream) { SpecTag(s, "b").Generation = generationOf(5) },
			tags:   []TagImport{refused("b", "q.io/x:b", "NotFound", "gone")},
			after: func(s *imagev1.ImageStream) {
				StatusTag(s, "b").Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 5, at(3))}
			},
		},
		{
			name: "a failure of a new tag",
			tags: []TagImport{refused("n", "q.io/x:n", "NotFound", "gone")},
			after: func(s *imagev1.ImageStream) {
				SetSpecTag(s, docker("n", "q.io/x:n", generation(0)))
				ensureStatusTag(s, "n").Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 6, at(20))}
			},
		},
		{
			name: "a failure of a new tag of a repository makes no spec tag",
			tags: []TagImport{func() TagImport { r := refused("n", "q.io/x:n", "NotFound", "gone"); r.OfRepository = true; return r }()},
			after: func(s *imagev1.ImageStream) {
				ensureStatusTag(s, "n").Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 6, at(20))}
			},
		},
		{
			name:   "the same failure of a tag that left spec",
			before: func(s *imagev1.ImageStream) { RemoveSpecTag(s, "b") },
			tags:   []TagImport{refused("b", "q.io/x:b", "NotFound", "gone")},
			after: func(s *imagev1.ImageStream) {
				SetSpecTag(s, docker("b", "q.io/x:b", generation(0)))
				StatusTag(s, "b").Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 6, at(3))}
			},
		},
		{
			name: "neither an image nor a reason",
			tags: []TagImport{refused("a", "q.io/x:1", "", "")},
			after: func(s *imagev1.ImageStream) {
				SpecTag(s, "a").Generation = generationOf(0)
				StatusTag(s, "a").Conditions = []imagev1.TagEventCondition{failed("", unknownFailure, 6, at(20))}
			},
		},
		{
			name:   "never imported from",
			before: func(s *imagev1.ImageStream) { s.Annotations = nil },
			after:  func(*imagev1.ImageStream) {},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := stored()
			if test.before != nil {
				test.before(s)
			}
			before, want := s.DeepCopy(), s.DeepCopy()
			changed := ApplyImport(s, ImportOutcome{Now: at(20), Tags: test.tags})
			if changed == test.same {
				t.Errorf("changed: %t", changed)
			}
			if !test.same {
				test.after(want)
				metav1.SetMetaDataAnnotation(&want.ObjectMeta, imagev1.DockerImageRepositoryCheckAnnotation, checked)
			}
			equal(t, "stream", want, s)

			// What was learned is learned, and answers what spec asked for.
			PrepareUpdateWithStatus(s, before)
			if len(test.tags) == 1 && ApplyImport(s, ImportOutcome{Now: at(21), Tags: test.tags}) {
				t.Error("the same outcome once more is a change")
			}
			if need := ImportNeeds(s); !need.Empty() {
				t.Errorf("still to be imported: %v", need)
			}
		})
	}
}

func TestApplyImportToNewStream(t *testing.T) {
	s := streamOf()
	if !ApplyImport(s, ImportOutcome{Now: at(20), Tags: []TagImport{
		succeeded("a", "q.io/x:1", "1"), refused("b", "q.io/x:nope", "NotFound", "gone"),
	}}) {
		t.Error("nothing changed")
	}
	PrepareCreateWithStatus(s)

	want := withGeneration(streamOf(docker("a", "q.io/x:1", generation(1)), docker("b", "q.io/x:nope", generation(1))), 1)
	want.Annotations = map[string]string{imagev1.DockerImageRepositoryCheckAnnotation: checked}
	b := history("b")
	b.Conditions = []imagev1.TagEventCondition{failed("NotFound", "gone", 1, at(20))}
	withStatus(want, history("a", event("q.io/x@"+image("1"), image("1"), 1, at(20))), b)
	equal(t, "stream (A2)", want, s)
}

func TestOutcomeOf(t *testing.T) {
	policy := imagev1.TagImportPolicy{Insecure: true}
	local := imagev1.TagReferencePolicy{Type: imagev1.LocalTagReferencePolicy}
	found := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "sha256:1"}, DockerImageReference: "q.io/x@sha256:1"}
	notFound := failure("NotFound", "gone")
	isi := &imagev1.ImageStreamImport{
		Spec: imagev1.ImageStreamImportSpec{
			Repository: &imagev1.RepositoryImportSpec{
				From: corev1.ObjectReference{Kind: KindDockerImage, Name: "q.io/r"}, ImportPolicy: policy, ReferencePolicy: local,
			},
			Images: []imagev1.ImageImportSpec{
				{From: corev1.ObjectReference{Kind: KindDockerImage, Name: "q.io/x@sha256:1"}},
				{From: corev1.ObjectReference{Kind: KindDockerImage, Name: "q.io/x:1"}, To: &corev1.LocalObjectReference{Name: "to"}, ImportPolicy: legacy},
				{From: corev1.ObjectReference{Kind: KindDockerImage, Name: "q.io/x:no"}, To: &corev1.LocalObjectReference{Name: "no"}, ReferencePolicy: local},
			},
		},
		Status: imagev1.ImageStreamImportStatus{
			Repository: &imagev1.RepositoryImportStatus{Images: []imagev1.ImageImportStatus{
				{Tag: "latest", Image: found, Status: metav1.Status{Status: metav1.StatusSuccess}}, {Tag: "2", Status: notFound}, {Status: notFound},
			}},
			Images: []imagev1.ImageImportStatus{
				{Image: found}, {Tag: "1", Image: found}, {Tag: "no", Status: notFound},
			},
		},
	}
	equal(t, "outcome", ImportOutcome{Now: at(1), Tags: []TagImport{
		{Tag: "latest", From: "q.io/r:latest", ImportPolicy: policy, ReferencePolicy: local, OfRepository: true,
			Image: "sha256:1", Reference: "q.io/x@sha256:1", Status: metav1.Status{Status: metav1.StatusSuccess}},
		{Tag: "2", From: "q.io/r:2", ImportPolicy: policy, ReferencePolicy: local, OfRepository: true, Status: notFound},
		{Tag: "to", From: "q.io/x:1", ImportPolicy: legacy, Image: "sha256:1", Reference: "q.io/x@sha256:1"},
		{Tag: "no", From: "q.io/x:no", ReferencePolicy: local, Status: notFound},
	}}, OutcomeOf(isi, at(1)))
	equal(t, "outcome of nothing", ImportOutcome{Now: at(1)}, OutcomeOf(&imagev1.ImageStreamImport{Spec: isi.Spec}, at(1)))
}

func TestRecordRefusal(t *testing.T) {
	s := withStatus(withGeneration(streamOf(docker("a", "q.io/x:1", generation(1))), 4), history("a", event("r", "i", 1, at(1))))
	attempted := s.DeepCopy()
	AddEvent(attempted, "a", event("r2", "i2", 5, at(2)))
	AddEvent(attempted, "n", event("r2", "i2", 5, at(2)))
	SetSpecTag(attempted, docker("n", "q.io/x:n"))
	want := s.DeepCopy()
	ensureStatusTag(want, "n").Conditions = []imagev1.TagEventCondition{failed("Invalid", "too many", 5, at(2))}

	refusal := failure(metav1.StatusReasonInvalid, "too many")
	if !RecordRefusal(s, attempted, refusal, false, at(2)) {
		t.Error("nothing changed")
	}
	equal(t, "stream", want, s)
	if RecordRefusal(s, attempted, refusal, false, at(3)) {
		t.Error("it is recorded twice")
	}

	if !RecordRefusal(s, attempted, refusal, true, at(3)) {
		t.Error("nothing changed for the tag that would have moved")
	}
	ensureStatusTag(want, "a").Conditions = []imagev1.TagEventCondition{failed("Invalid", "too many", 5, at(3))}
	equal(t, "stream", want, s)
	if RecordRefusal(s, attempted, refusal, true, at(4)) {
		t.Error("it is recorded twice for the tag that would have moved")
	}
}
