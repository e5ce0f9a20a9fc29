package imagestreamtag

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/apiserver/tagview"
)

var (
	made   = metav1.NewTime(time.Unix(1000, 0))
	pushed = metav1.NewTime(time.Unix(2000, 0))
)

func sample() *imagev1.ImageStream {
	three := int64(3)
	return &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "p", Name: "s", UID: "u", ResourceVersion: "9", Generation: 7, CreationTimestamp: made,
			Labels: map[string]string{"l": "m"}, Annotations: map[string]string{"stream": "only"}, Finalizers: []string{"f"},
		},
		Spec: imagev1.ImageStreamSpec{
			LookupPolicy: imagev1.ImageLookupPolicy{Local: true},
			Tags: []imagev1.TagReference{
				{Name: "a", Generation: &three, Annotations: map[string]string{"x": "y"}, From: &corev1.ObjectReference{Kind: "DockerImage", Name: "q.io/x:1"},
					ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.LocalTagReferencePolicy}},
				{Name: "ref", Reference: true},
				{Name: "wanted", Annotations: map[string]string{"x": "y"}},
			},
		},
		Status: imagev1.ImageStreamStatus{
			DockerImageRepository: "reg.svc:5000/p/s",
			Tags: []imagev1.NamedTagEventList{
				{Tag: "a", Items: []imagev1.TagEvent{{Created: pushed, Image: "sha256:d2", DockerImageReference: "q.io/x@sha256:d2", Generation: 5}, {Image: "sha256:d1"}},
					Conditions: []imagev1.TagEventCondition{{Type: imagev1.ImportSuccess, Status: corev1.ConditionFalse}}},
				{Tag: "failed", Conditions: []imagev1.TagEventCondition{{Type: imagev1.ImportSuccess}}},
				{Tag: "pushed", Items: []imagev1.TagEvent{{Created: pushed, Image: "sha256:d3", DockerImageReference: "reg.svc:5000/p/s@sha256:d3", Generation: 6}}},
				{Tag: "ref", Items: []imagev1.TagEvent{{Created: pushed, DockerImageReference: "q.io/x:1", Generation: 4}}},
			},
		},
	}
}

func TestView(t *testing.T) {
	s := sample()
	expect := func(name string, change func(*imagev1.ImageStreamTag)) *imagev1.ImageStreamTag {
		want := &imagev1.ImageStreamTag{
			ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: name, UID: "u", ResourceVersion: "9", CreationTimestamp: made, Labels: s.Labels},
			Image:      tagview.Image(s, nil, nil, nil), LookupPolicy: imagev1.ImageLookupPolicy{Local: true},
		}
		change(want)
		return want
	}
	for tag, want := range map[string]*imagev1.ImageStreamTag{
		"a": expect("s:a", func(t *imagev1.ImageStreamTag) {
			t.CreationTimestamp, t.Generation, t.Annotations = pushed, 5, map[string]string{"x": "y"}
			t.Tag, t.Conditions = &s.Spec.Tags[0], s.Status.Tags[0].Conditions
			t.Image.Name, t.Image.DockerImageReference = "sha256:d2", "reg.svc:5000/p/s@sha256:d2"
		}),
		"failed": expect("s:failed", func(t *imagev1.ImageStreamTag) { t.Conditions = s.Status.Tags[1].Conditions }),
		"pushed": expect("s:pushed", func(t *imagev1.ImageStreamTag) {
			t.CreationTimestamp, t.Generation = pushed, 6
			t.Image.Name, t.Image.DockerImageReference = "sha256:d3", "reg.svc:5000/p/s@sha256:d3"
		}),
		"ref": expect("s:ref", func(t *imagev1.ImageStreamTag) {
			t.Tag = &s.Spec.Tags[1]
		}),
		"wanted": expect("s:wanted", func(t *imagev1.ImageStreamTag) {
			t.Annotations, t.Tag = map[string]string{"x": "y"}, &s.Spec.Tags[2]
		}),
		"neither": expect("s:neither", func(*imagev1.ImageStreamTag) {}),
	} {
		t.Run(tag, func(t *testing.T) {
			if diff := cmp.Diff(want, view(s, tag, nil)); diff != "" {
				t.Errorf("view (-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(sample(), s); diff != "" {
		t.Errorf("the stream was changed (-before +after):\n%s", diff)
	}
}

func TestViewIncludesTheImage(t *testing.T) {
	img := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "sha256:d2", UID: "i", Annotations: map[string]string{"o": "k"}}, DockerImageManifest: "{}", DockerImageReference: "elsewhere"}
	got := view(sample(), "a", img)
	want := imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "sha256:d2", UID: "i", Annotations: map[string]string{"o": "k", "x": "y"}}, DockerImageReference: "reg.svc:5000/p/s@sha256:d2"}
	if diff := cmp.Diff(want, got.Image); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
}

func TestViewOutlivesChangesOfTheStream(t *testing.T) {
	s := sample()
	v := view(s, "a", nil)
	if err := put(s, "a", &imagev1.ImageStreamTag{Tag: &imagev1.TagReference{Reference: true}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(view(sample(), "a", nil), v); diff != "" {
		t.Errorf("the view changed with the stream (-before +after):\n%s", diff)
	}
}

func TestWithImage(t *testing.T) {
	if diff := cmp.Diff([]string{"a", "pushed"}, withImage(sample())); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestPut(t *testing.T) {
	from := &corev1.ObjectReference{Kind: "ImageStreamTag", Name: "b"}
	for name, test := range map[string]struct {
		tag         string
		wanted      *imagev1.TagReference
		annotations map[string]string
		want        imagev1.TagReference
		refused     bool
	}{
		"tag replaces":                {"a", &imagev1.TagReference{Name: "else", From: from}, nil, imagev1.TagReference{Name: "a", From: from}, false},
		"tag is added":                {"new", &imagev1.TagReference{From: from}, map[string]string{"k": "v"}, imagev1.TagReference{Name: "new", From: from, Annotations: map[string]string{"k": "v"}}, false},
		"tag is added to status only": {"pushed", &imagev1.TagReference{From: from}, nil, imagev1.TagReference{Name: "pushed", From: from}, false},
		"no tag: annotations alone":   {"wanted", nil, map[string]string{"k": "v"}, imagev1.TagReference{Name: "wanted", Annotations: map[string]string{"k": "v"}}, false},
		"no tag, no annotations":      {"wanted", nil, nil, imagev1.TagReference{Name: "wanted"}, false},
		"nothing to change":           {"pushed", nil, nil, imagev1.TagReference{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := sample()
			err := put(s, test.tag, &imagev1.ImageStreamTag{ObjectMeta: metav1.ObjectMeta{Annotations: test.annotations}, Tag: test.wanted})
			if test.refused {
				if !apierrors.IsBadRequest(err) {
					t.Errorf("got %v, want 400", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, specTag := range s.Spec.Tags {
				if specTag.Name == test.tag {
					if diff := cmp.Diff(test.want, specTag); diff != "" {
						t.Errorf("spec tag (-want +got):\n%s", diff)
					}
					return
				}
			}
			t.Errorf("no spec tag %q", test.tag)
		})
	}
}
