package imageapi

import (
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/reference"
)

// defaulter sets defaults of optional fields. It runs on every decoded object: request bodies,
// results of patches, and reads from storage, where everything is set already.
type defaulter struct{ importMode imagev1.ImportModeType }

func addDefaults(scheme *runtime.Scheme, mode imagev1.ImportModeType) {
	if mode == "" {
		mode = imagev1.ImportModeLegacy
	}
	d := defaulter{importMode: mode}
	for _, sample := range []runtime.Object{
		&imagev1.Image{}, &imagev1.ImageList{},
		&imagev1.ImageStream{}, &imagev1.ImageStreamList{},
		&imagev1.ImageStreamTag{}, &imagev1.ImageStreamTagList{},
		&imagev1.ImageTag{}, &imagev1.ImageTagList{},
		&imagev1.ImageStreamImage{},
		&imagev1.ImageStreamMapping{},
		&imagev1.ImageStreamImport{},
	} {
		scheme.AddTypeDefaultingFunc(sample, d.object)
	}
}

// object is the defaulting function of every kind, including objects nested in others.
func (d defaulter) object(obj any) {
	switch o := obj.(type) {
	case *imagev1.ImageList:
		each(o.Items, func(i *imagev1.Image) { d.object(i) })
	case *imagev1.ImageStream:
		d.stream(o)
	case *imagev1.ImageStreamList:
		each(o.Items, d.stream)
	case *imagev1.ImageStreamTag:
		d.streamTag(o)
	case *imagev1.ImageStreamTagList:
		each(o.Items, d.streamTag)
	case *imagev1.ImageTag:
		d.imageTag(o)
	case *imagev1.ImageTagList:
		each(o.Items, d.imageTag)
	case *imagev1.ImageStreamImport:
		d.streamImport(o)
	}
	if o, ok := obj.(runtime.Object); ok {
		forEachImage(o, dockerimage.FillEmptyMetadata)
		forEachImage(o, signatureTimes)
	}
}

func each[T any](items []T, do func(*T)) {
	for i := range items {
		do(&items[i])
	}
}

func (d defaulter) stream(s *imagev1.ImageStream) {
	each(s.Spec.Tags, d.specTag)
	streamTimes(s)
	normalizeStream(s)
}

func (d defaulter) streamTag(t *imagev1.ImageStreamTag) {
	if t.Tag != nil {
		d.specTag(t.Tag)
	}
}

func (d defaulter) imageTag(t *imagev1.ImageTag) {
	if t.Spec != nil {
		d.specTag(t.Spec)
	}
}

func (d defaulter) specTag(t *imagev1.TagReference) {
	d.policies(&t.ImportPolicy, &t.ReferencePolicy)
}

func (d defaulter) policies(imports *imagev1.TagImportPolicy, references *imagev1.TagReferencePolicy) {
	if imports.ImportMode == "" {
		imports.ImportMode = d.importMode
	}
	if references.Type == "" {
		references.Type = imagev1.SourceTagReferencePolicy
	}
}

func (d defaulter) streamImport(isi *imagev1.ImageStreamImport) {
	if r := isi.Spec.Repository; r != nil {
		d.policies(&r.ImportPolicy, &r.ReferencePolicy)
	}
	each(isi.Spec.Images, func(i *imagev1.ImageImportSpec) {
		d.policies(&i.ImportPolicy, &i.ReferencePolicy)
		if i.To == nil {
			i.To = impliedTarget(i.From)
		}
	})
	if isi.Status.Import != nil {
		d.stream(isi.Status.Import)
	}
}

// impliedTarget returns the target tag of an import without "to": the explicit tag of its source.
// A source without a tag, with or without a digest, implies none.
func impliedTarget(from corev1.ObjectReference) *corev1.LocalObjectReference {
	spec, err := reference.Parse(from.Name)
	if err != nil || spec.Tag == "" {
		return nil
	}
	return &corev1.LocalObjectReference{Name: spec.Tag}
}
