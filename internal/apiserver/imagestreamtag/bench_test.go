package imagestreamtag

import (
	"context"
	"fmt"
	"io"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"weir.dev/weir/internal/apiserver/tagview"
	"weir.dev/weir/internal/imageapi"
)

// BenchmarkList sets what it costs to list 10,000 tags in 200 streams against the
// list of those streams: from what the store returned to the bytes on the wire.
func BenchmarkList(b *testing.B) {
	_, codecs := imageapi.NewScheme("")
	serializer := imageapi.NewSerializer(codecs)
	info, _ := runtime.SerializerInfoForMediaType(serializer.SupportedMediaTypes(), runtime.ContentTypeJSON)
	encoder := serializer.EncoderForVersion(info.Serializer, imagev1.GroupVersion)
	streams := manyStreams(200, 50)
	list := func(context.Context, *metainternalversion.ListOptions) (*imagev1.ImageStreamList, error) {
		return streams, nil
	}
	write := func(b *testing.B, obj runtime.Object) {
		if err := encoder.Encode(obj, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("streams", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			write(b, streams)
		}
	})
	b.Run("tags", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tags, meta, err := tagview.List(b.Context(), list, withImage, &metainternalversion.ListOptions{})
			if err != nil {
				b.Fatal(err)
			}
			write(b, listOf(tags, meta))
		}
	})
}

func manyStreams(streams, tags int) *imagev1.ImageStreamList {
	list := &imagev1.ImageStreamList{Items: make([]imagev1.ImageStream, streams)}
	one := int64(1)
	for i := range list.Items {
		s := &list.Items[i]
		s.ObjectMeta = metav1.ObjectMeta{Namespace: "namespace", Name: fmt.Sprintf("stream-%03d", i), UID: "8b9a5b1e-7c53-4bd2-a2a6-3c54ddc7a7b5", ResourceVersion: "12345", CreationTimestamp: made}
		for j := range tags {
			name, image := fmt.Sprintf("v1.%02d", j), fmt.Sprintf("sha256:%064x", i*tags+j)
			s.Spec.Tags = append(s.Spec.Tags, imagev1.TagReference{
				Name: name, Generation: &one, From: &corev1.ObjectReference{Kind: "DockerImage", Name: "registry.example.com/app:" + name},
				ImportPolicy:    imagev1.TagImportPolicy{ImportMode: imagev1.ImportModeLegacy},
				ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.SourceTagReferencePolicy},
			})
			s.Status.Tags = append(s.Status.Tags, imagev1.NamedTagEventList{Tag: name, Items: []imagev1.TagEvent{
				{Created: pushed, Image: image, DockerImageReference: "registry.example.com/app@" + image, Generation: 1}}})
		}
	}
	return list
}
