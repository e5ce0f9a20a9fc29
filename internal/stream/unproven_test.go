package stream

import (
	"fmt"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// withImages is a stream with images in the history of one tag.
func withImages(images ...string) *imagev1.ImageStream {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}}
	for _, image := range images {
		AddEvent(s, "t", imagev1.TagEvent{Image: image, DockerImageReference: "r/n@" + image})
	}
	return s
}

func wantUnproven(t *testing.T, s *imagev1.ImageStream, want bool, images ...string) {
	t.Helper()
	for _, image := range images {
		if got := Unproven(s, image); got != want {
			t.Errorf("image %s is unproven: %v, want %v (%q)", image, got, want, s.Annotations[AnnotationUnproven])
		}
	}
}

func TestNamingAnImageProvesNothing(t *testing.T) {
	s := withImages("pushed")
	MarkUnproven(s, "pushed")
	wantUnproven(t, s, false, "pushed")

	MarkUnproven(s, "named")
	AddEvent(s, "t", imagev1.TagEvent{Image: "named"})
	MarkUnproven(s, "named")
	wantUnproven(t, s, true, "named")
	if ProvenIn(s, "named") || !ProvenIn(s, "pushed") || ProvenIn(s, "absent") {
		t.Errorf("proven are %v, %v, %v", ProvenIn(s, "named"), ProvenIn(s, "pushed"), ProvenIn(s, "absent"))
	}
	PruneUnproven(s)
	wantUnproven(t, s, true, "named")
	if !MarkProven(s, "named") || MarkProven(s, "named") {
		t.Error("an image is not proven once")
	}
	if _, left := s.Annotations[AnnotationUnproven]; left || !ProvenIn(s, "named") {
		t.Errorf("the annotations are %v", s.Annotations)
	}
}

func TestUnprovenImagesLeaveWithTheHistory(t *testing.T) {
	s := withImages("old")
	s.Annotations = map[string]string{AnnotationUnproven: ""}
	PruneUnproven(s)
	MarkNew(s, withImages())
	wantUnproven(t, s, true, "old")
	s.Status.Tags = nil
	PruneUnproven(s)
	wantUnproven(t, s, false, "old")
}

func TestNewImagesOfAStatusAreUnproven(t *testing.T) {
	s := withImages("a", "b", "c")
	KeepUnproven(s, func() *imagev1.ImageStream { old := withImages(); MarkUnproven(old, "a"); return old }())
	MarkNew(s, withImages("a", "b"))
	wantUnproven(t, s, true, "a", "c")
	wantUnproven(t, s, false, "b")
}

func TestCopiesInheritProof(t *testing.T) {
	named := withImages()
	MarkUnproven(named, "x")
	AddEvent(named, "t", imagev1.TagEvent{Image: "x"})

	s := withImages()
	inheritProof(s, named, "x")
	wantUnproven(t, s, true, "x")
	inheritProof(s, withImages("x"), "x")
	wantUnproven(t, s, false, "x")
	AddEvent(s, "t", imagev1.TagEvent{Image: "x"})
	inheritProof(s, named, "x")
	wantUnproven(t, s, false, "x")
}

// Whoever finds two images with the same digits proves one and wants the other.
func TestSameDigitsProveNothing(t *testing.T) {
	const first, second = "69235", "95303"
	if unprovenKey(first) != unprovenKey(second) {
		t.Fatal("the names have different digits")
	}
	s := withImages()
	MarkUnproven(s, first)
	AddEvent(s, "t", imagev1.TagEvent{Image: first, DockerImageReference: "r/n@" + first})
	AddEvent(s, "t", imagev1.TagEvent{Image: second, DockerImageReference: "r/n@" + second})
	if MarkProven(s, second) || !Unproven(s, first) {
		t.Errorf("proving %s proves %s", second, first)
	}
}

func TestAllImagesOfALargeStreamHaveRoom(t *testing.T) {
	const images = 9000 // with their events more than etcd stores in one object
	s := withImages()
	for i := range images {
		s.Status.Tags = append(s.Status.Tags, imagev1.NamedTagEventList{Tag: fmt.Sprint(i), Items: []imagev1.TagEvent{{Image: fmt.Sprint(i)}}})
	}
	MarkNew(s, withImages())
	if size := len(s.Annotations[AnnotationUnproven]); size+maxCopiedFrom > 256<<10 {
		t.Errorf("the annotations take %d bytes beside %d", size, maxCopiedFrom)
	}
}
