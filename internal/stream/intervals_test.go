package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
)

var intervals = Intervals{Default: 15 * time.Minute, Minimum: time.Minute}

func intervalTag(name, value string, scheduled bool) imagev1.TagReference {
	return imagev1.TagReference{
		Name: name, From: &corev1.ObjectReference{Kind: "DockerImage", Name: "q.io/x:1"},
		Annotations: map[string]string{AnnotationImportInterval: value}, ImportPolicy: imagev1.TagImportPolicy{Scheduled: scheduled},
	}
}

func TestIntervals(t *testing.T) {
	for value, test := range map[string]struct {
		want    time.Duration
		problem string
	}{
		"5m":                     {5 * time.Minute, ""},
		"36h":                    {36 * time.Hour, ""},
		"1m":                     {time.Minute, ""},
		"1s":                     {time.Minute, `"1s" is less than the minimum, and the interval is 1m0s (schedule.minimumInterval)`},
		"0":                      {15 * time.Minute, "is not a duration"},
		"-5m":                    {15 * time.Minute, "is not a duration"},
		"":                       {15 * time.Minute, "is not a duration"},
		"banana":                 {15 * time.Minute, `"banana" is not a duration such as 5m or 24h and has no effect; the interval is 15m0s`},
		"300":                    {15 * time.Minute, "is not a duration"},
		strings.Repeat("x", 1e5): {15 * time.Minute, "is not a duration"},
	} {
		tag := intervalTag("a", value, true)
		if got := intervals.Of(&tag); got != test.want {
			t.Errorf("interval of %.20q is %v, want %v", value, got, test.want)
		}
		problems := strings.Join(intervals.Problems(&imagev1.ImageStream{Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{tag}}}, nil), "; ")
		if test.problem == "" && problems != "" || !strings.Contains(problems, test.problem) || len(problems) > 300 {
			t.Errorf("%.20q: problems %.400q, want %q", value, problems, test.problem)
		}
		if test.problem != "" && !strings.HasPrefix(problems, "spec.tags[a].annotations[weir.dev/import-interval]: ") {
			t.Errorf("%.20q: no path in %q", value, problems)
		}
	}
	if got := intervals.Of(&imagev1.TagReference{}); got != 15*time.Minute {
		t.Errorf("without an annotation: %v", got)
	}
}

func TestIntervalsWithoutEffect(t *testing.T) {
	s := &imagev1.ImageStream{Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{intervalTag("a", "5m", false)}}}
	s.Annotations = map[string]string{AnnotationImportInterval: "5m"}
	reference := intervalTag("b", "5m", true)
	reference.Reference = true
	s.Spec.Tags = append(s.Spec.Tags, reference)
	found := intervals.Problems(s, nil)
	if len(found) != 3 || !strings.Contains(found[0], "no effect on an image stream") || !strings.Contains(found[1], "[a]") || !strings.Contains(found[2], "not scheduled") {
		t.Errorf("got %q", found)
	}
	if again := intervals.Problems(s.DeepCopy(), s); len(again) != 0 {
		t.Errorf("what is not new is repeated: %q", again)
	}
	changed := s.DeepCopy()
	changed.Spec.Tags[0].Annotations[AnnotationImportInterval] = "banana"
	if again := intervals.Problems(changed, s); len(again) != 1 || !strings.Contains(again[0], "banana") {
		t.Errorf("got %q", again)
	}
	for i := range 100 {
		s.Spec.Tags = append(s.Spec.Tags, intervalTag(fmt.Sprintf("t%d", i), "banana", true))
	}
	if found := intervals.Problems(s, nil); len(found) != 11 {
		t.Errorf("%d problems are named", len(found))
	}
}

func TestMoves(t *testing.T) {
	with := func(images map[string]string) *imagev1.ImageStream {
		s := &imagev1.ImageStream{}
		s.Spec.Tags = []imagev1.TagReference{{Name: "follows", From: &corev1.ObjectReference{Kind: "ImageStreamTag", Name: "moved"}}}
		for _, tag := range []string{"first", "follows", "moved", "same", "gone"} {
			list := imagev1.NamedTagEventList{Tag: tag}
			if images[tag] != "" {
				list.Items = []imagev1.TagEvent{{Image: images[tag]}}
			}
			s.Status.Tags = append(s.Status.Tags, list)
		}
		Normalize(s)
		return s
	}
	got := Moves(
		with(map[string]string{"follows": "sha256:a", "moved": "sha256:a", "same": "sha256:c", "gone": "sha256:d"}),
		with(map[string]string{"follows": "sha256:b", "moved": "sha256:b", "same": "sha256:c", "first": "sha256:e"}),
	)
	want := []Move{{Tag: "follows", From: "sha256:a", To: "sha256:b", Follows: "moved"}, {Tag: "moved", From: "sha256:a", To: "sha256:b"}}
	if len(got) != 2 || !(got[0] == want[0] && got[1] == want[1] || got[0] == want[1] && got[1] == want[0]) {
		t.Errorf("moves %+v, want %+v", got, want)
	}
}
