package testenv

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func namespace(prefix string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}
}

// FillStream writes as many events into the history of the tag "full" of a stream that is there
// as fit into a size in bytes, and returns the stream. No Image is made.
func (e *Env) FillStream(t testing.TB, namespace, name string, size int) *imagev1.ImageStream {
	t.Helper()
	streams := e.Images.ImageV1().ImageStreams(namespace)
	s, err := streams.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading the stream to fill: %v", err)
	}
	event := func(i int) imagev1.TagEvent {
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256(fmt.Append(nil, i)))
		return imagev1.TagEvent{
			Created:              metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
			DockerImageReference: "registry.example.com/team/app@" + digest, Image: digest, Generation: 1,
		}
	}
	full := imagev1.NamedTagEventList{Tag: "full"}
	one := event(0)
	const framing, history = 3, 400 // around each event; around all of them, with managedFields
	for n := (size - s.Size() - history) / (one.Size() + framing); len(full.Items) < n; {
		full.Items = append(full.Items, event(len(full.Items)))
	}
	s.Status.Tags = append(s.Status.Tags, full)
	filled, err := streams.UpdateStatus(t.Context(), s, metav1.UpdateOptions{})
	if err != nil {
		t.Fatalf("filling stream %s/%s: %v", namespace, name, err)
	}
	return filled
}
