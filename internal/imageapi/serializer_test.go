package imageapi

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const emptyMetadata = `{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"","Created":null,"ContainerConfig":{}}`

func TestDecodingImages(t *testing.T) {
	for name, test := range map[string]struct{ body, metadata, version, err string }{
		"absent":             {`{}`, emptyMetadata, "1.0", ""},
		"null":               {`{"dockerImageMetadata":null}`, emptyMetadata, "1.0", ""},
		"kind assumed":       {`{"dockerImageMetadata":{"Id":"x"}}`, strings.Replace(emptyMetadata, `"Id":""`, `"Id":"x"`, 1), "1.0", ""},
		"unknown keys":       {`{"dockerImageMetadata":{"Nothing":1,"id":"lower"}}`, emptyMetadata, "1.0", ""},
		"pre012 given":       {`{"dockerImageMetadataVersion":"pre012","dockerImageMetadata":{"id":"x"}}`, `{"kind":"DockerImage","apiVersion":"image.openshift.io/pre012","id":"x","created":null,"container_config":{}}`, "pre012", ""},
		"pre012 absent":      {`{"dockerImageMetadataVersion":"pre012"}`, `{"kind":"DockerImage","apiVersion":"image.openshift.io/pre012","id":"","created":null,"container_config":{}}`, "pre012", ""},
		"pre012 inside 1.0":  {`{"dockerImageMetadata":{"apiVersion":"image.openshift.io/pre012","kind":"DockerImage","id":"x"}}`, strings.Replace(emptyMetadata, `"Id":""`, `"Id":"x"`, 1), "1.0", ""},
		"legacy api version": {`{"dockerImageMetadata":{"apiVersion":"1.0","kind":"DockerImage"}}`, emptyMetadata, "1.0", ""},
		"other kind":         {`{"dockerImageMetadata":{"kind":"Pod"}}`, "", "", `kind is "Pod"`},
		"other version":      {`{"dockerImageMetadataVersion":"3"}`, "", "", "dockerImageMetadataVersion"},
		"other api version":  {`{"dockerImageMetadata":{"apiVersion":"v1"}}`, "", "", `apiVersion is "v1"`},
		"not an object":      {`{"dockerImageMetadata":[1]}`, "", "", "dockerImageMetadata"},
		"wrong type":         {`{"dockerImageMetadata":{"Size":"big"}}`, "", "", "dockerImageMetadata"},
	} {
		t.Run(name, func(t *testing.T) {
			_, codecs := NewScheme("")
			info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
			gvk := imagev1.GroupVersion.WithKind("Image")
			// The strict serializer: unknown keys of the metadata must not count.
			decoder := NewSerializer(codecs).DecoderToVersion(info.StrictSerializer, InternalGroupVersion)
			obj, _, err := decoder.Decode([]byte(test.body), &gvk, &imagev1.Image{})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			img := obj.(*imagev1.Image)
			if string(img.DockerImageMetadata.Raw) != test.metadata || img.DockerImageMetadataVersion != test.version {
				t.Errorf("got  %s %s\nwant %s %s", img.DockerImageMetadataVersion, img.DockerImageMetadata.Raw, test.version, test.metadata)
			}
		})
	}
}

func TestStrictErrorsComeWithACheckedObject(t *testing.T) {
	_, codecs := NewScheme("")
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	decoder := NewSerializer(codecs).DecoderToVersion(info.StrictSerializer, InternalGroupVersion)
	gvk := imagev1.GroupVersion.WithKind("Image")

	obj, _, err := decoder.Decode([]byte(`{"nothing":1,"dockerImageMetadata":{"Id":"x","Junk":2}}`), &gvk, &imagev1.Image{})
	if !runtime.IsStrictDecodingError(err) || obj == nil {
		t.Fatalf("object %v, error %v: want both object and strict error", obj, err)
	}
	if raw := string(obj.(*imagev1.Image).DockerImageMetadata.Raw); strings.Contains(raw, "Junk") {
		t.Errorf("metadata not canonical: %s", raw)
	}
	_, _, err = decoder.Decode([]byte(`{"nothing":1,"dockerImageMetadata":{"kind":"Pod"}}`), &gvk, &imagev1.Image{})
	if err == nil || runtime.IsStrictDecodingError(err) {
		t.Errorf("error %v: the metadata must count more than the unknown field", err)
	}
}

func TestMetadataIsCheckedWhereverAnImageIs(t *testing.T) {
	_, codecs := NewScheme("")
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	decoder := NewSerializer(codecs).DecoderToVersion(info.Serializer, InternalGroupVersion)
	bad := `{"dockerImageMetadata":{"kind":"Pod"}}`
	for kind, body := range map[string]string{
		"Image":              bad,
		"ImageList":          `{"items":[` + bad + `]}`,
		"ImageStreamTag":     `{"image":` + bad + `}`,
		"ImageStreamTagList": `{"items":[{"image":` + bad + `}]}`,
		"ImageTag":           `{"image":` + bad + `}`,
		"ImageTagList":       `{"items":[{"image":` + bad + `}]}`,
		"ImageStreamImage":   `{"image":` + bad + `}`,
		"ImageStreamMapping": `{"image":` + bad + `}`,
		"ImageStreamImport":  `{"status":{"repository":{"images":[{"manifests":[` + bad + `]}]}}}`,
	} {
		gvk := imagev1.GroupVersion.WithKind(kind)
		if _, _, err := decoder.Decode([]byte(body), &gvk, nil); err == nil || !strings.Contains(err.Error(), `"Pod"`) {
			t.Errorf("%s: error %v", kind, err)
		}
	}
}

func encodeJSON(t *testing.T, obj runtime.Object) string {
	t.Helper()
	_, codecs := NewScheme("")
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	encoder := NewSerializer(codecs).EncoderForVersion(info.Serializer, imagev1.GroupVersion)
	var plain, allocated bytes.Buffer
	if err := encoder.Encode(obj, &plain); err != nil {
		t.Fatal(err)
	}
	if err := encoder.(runtime.EncoderWithAllocator).EncodeWithAllocator(obj, &allocated, &runtime.Allocator{}); err != nil {
		t.Fatal(err)
	}
	if plain.String() != allocated.String() {
		t.Errorf("with allocator: %s\nwithout: %s", &allocated, &plain)
	}
	return plain.String()
}

func TestEncodingCompletesACopy(t *testing.T) {
	ist := &imagev1.ImageStreamTag{ObjectMeta: metav1.ObjectMeta{Name: "s:t"}}
	got := encodeJSON(t, ist)
	want := `"image":{"metadata":{},"dockerImageMetadata":` + emptyMetadata + `,"dockerImageMetadataVersion":"1.0"}`
	if !strings.Contains(got, want) {
		t.Errorf("answer %s\nlacks %s", got, want)
	}
	for _, part := range []string{`{"kind":"ImageStreamTag","apiVersion":"image.openshift.io/v1",`, `"tag":null`, `"generation":0`, `"lookupPolicy":{"local":false}`} {
		if !strings.Contains(got, part) {
			t.Errorf("answer %s\nlacks %s", got, part)
		}
	}
	if ist.Image.DockerImageMetadata.Raw != nil || ist.Kind != "" {
		t.Errorf("the object given was changed: %+v", ist)
	}
}

func TestWireShapes(t *testing.T) {
	for _, test := range []struct {
		obj  runtime.Object
		want string
	}{
		{&imagev1.ImageStream{Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{{Name: "a"}}}, Status: imagev1.ImageStreamStatus{Tags: []imagev1.NamedTagEventList{{Tag: "a"}}}},
			`"spec":{"lookupPolicy":{"local":false},"tags":[{"name":"a","annotations":null,"generation":null,"importPolicy":{},"referencePolicy":{"type":""}}]},"status":{"dockerImageRepository":"","tags":[{"tag":"a","items":null}]}}`},
		{&imagev1.ImageTag{}, `"spec":null,"status":null,"image":null}`},
		{&imagev1.SecretList{}, `{"kind":"SecretList","apiVersion":"image.openshift.io/v1","metadata":{},"items":null}`},
	} {
		if got := strings.TrimSpace(encodeJSON(t, test.obj)); !strings.HasSuffix(got, test.want) {
			t.Errorf("%T is\n%s\nwant it to end in\n%s", test.obj, got, test.want)
		}
	}
}

func TestStoredImagesRoundTrip(t *testing.T) {
	// Storage uses the plain codecs; protobuf is what it stores.
	_, codecs := NewScheme("")
	info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !ok {
		t.Fatal("no protobuf serializer")
	}
	codec := codecs.CodecForVersions(info.Serializer, info.Serializer, imagev1.GroupVersion, InternalGroupVersion)
	data, err := runtime.Encode(codec, &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "i"}})
	if err != nil {
		t.Fatal(err)
	}
	var img imagev1.Image
	if _, _, err := codec.Decode(data, nil, &img); err != nil {
		t.Fatal(err)
	}
	if string(img.DockerImageMetadata.Raw) != emptyMetadata || !json.Valid(img.DockerImageMetadata.Raw) {
		t.Errorf("read back %s", img.DockerImageMetadata.Raw)
	}
	if WithMetadata(&img) != runtime.Object(&img) {
		t.Error("a stored image is copied on output though it is complete")
	}
}
