package imageapi

import (
	imagev1 "github.com/openshift/api/image/v1"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// coreV1 is the version in which generic servers look up their options and error types.
var coreV1 = schema.GroupVersion{Group: "", Version: "v1"}

// NewScheme returns the types of the group with their defaults, and codecs over them.
//
// defaultImportMode is stored with every spec tag that is written without an import mode; ""
// means Legacy. Stored tags keep their mode: changing the default does not affect them. The
// scheme also has the types that a delegated API server needs besides its group: the options and
// status types of v1 and the kinds of meta.k8s.io. The codecs write a list item by item, so that
// a response is never in memory as a whole.
func NewScheme(defaultImportMode imagev1.ImportModeType) (*runtime.Scheme, serializer.CodecFactory) {
	scheme := runtime.NewScheme()
	addGroup(scheme, imagev1.GroupVersion, InternalGroupVersion)
	addMeta(scheme)
	addDefaults(scheme, defaultImportMode)
	utilruntime.Must(addFieldLabels(scheme))
	return scheme, serializer.NewCodecFactory(scheme, serializer.WithStreamingCollectionEncodingToJSON(), serializer.WithStreamingCollectionEncodingToProtobuf())
}

// NewPublishedScheme returns the types of the group in the versions that clients see. It is for
// naming OpenAPI definitions (k8s.io/apiserver/pkg/endpoints/openapi.NewDefinitionNamer): given
// the scheme of NewScheme, the namer would publish the internal version beside v1, because both
// have the same Go types.
func NewPublishedScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	addGroup(scheme, imagev1.GroupVersion)
	addMeta(scheme)
	return scheme
}

// addGroup registers every kind in the given versions, v1 first, so that the first kind of an
// object is the public one.
func addGroup(scheme *runtime.Scheme, versions ...schema.GroupVersion) {
	for _, gv := range versions {
		scheme.AddKnownTypes(gv,
			&imagev1.Image{}, &imagev1.ImageList{},
			&imagev1.ImageSignature{},
			&imagev1.ImageStream{}, &imagev1.ImageStreamList{},
			&imagev1.ImageStreamLayers{},
			&imagev1.SecretList{},
			&imagev1.ImageStreamTag{}, &imagev1.ImageStreamTagList{},
			&imagev1.ImageTag{}, &imagev1.ImageTagList{},
			&imagev1.ImageStreamImage{},
			&imagev1.ImageStreamImport{},
			&imagev1.ImageStreamMapping{},
		)
	}
	metav1.AddToGroupVersion(scheme, imagev1.GroupVersion)
	utilruntime.Must(scheme.SetVersionPriority(imagev1.GroupVersion))
}

func addMeta(scheme *runtime.Scheme) {
	metav1.AddToGroupVersion(scheme, coreV1)
	scheme.AddUnversionedTypes(coreV1,
		&metav1.Status{},
		&metav1.APIVersions{},
		&metav1.APIGroupList{},
		&metav1.APIGroup{},
		&metav1.APIResourceList{},
	)
	utilruntime.Must(metav1.AddMetaToScheme(scheme))
	utilruntime.Must(metainternalversion.AddToScheme(scheme))
}
