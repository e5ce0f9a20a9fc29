package imagetag

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/stream"
)

func sample() *imagev1.ImageStream {
	return &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "p", Name: "s", UID: "u", ResourceVersion: "9", Generation: 7,
			Labels: map[string]string{"l": "m"}, Annotations: map[string]string{"a": "b"}, Finalizers: []string{"f"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
		},
		Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{
			{Name: "both", ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.LocalTagReferencePolicy}}, {Name: "wanted"}},
		},
		Status: imagev1.ImageStreamStatus{
			DockerImageRepository: "reg.svc:5000/p/s",
			Tags: []imagev1.NamedTagEventList{
				{Tag: "both", Items: []imagev1.TagEvent{{Image: "sha256:d1", DockerImageReference: "q.io/x@sha256:d1"}}},
				{Tag: "failed", Conditions: []imagev1.TagEventCondition{{Type: imagev1.ImportSuccess}}},
			},
		},
	}
}

func TestView(t *testing.T) {
	s := sample()
	meta := func(name string) metav1.ObjectMeta {
		m := s.ObjectMeta
		m.Name = name
		return m
	}
	stored := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "sha256:d1"}, DockerImageManifest: "{}", DockerImageConfig: "{}"}
	shown := &imagev1.Image{ObjectMeta: stored.ObjectMeta, DockerImageReference: "reg.svc:5000/p/s@sha256:d1"}
	for name, test := range map[string]struct {
		tag  string
		img  *imagev1.Image
		want imagev1.ImageTag
	}{
		"with image":    {"both", stored, imagev1.ImageTag{ObjectMeta: meta("s:both"), Spec: &s.Spec.Tags[0], Status: &s.Status.Tags[0], Image: shown}},
		"without image": {"both", nil, imagev1.ImageTag{ObjectMeta: meta("s:both"), Spec: &s.Spec.Tags[0], Status: &s.Status.Tags[0]}},
		"spec only":     {"wanted", nil, imagev1.ImageTag{ObjectMeta: meta("s:wanted"), Spec: &s.Spec.Tags[1]}},
		"status only":   {"failed", nil, imagev1.ImageTag{ObjectMeta: meta("s:failed"), Status: &s.Status.Tags[1]}},
		"neither":       {"nothing", nil, imagev1.ImageTag{ObjectMeta: meta("s:nothing")}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(&test.want, view(s, test.tag, test.img)); diff != "" {
				t.Errorf("view (-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(sample(), s); diff != "" {
		t.Errorf("the stream was changed (-before +after):\n%s", diff)
	}
}

func TestPut(t *testing.T) {
	for name, test := range map[string]struct {
		tag     string
		spec    *imagev1.TagReference
		want    []string // spec tags afterwards
		refused bool
	}{
		"replaced":                {"both", &imagev1.TagReference{Name: "both", Reference: true}, []string{"both", "wanted"}, false},
		"added":                   {"new", &imagev1.TagReference{Name: "new"}, []string{"both", "new", "wanted"}, false},
		"removed":                 {"both", nil, []string{"wanted"}, false},
		"removed, no status":      {"wanted", nil, []string{"both"}, false},
		"removed, not there":      {"failed", nil, []string{"both", "wanted"}, false},
		"removed, nothing at all": {"nothing", nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := sample()
			err := put(s, test.tag, &imagev1.ImageTag{ObjectMeta: metav1.ObjectMeta{Name: "s:" + test.tag}, Spec: test.spec})
			if test.refused {
				if !apierrors.IsNotFound(err) {
					t.Errorf("got %v, want 404", err)
				}
				return
			}
			var got []string
			for _, specTag := range s.Spec.Tags {
				got = append(got, specTag.Name)
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("error %v, spec tags (-want +got):\n%s", err, diff)
			}
			if test.spec != nil {
				if diff := cmp.Diff(test.spec, stream.SpecTag(s, test.tag)); diff != "" {
					t.Errorf("spec tag (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(sample().Status, s.Status); diff != "" {
				t.Errorf("status changed (-before +after):\n%s", diff)
			}
		})
	}
}
