package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// GroupName is the API group.
const GroupName = "weir.dev"

// Plural resource names of the group.
const RegistryTokens = "registrytokens"

// KindRegistryToken is the kind of RegistryTokens.
const KindRegistryToken = "RegistryToken"

var (
	// GroupVersion is the group version of the types in this package.
	GroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}
	// internalGroupVersion is the version the server works with. Its types are the same.
	internalGroupVersion = schema.GroupVersion{Group: GroupName, Version: runtime.APIVersionInternal}
	// coreV1 is where generic servers look up their options and error types.
	coreV1 = schema.GroupVersion{Version: "v1"}
)

// Resource qualifies a resource name with the group.
func Resource(name string) schema.GroupResource {
	return schema.GroupResource{Group: GroupName, Resource: name}
}

// NewScheme returns the types of the group with their defaults, as a server needs them, and
// codecs over them.
func NewScheme() (*runtime.Scheme, serializer.CodecFactory) {
	scheme := NewPublishedScheme()
	scheme.AddKnownTypes(internalGroupVersion, &RegistryToken{}, &ScheduledTag{}, &ScheduledTagList{})
	scheme.AddTypeDefaultingFunc(&RegistryToken{}, func(obj any) {
		if t := obj.(*RegistryToken); t.Spec.ExpirationSeconds == 0 {
			t.Spec.ExpirationSeconds = DefaultExpirationSeconds
		}
	})
	return scheme, serializer.NewCodecFactory(scheme, serializer.WithStreamingCollectionEncodingToJSON(), serializer.WithStreamingCollectionEncodingToProtobuf())
}

// NewPublishedScheme returns the types of the group in the version that clients see: for
// clients, and for naming OpenAPI definitions.
func NewPublishedScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(GroupVersion, &RegistryToken{}, &ScheduledTag{}, &ScheduledTagList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	metav1.AddToGroupVersion(scheme, coreV1)
	scheme.AddUnversionedTypes(coreV1, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	utilruntime.Must(scheme.SetVersionPriority(GroupVersion))
	utilruntime.Must(metav1.AddMetaToScheme(scheme))
	return scheme
}
