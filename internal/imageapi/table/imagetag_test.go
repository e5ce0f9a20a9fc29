package table

import (
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestImageTagWords(t *testing.T) {
	generation := func(n int64) *int64 { return &n }
	ref := func(kind, namespace, name string) *corev1.ObjectReference {
		return &corev1.ObjectReference{Kind: kind, Namespace: namespace, Name: name}
	}
	head := func(image string, generation int64) *imagev1.NamedTagEventList {
		return &imagev1.NamedTagEventList{Items: []imagev1.TagEvent{{DockerImageReference: "ref", Image: image, Generation: generation}}}
	}
	failed := func(s *imagev1.NamedTagEventList, status corev1.ConditionStatus) *imagev1.NamedTagEventList {
		s.Conditions = []imagev1.TagEventCondition{{Type: "ImportSuccess", Status: status, Reason: "NotFound"}}
		return s
	}
	for name, test := range map[string]struct {
		spec        *imagev1.TagReference
		status      *imagev1.NamedTagEventList
		word, state string
	}{
		"nothing":             {nil, nil, "", ""},
		"spec without from":   {&imagev1.TagReference{}, nil, "", ""},
		"pushed, no spec":     {nil, head("i", 1), "Push", "image/i"},
		"conditions, no spec": {nil, failed(&imagev1.NamedTagEventList{}, "False"), "", "ImportFailed (NotFound)"},
		"tag pending":         {&imagev1.TagReference{From: ref("DockerImage", "", "q.io/x:1"), Generation: generation(1)}, nil, "Tag", "q.io/x:1"},
		"tag":                 {&imagev1.TagReference{From: ref("DockerImage", "", "q.io/x:1"), Generation: generation(2)}, head("i", 2), "Tag", "image/i"},
		"importing":           {&imagev1.TagReference{From: ref("DockerImage", "", "q.io/x:1"), Generation: generation(3)}, head("i", 2), "Tag", "Importing"},
		"pushed over":         {&imagev1.TagReference{From: ref("DockerImage", "", "q.io/x:1"), Generation: generation(2)}, head("i", 3), "Push", "image/i"},
		"pushed over no from": {&imagev1.TagReference{Generation: generation(2)}, head("i", 3), "Push", "image/i"},
		"no generation":       {&imagev1.TagReference{From: ref("DockerImage", "", "q.io/x:1")}, head("i", 3), "Tag", "image/i"},
		"reference":           {&imagev1.TagReference{From: ref("DockerImage", "", "q.io/x:1"), Reference: true}, head("", 0), "Ref", "ref"},
		"scheduled":           {&imagev1.TagReference{From: ref("DockerImage", "", "q.io/x:1"), Reference: true, ImportPolicy: imagev1.TagImportPolicy{Scheduled: true}}, nil, "Scheduled", "q.io/x:1"},
		"track":               {&imagev1.TagReference{From: ref("ImageStreamTag", "", "a"), Generation: generation(1)}, head("i", 5), "Track", "image/i"},
		"track pending":       {&imagev1.TagReference{From: ref("ImageStreamTag", "", "a")}, nil, "Track", "istag/a"},
		"other stream":        {&imagev1.TagReference{From: ref("ImageStreamTag", "", "s:a")}, nil, "Tag", "istag/s:a"},
		"other namespace":     {&imagev1.TagReference{From: ref("ImageStreamTag", "q", "s:a")}, nil, "Tag", "istag q/s:a"},
		"image":               {&imagev1.TagReference{From: ref("ImageStreamImage", "", "s@sha256:1")}, nil, "Tag", "image/sha256:1"},
		"failed":              {&imagev1.TagReference{From: ref("DockerImage", "", "q.io/x:1"), Generation: generation(3)}, failed(head("i", 2), "False"), "Tag", "ImportFailed (NotFound), image/i"},
		"not failed":          {&imagev1.TagReference{From: ref("DockerImage", "", "q.io/x:1")}, failed(head("i", 2), "True"), "Tag", "image/i"},
		"bad name":            {&imagev1.TagReference{From: ref("DockerImage", "", "UP")}, failed(head("i", 2), "False"), "Tag", "InvalidRefName"},
		"bad tag":             {&imagev1.TagReference{From: ref("ImageStreamTag", "", "a:b:c")}, nil, "Tag", "InvalidRefName"},
		"bad image":           {&imagev1.TagReference{From: ref("ImageStreamImage", "", "a@b@c")}, nil, "Tag", "InvalidRefName"},
		"bad kind":            {&imagev1.TagReference{From: ref("Pod", "", "a")}, head("i", 2), "Tag", "InvalidRefKind"},
	} {
		t.Run(name, func(t *testing.T) {
			tag := &imagev1.ImageTag{Spec: test.spec, Status: test.status}
			if got := specWord(tag); got != test.word {
				t.Errorf("spec %q, want %q", got, test.word)
			}
			if got := statusText(tag); got != test.state {
				t.Errorf("status %q, want %q", got, test.state)
			}
		})
	}
}

func TestLastChangeOfATag(t *testing.T) {
	status := &imagev1.NamedTagEventList{
		Items:      []imagev1.TagEvent{{Created: before(time.Hour)}},
		Conditions: []imagev1.TagEventCondition{{LastTransitionTime: before(time.Minute)}},
	}
	if got := lastChange(&imagev1.ImageTag{Status: status}); !got.Equal(now.Add(-time.Minute)) {
		t.Errorf("got %v, want the condition's", got)
	}
	status.Items[0].Created = before(time.Second)
	if got := lastChange(&imagev1.ImageTag{Status: status}); !got.Equal(now.Add(-time.Second)) {
		t.Errorf("got %v, want the head's", got)
	}
	if got := lastChange(&imagev1.ImageTag{}); !got.IsZero() {
		t.Errorf("got %v for no status", got)
	}
}
