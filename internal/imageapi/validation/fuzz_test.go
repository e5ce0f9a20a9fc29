package validation

import (
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"weir.dev/weir/internal/imageapi"
)

// Whatever a client sends as an import or a stream: decoding, defaulting and
// validation end with an object or an error, and what they let through has what
// the rest of the server relies on.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"ImageStreamImport","apiVersion":"image.openshift.io/v1","metadata":{"name":"s","namespace":"n"},"spec":{"import":true,"images":[{"from":{"kind":"DockerImage","name":"q.io/x:1"},"to":{"name":"a"}}]}}`,
		`{"kind":"ImageStreamImport","apiVersion":"image.openshift.io/v1","metadata":{"name":"s","namespace":"n"},"spec":{"repository":{"from":{"kind":"DockerImage","name":"q.io/x"},"importPolicy":{"importMode":"PreserveOriginal"}}}}`,
		`{"kind":"ImageStreamImport","apiVersion":"image.openshift.io/v1","spec":{"images":[{"from":{"name":"*"},"to":{}},null]}}`,
		`{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"s","namespace":"n"},"spec":{"tags":[{"name":"b","from":{"kind":"ImageStreamTag","name":"a"}},{"name":"b"},null]},"status":{"tags":[{"tag":"b","items":[{"dockerImageReference":"q.io/x@sha256:00"}]}]}}`,
		`{"kind":"ImageStreamMapping","apiVersion":"image.openshift.io/v1","metadata":{"name":"s","namespace":"n"},"tag":"a","image":{"metadata":{"name":"sha256:0"},"dockerImageMetadata":{"kind":"DockerImage"}}}`,
	} {
		f.Add([]byte(seed))
	}
	_, codecs := imageapi.NewScheme("")
	decoder := imageapi.NewSerializer(codecs).DecoderToVersion(codecs.UniversalDeserializer(), imageapi.InternalGroupVersion)
	f.Fuzz(func(t *testing.T, data []byte) {
		obj, _, err := decoder.Decode(data, nil, nil)
		if err != nil {
			return
		}
		checkValidated(t, obj)
	})
}

func checkValidated(t *testing.T, obj runtime.Object) {
	switch o := obj.(type) {
	case *imagev1.ImageStreamImport:
		if len(ImageStreamImport(o)) > 0 {
			return
		}
		for i := range o.Spec.Images {
			if to := o.Spec.Images[i].To; o.Spec.Images[i].From.Name == "" || (to != nil && to.Name == "") {
				t.Errorf("a valid import has image %d from %q to %v", i, o.Spec.Images[i].From.Name, to)
			}
		}
	case *imagev1.ImageStream:
		if len(ImageStream(o, anyRegistry)) > 0 {
			return
		}
		for i := 1; i < len(o.Spec.Tags); i++ {
			if o.Spec.Tags[i-1].Name >= o.Spec.Tags[i].Name {
				t.Errorf("tags of a valid stream are not sorted or not unique: %q, %q", o.Spec.Tags[i-1].Name, o.Spec.Tags[i].Name)
			}
		}
	case *imagev1.ImageStreamMapping:
		if len(ImageStreamMapping(o)) == 0 && (o.Tag == "" || o.Image.Name == "") {
			t.Errorf("a valid mapping has tag %q and image %q", o.Tag, o.Image.Name)
		}
	}
}
