package stream

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Builders of objects as tests need them, so that a table row shows only what it is
// about.

// at is a time n minutes into the day of the tests.
func at(n int) metav1.Time {
	return metav1.NewTime(time.Date(2026, 11, 21, 0, n, 0, 0, time.UTC))
}

func streamOf(tags ...imagev1.TagReference) *imagev1.ImageStream {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "s"}}
	s.Spec.Tags = tags
	Normalize(s)
	return s
}

func withStatus(s *imagev1.ImageStream, tags ...imagev1.NamedTagEventList) *imagev1.ImageStream {
	s.Status.Tags = tags
	Normalize(s)
	return s
}

func withGeneration(s *imagev1.ImageStream, generation int64) *imagev1.ImageStream {
	s.Generation = generation
	return s
}

func named(s *imagev1.ImageStream, namespace, name string) *imagev1.ImageStream {
	s.Namespace, s.Name = namespace, name
	return s
}

func spec(name, kind, from string, change ...func(*imagev1.TagReference)) imagev1.TagReference {
	tag := imagev1.TagReference{
		Name:            name,
		From:            &corev1.ObjectReference{Kind: kind, Name: from},
		ImportPolicy:    imagev1.TagImportPolicy{ImportMode: imagev1.ImportModeLegacy},
		ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.SourceTagReferencePolicy},
	}
	for _, c := range change {
		c(&tag)
	}
	return tag
}

func docker(name, from string, change ...func(*imagev1.TagReference)) imagev1.TagReference {
	return spec(name, KindDockerImage, from, change...)
}

func tracking(name, from string, change ...func(*imagev1.TagReference)) imagev1.TagReference {
	return spec(name, KindImageStreamTag, from, change...)
}

func generation(g int64) func(*imagev1.TagReference) {
	return func(t *imagev1.TagReference) { t.Generation = &g }
}

func in(namespace string) func(*imagev1.TagReference) {
	return func(t *imagev1.TagReference) { t.From.Namespace = namespace }
}

func asReference(t *imagev1.TagReference) { t.Reference = true }
func scheduled(t *imagev1.TagReference)   { t.ImportPolicy.Scheduled = true }
func preserve(t *imagev1.TagReference) {
	t.ImportPolicy.ImportMode = imagev1.ImportModePreserveOriginal
}

func history(tag string, items ...imagev1.TagEvent) imagev1.NamedTagEventList {
	return imagev1.NamedTagEventList{Tag: tag, Items: items}
}

func event(ref, image string, generation int64, created metav1.Time) imagev1.TagEvent {
	return imagev1.TagEvent{Created: created, DockerImageReference: ref, Image: image, Generation: generation}
}

func failed(reason, message string, generation int64, since metav1.Time) imagev1.TagEventCondition {
	return imagev1.TagEventCondition{
		Type: imagev1.ImportSuccess, Status: corev1.ConditionFalse, LastTransitionTime: since,
		Reason: reason, Message: message, Generation: generation,
	}
}

// equal fails the test with the difference. API times are equal when they are the
// same instant.
func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// id is a digest of one repeated hexadecimal digit.
func id(digit byte) string { return "sha256:" + strings.Repeat(string(digit), 64) }

// image is a whole digest that begins with these hexadecimal digits.
func image(start string) string { return "sha256:" + start + strings.Repeat("0", 64-len(start)) }

func equalStreams(a, b *imagev1.ImageStream) bool { return equality.Semantic.DeepEqual(a, b) }
