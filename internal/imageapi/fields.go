package imageapi

import (
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// Fields that lists can be selected by. All kinds have the first two.
const (
	FieldName             = "metadata.name"
	FieldNamespace        = "metadata.namespace"
	FieldSpecRepository   = "spec.dockerImageRepository"
	FieldStatusRepository = "status.dockerImageRepository"
)

// addFieldLabels admits the fields of image streams beyond the two that apimachinery admits for
// every kind. An unknown field is an error of apimachinery's wording, which the server answers
// with 400; the wording names metadata.name and metadata.namespace only, and so does ours.
func addFieldLabels(scheme *runtime.Scheme) error {
	return scheme.AddFieldLabelConversionFunc(imagev1.GroupVersion.WithKind(KindImageStream),
		func(label, value string) (string, string, error) {
			switch label {
			case FieldSpecRepository, FieldStatusRepository:
				return label, value, nil
			}
			return runtime.DefaultMetaV1FieldSelectorConversion(label, value)
		})
}

// selectableFields returns the values of an object's selectable fields. The caller must compute
// status.dockerImageRepository first.
func selectableFields(obj runtime.Object) (fields.Set, error) {
	meta, ok := obj.(metav1.ObjectMetaAccessor)
	if !ok {
		return nil, fmt.Errorf("selecting fields of %T: it has no object metadata", obj)
	}
	m := meta.GetObjectMeta()
	set := fields.Set{FieldName: m.GetName(), FieldNamespace: m.GetNamespace()}
	if s, ok := obj.(*imagev1.ImageStream); ok {
		set[FieldSpecRepository] = s.Spec.DockerImageRepository
		set[FieldStatusRepository] = s.Status.DockerImageRepository
	}
	return set, nil
}

// Attributes returns labels and fields of an object, as a generic store's AttrFunc.
func Attributes(obj runtime.Object) (labels.Set, fields.Set, error) {
	set, err := selectableFields(obj)
	if err != nil {
		return nil, nil, err
	}
	return obj.(metav1.ObjectMetaAccessor).GetObjectMeta().GetLabels(), set, nil
}
