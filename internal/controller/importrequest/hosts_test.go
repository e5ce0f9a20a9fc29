package importrequest

import (
	"slices"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"

	"weir.dev/weir/internal/stream"
)

func TestNeedsAreMetHostByHost(t *testing.T) {
	s := &imagev1.ImageStream{Spec: imagev1.ImageStreamSpec{DockerImageRepository: "r.io/all"}}
	for tag, name := range map[string]string{"a": "q.io/x:1", "b": "docker.io/library/busybox", "c": "q.io/y", "d": "q.io:5000/x", "e": "Not Parsed"} {
		stream.SetSpecTag(s, imagev1.TagReference{Name: tag, From: &corev1.ObjectReference{Kind: stream.KindDockerImage, Name: name}})
	}
	need := stream.ImportNeed{Repository: true, Tags: []string{"a", "b", "c", "d", "e", "gone"}}
	if got, want := Hosts(s, need), []string{"q.io", "q.io:5000", "r.io", "registry-1.docker.io"}; !slices.Equal(got, want) {
		t.Errorf("hosts %v, want %v", got, want)
	}
	for host, want := range map[string]stream.ImportNeed{
		"q.io":                 {Tags: []string{"a", "c"}},
		"q.io:5000":            {Tags: []string{"d"}},
		"r.io":                 {Repository: true},
		"registry-1.docker.io": {Tags: []string{"b"}},
		"other.io":             {},
	} {
		if got := OfHost(s, need, host); got.Repository != want.Repository || !slices.Equal(got.Tags, want.Tags) {
			t.Errorf("of %s: %+v, want %+v", host, got, want)
		}
	}
}

func TestTurns(t *testing.T) {
	slots := NewHostSlots(8)
	for i := range 2 {
		if !slots.Acquire("a") {
			t.Fatalf("no turn %d of two with 8 workers", i)
		}
	}
	if slots.Acquire("a") {
		t.Error("a third turn with a quarter of 8 workers")
	}
	if !slots.Acquire("b") {
		t.Error("no turn with another registry")
	}
	if left := slots.Release("a"); left != 1 {
		t.Errorf("%d slots in use, want 1", left)
	}
	if !slots.Acquire("a") {
		t.Error("a turn that was given back cannot be taken")
	}
	if NewHostSlots(1).PerHost() != 1 {
		t.Error("a single worker serves nobody")
	}
}
