package stream

import (
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestShowCurrentNames holds which references get the registry's current name: those that
// were recorded while the registry had the other one.
func TestShowCurrentNames(t *testing.T) {
	now := time.Now()
	hosts := Registries{
		Internal: "registry.example.com", Public: "public.example.com",
		Former: []string{"10.0.0.1:5000"}, Remembered: map[string]time.Time{"127.0.0.1:5000": now},
	}
	for _, test := range []struct {
		ref  string
		at   time.Time
		want string
	}{
		{"10.0.0.1:5000/ns/app@sha256:1", now.Add(time.Hour), "registry.example.com/ns/app@sha256:1"},
		{"127.0.0.1:5000/ns/app@sha256:1", now.Add(-time.Hour), "registry.example.com/ns/app@sha256:1"},
		{"127.0.0.1:5000/ns/app@sha256:1", now.Add(time.Hour), "127.0.0.1:5000/ns/app@sha256:1"},
		{"registry.example.com/ns/app:1", now, "registry.example.com/ns/app:1"},
		{"public.example.com/ns/app:1", now, "public.example.com/ns/app:1"},
		{"quay.io/ns/app:1", now, "quay.io/ns/app:1"},
		{"app", now, "app"},
		{"", now, ""},
	} {
		s := &imagev1.ImageStream{Status: imagev1.ImageStreamStatus{Tags: []imagev1.NamedTagEventList{{
			Tag: "a", Items: []imagev1.TagEvent{{DockerImageReference: test.ref, Created: metav1.NewTime(test.at)}},
		}}}}
		shared := s.Status.Tags[0].Items
		ShowCurrentNames(s, hosts)
		if got := s.Status.Tags[0].Items[0].DockerImageReference; got != test.want {
			t.Errorf("%q of %s is shown as %q, want %q", test.ref, test.at, got, test.want)
		}
		if shared[0].DockerImageReference != test.ref {
			t.Errorf("%q was changed in a list that other versions may share", test.ref)
		}
		image := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(test.at)}, DockerImageReference: test.ref}
		if ShowCurrentName(image, hosts); image.DockerImageReference != test.want {
			t.Errorf("Image: %q of %s is shown as %q, want %q", test.ref, test.at, image.DockerImageReference, test.want)
		}
		ShowCurrentNames(s, Registries{Internal: "other.example.com"})
		if got := s.Status.Tags[0].Items[0].DockerImageReference; got != test.want {
			t.Errorf("without former names %q is shown as %q", test.want, got)
		}
	}
}
