package imagestreammapping

import (
	"errors"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/imageapi"
)

func TestPrepareForCreatePlacesImageInTheStream(t *testing.T) {
	scheme, _ := imageapi.NewScheme("")
	const image = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
	for name, test := range map[string]struct{ host, sent, want string }{
		"in the stream's repository":    {"registry.svc:5000", "", "registry.svc:5000/ns/s@" + image},
		"where it says":                 {"registry.svc:5000", "example.com/a:1", "example.com/a:1"},
		"nowhere without a registry":    {"", "", ""},
		"where it says, without a host": {"", "example.com/a:1", "example.com/a:1"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Tag: "t"}
			m.Image.Name, m.Image.DockerImageReference = image, test.sent
			m.Image.Signatures = make([]imagev1.ImageSignature, 1)
			s := newStrategy(scheme, test.host)
			s.PrepareForCreate(t.Context(), m)
			if m.Image.DockerImageReference != test.want || len(m.Image.Signatures) != 0 {
				t.Errorf("reference %q, %d signatures; want %q, none", m.Image.DockerImageReference, len(m.Image.Signatures), test.want)
			}
			if errs := s.Validate(t.Context(), m); (len(errs) == 0) != (test.want != "") {
				t.Errorf("validation: %v", errs)
			}
		})
	}
}

// TestEmptyMappingNamesNoPlace is for a mapping that has neither a stream nor an image.
func TestEmptyMappingNamesNoPlace(t *testing.T) {
	scheme, _ := imageapi.NewScheme("")
	for host, want := range map[string]field.ErrorType{"registry.svc:5000": field.ErrorTypeInvalid, "": field.ErrorTypeRequired} {
		m := &imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}}
		s := newStrategy(scheme, host)
		s.PrepareForCreate(t.Context(), m)
		errs := s.Validate(t.Context(), m).Filter(func(err error) bool {
			var e *field.Error
			return !errors.As(err, &e) || e.Field != "image.dockerImageReference"
		})
		if len(errs) != 1 || errs[0].Type != want {
			t.Errorf("with the registry %q: %v, want %s on image.dockerImageReference", host, errs, want)
		}
	}
}
