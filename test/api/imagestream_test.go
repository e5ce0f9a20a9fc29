package api_test

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestCreateCountsGenerationsItself(t *testing.T) {
	ns := env.Namespace(t, "generation")
	seven := int64(7)
	got, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "s"},
		Spec:       imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{{Name: "t", Generation: &seven}}},
		Status:     imagev1.ImageStreamStatus{Tags: []imagev1.NamedTagEventList{{Tag: "t", Items: []imagev1.TagEvent{{Image: "x"}}}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Generation != 1 || *got.Spec.Tags[0].Generation != 1 || len(got.Status.Tags) != 0 {
		t.Errorf("created %d, tag %d, status %v; want generation 1, tag 1, no status", got.Generation, *got.Spec.Tags[0].Generation, got.Status.Tags)
	}
}
