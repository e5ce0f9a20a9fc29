package streams

import (
	"context"
	"slices"

	imagev1 "github.com/openshift/api/image/v1"
	imageclient "github.com/openshift/client-go/image/clientset/versioned/typed/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

// newReflector watches all streams.
func newReflector(client imageclient.ImageV1Interface, store cache.ReflectorStore) *cache.Reflector {
	streams := client.ImageStreams(metav1.NamespaceAll)
	source := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return streams.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return streams.Watch(ctx, o)
		},
	}, client)
	return cache.NewReflectorWithOptions(source, &imagev1.ImageStream{}, store, cache.ReflectorOptions{Name: "registry streams"})
}

// trim takes from a stream what the registry has no use for, and puts the rest in order.
// Streams are kept by the thousand. A trimmed stream is left as it is.
func trim(s *imagev1.ImageStream) {
	s.TypeMeta = metav1.TypeMeta{}
	stream.SetCopySources(s, stream.CopySources(s)) // which may need the spec
	s.ObjectMeta = metav1.ObjectMeta{
		Namespace:       s.Namespace,
		Name:            s.Name,
		UID:             s.UID,
		ResourceVersion: s.ResourceVersion,
		Annotations:     ofInterest(s.Annotations),
	}
	s.Spec.Tags = slices.DeleteFunc(s.Spec.Tags, func(t imagev1.TagReference) bool {
		return !t.ImportPolicy.Insecure && len(ofInterest(t.Annotations)) == 0
	})
	for i := range s.Spec.Tags {
		t := &s.Spec.Tags[i]
		*t = imagev1.TagReference{
			Name:         t.Name,
			Annotations:  ofInterest(t.Annotations),
			ImportPolicy: imagev1.TagImportPolicy{Insecure: t.ImportPolicy.Insecure},
		}
	}
	for i := range s.Status.Tags {
		s.Status.Tags[i].Conditions = nil
	}
	stream.Normalize(s)
	stream.ShareEvents(s) // with the watch cache of the API server
}

// ofInterest are the annotations that the registry reads.
func ofInterest(annotations map[string]string) map[string]string {
	var kept map[string]string
	for _, key := range []string{imageapi.AnnotationRepository, annotationPullThrough, annotationMirror, imageapi.AnnotationInsecureRepository, stream.AnnotationCopiedFrom, stream.AnnotationUnproven} {
		if value, found := annotations[key]; found {
			if kept == nil {
				kept = map[string]string{}
			}
			kept[key] = value
		}
	}
	return kept
}
