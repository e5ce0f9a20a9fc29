package imageapi

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestSchemeKnowsEveryKindInBothVersions(t *testing.T) {
	scheme, _ := NewScheme("")
	for _, kind := range []string{
		"Image", "ImageList", "ImageSignature", "ImageStream", "ImageStreamList", "ImageStreamLayers", "SecretList",
		"ImageStreamTag", "ImageStreamTagList", "ImageTag", "ImageTagList", "ImageStreamImage",
		"ImageStreamImport", "ImageStreamMapping",
	} {
		obj, err := scheme.New(imagev1.GroupVersion.WithKind(kind))
		if err != nil {
			t.Fatal(err)
		}
		kinds, unversioned, err := scheme.ObjectKinds(obj)
		if err != nil || unversioned {
			t.Fatalf("%s: kinds %v, unversioned %v, error %v", kind, kinds, unversioned, err)
		}
		want := []schema.GroupVersionKind{imagev1.GroupVersion.WithKind(kind), InternalGroupVersion.WithKind(kind)}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Errorf("%s registered as (-want +got):\n%s", kind, diff)
		}
		for _, gv := range []schema.GroupVersion{imagev1.GroupVersion, InternalGroupVersion} {
			if _, err := scheme.ConvertToVersion(obj, gv); err != nil {
				t.Errorf("%s to %s: %v", kind, gv, err)
			}
		}
	}
}

func TestSchemeKnowsWhatAServerNeeds(t *testing.T) {
	scheme, _ := NewScheme("")
	for _, gvk := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "Status"}, {Version: "v1", Kind: "APIGroup"}, {Version: "v1", Kind: "ListOptions"},
		{Version: "v1", Kind: "DeleteOptions"}, {Group: "meta.k8s.io", Version: "v1", Kind: "Table"},
		{Group: "meta.k8s.io", Version: "v1", Kind: "PartialObjectMetadata"},
		imagev1.GroupVersion.WithKind("ListOptions"), imagev1.GroupVersion.WithKind("WatchEvent"),
		InternalGroupVersion.WithKind("WatchEvent"),
	} {
		if !scheme.Recognizes(gvk) {
			t.Errorf("%s is not registered", gvk)
		}
	}
}

func TestFieldLabels(t *testing.T) {
	scheme, _ := NewScheme("")
	for _, test := range []struct {
		kind, label string
		known       bool
	}{
		{"ImageStream", "metadata.name", true},
		{"ImageStream", "metadata.namespace", true},
		{"ImageStream", "spec.dockerImageRepository", true},
		{"ImageStream", "status.dockerImageRepository", true},
		{"ImageStream", "spec.tags", false},
		{"Image", "metadata.name", true},
		{"Image", "spec.dockerImageRepository", false},
		{"ImageStreamTag", "metadata.name", true},
		{"ImageStreamTag", "metadata.namespace", true},
		{"ImageStreamTag", "status.dockerImageRepository", false},
		{"ImageTag", "metadata.namespace", true},
		{"ImageTag", "tag", false},
	} {
		label, value, err := scheme.ConvertFieldLabel(imagev1.GroupVersion.WithKind(test.kind), test.label, "v")
		if (err == nil) != test.known {
			t.Errorf("%s %s: error %v, known should be %v", test.kind, test.label, err, test.known)
		}
		if test.known && (label != test.label || value != "v") {
			t.Errorf("%s %s became %s=%s", test.kind, test.label, label, value)
		}
		if err != nil && !strings.Contains(err.Error(), `"metadata.name", "metadata.namespace"`) {
			t.Errorf("%s %s: error %q does not name the two common fields", test.kind, test.label, err)
		}
	}
}

func TestAttributes(t *testing.T) {
	s := &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "p", Labels: map[string]string{"a": "b"}},
		Spec:       imagev1.ImageStreamSpec{DockerImageRepository: "q.io/x"},
		Status:     imagev1.ImageStreamStatus{DockerImageRepository: "reg/p/s"},
	}
	labels, fields, err := Attributes(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "b"}, map[string]string(labels)); diff != "" {
		t.Error(diff)
	}
	want := map[string]string{
		"metadata.name": "s", "metadata.namespace": "p",
		"spec.dockerImageRepository": "q.io/x", "status.dockerImageRepository": "reg/p/s",
	}
	if diff := cmp.Diff(want, map[string]string(fields)); diff != "" {
		t.Error(diff)
	}
	if _, _, err := Attributes(&imagev1.ImageStreamList{}); err == nil {
		t.Error("a list has no selectable fields, yet there was no error")
	}
}

// decode reads a body as the server does.
func decode[T runtime.Object](t *testing.T, mode imagev1.ImportModeType, body string, into T) T {
	t.Helper()
	_, codecs := NewScheme(mode)
	info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	if !ok {
		t.Fatal("no JSON serializer")
	}
	decoder := NewSerializer(codecs).DecoderToVersion(info.Serializer, InternalGroupVersion)
	kinds, _, err := newScheme.ObjectKinds(into)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := decoder.Decode([]byte(body), &kinds[0], into); err != nil {
		t.Fatalf("decoding %s: %v", body, err)
	}
	return into
}

var newScheme, _ = NewScheme("")

func TestDefaultsOfStreams(t *testing.T) {
	s := decode(t, imagev1.ImportModePreserveOriginal, `{"spec":{"tags":[
		{"name":"b","importPolicy":{"importMode":"Legacy"},"referencePolicy":{"type":"Local"}},
		{"name":"a"}]}}`, &imagev1.ImageStream{})
	want := []imagev1.TagReference{
		{Name: "a", ImportPolicy: imagev1.TagImportPolicy{ImportMode: "PreserveOriginal"}, ReferencePolicy: imagev1.TagReferencePolicy{Type: "Source"}},
		{Name: "b", ImportPolicy: imagev1.TagImportPolicy{ImportMode: "Legacy"}, ReferencePolicy: imagev1.TagReferencePolicy{Type: "Local"}},
	}
	if diff := cmp.Diff(want, s.Spec.Tags); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultImportModeIsLegacy(t *testing.T) {
	s := decode(t, "", `{"spec":{"tags":[{"name":"a"}]}}`, &imagev1.ImageStream{})
	if got := s.Spec.Tags[0].ImportPolicy.ImportMode; got != imagev1.ImportModeLegacy {
		t.Errorf("import mode %q", got)
	}
}

func TestDefaultsOfTags(t *testing.T) {
	ist := decode(t, "", `{"metadata":{"name":"s:t"},"tag":{"name":"t"}}`, &imagev1.ImageStreamTag{})
	if ist.Tag.ImportPolicy.ImportMode != "Legacy" || ist.Tag.ReferencePolicy.Type != "Source" {
		t.Errorf("istag tag: %+v", ist.Tag)
	}
	if ist := decode(t, "", `{"metadata":{"name":"s:t"}}`, &imagev1.ImageStreamTag{}); ist.Tag != nil {
		t.Errorf("a tag appeared: %+v", ist.Tag)
	}
	itag := decode(t, "", `{"metadata":{"name":"s:t"},"spec":{"name":"t"}}`, &imagev1.ImageTag{})
	if itag.Spec.ImportPolicy.ImportMode != "Legacy" || itag.Spec.ReferencePolicy.Type != "Source" || itag.Image != nil {
		t.Errorf("itag: %+v", itag)
	}
}

func TestDefaultsOfImports(t *testing.T) {
	isi := decode(t, "", `{"metadata":{"name":"s"},"spec":{
		"repository":{"from":{"kind":"DockerImage","name":"q.io/x/y"}},
		"images":[
			{"from":{"kind":"DockerImage","name":"q.io/x/y:v1"}},
			{"from":{"kind":"DockerImage","name":"q.io/x/y"}},
			{"from":{"kind":"DockerImage","name":"q.io/x/y@sha256:`+strings.Repeat("a", 64)+`"}},
			{"from":{"kind":"DockerImage","name":"q.io/x/y:v1"},"to":{"name":"w"}},
			{"from":{"kind":"DockerImage","name":"NOT a name"}},
			{"from":{"kind":"DockerImage","name":"q.io/x/y:v2@sha256:`+strings.Repeat("a", 64)+`"}}]}}`, &imagev1.ImageStreamImport{})
	var targets []*corev1.LocalObjectReference
	for i, image := range isi.Spec.Images {
		targets = append(targets, image.To)
		if image.ImportPolicy.ImportMode != "Legacy" || image.ReferencePolicy.Type != "Source" {
			t.Errorf("images[%d]: %+v", i, image)
		}
	}
	if diff := cmp.Diff([]*corev1.LocalObjectReference{{Name: "v1"}, nil, nil, {Name: "w"}, nil, {Name: "v2"}}, targets); diff != "" {
		t.Error(diff)
	}
	if r := isi.Spec.Repository; r.ImportPolicy.ImportMode != "Legacy" || r.ReferencePolicy.Type != "Source" {
		t.Errorf("repository: %+v", r)
	}
}

func TestLastDuplicateWins(t *testing.T) {
	s := decode(t, "", `{"spec":{"tags":[{"name":"b","reference":true},{"name":"a"},{"name":"B"},{"name":"b"},{"name":""}]},
		"status":{"tags":[{"tag":"z","items":null},{"tag":"y","items":null},{"tag":"z","items":[{"image":"i"}]}]}}`, &imagev1.ImageStream{})
	var names []string
	for _, tag := range s.Spec.Tags {
		names = append(names, tag.Name)
		if tag.Reference {
			t.Error("the first b won")
		}
	}
	if diff := cmp.Diff([]string{"", "B", "a", "b"}, names); diff != "" {
		t.Error(diff)
	}
	if len(s.Status.Tags) != 2 || s.Status.Tags[0].Tag != "y" || len(s.Status.Tags[1].Items) != 1 {
		t.Errorf("status.tags: %+v", s.Status.Tags)
	}
}

func TestNormalizeLeavesSharedListsAlone(t *testing.T) {
	shared := []imagev1.TagReference{{Name: "b"}, {Name: "a"}}
	s := &imagev1.ImageStream{Spec: imagev1.ImageStreamSpec{Tags: shared}}
	normalizeStream(s)
	if shared[0].Name != "b" {
		t.Error("the list given was sorted in place")
	}
	if s.Spec.Tags[0].Name != "a" {
		t.Error("not sorted")
	}
}
