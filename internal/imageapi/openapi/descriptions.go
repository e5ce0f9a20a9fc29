package openapi

import (
	"maps"
	"reflect"
	"strings"
	"sync"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
)

// documentedType is a type of an API group whose package ships the texts of its comments.
type documentedType interface {
	// SwaggerDoc returns the description of the type under "", and of each field under its
	// JSON name.
	SwaggerDoc() map[string]string
}

// documented returns what SwaggerDoc returns of the kinds of image.openshift.io/v1 and of the types
// that they consist of, by model name.
var documented = sync.OnceValue(func() map[string]map[string]string {
	scheme := runtime.NewScheme()
	if err := imagev1.Install(scheme); err != nil {
		panic(err) // registers static types
	}
	docs, seen := map[string]map[string]string{}, map[reflect.Type]bool{}
	for _, kind := range scheme.KnownTypes(imagev1.GroupVersion) {
		collectDocs(kind, docs, seen)
	}
	// A type made of another has none of its methods.
	docs[imagev1.SecretList{}.OpenAPIModelName()] = textsOf(reflect.TypeFor[corev1.SecretList]())
	return docs
})

// collectDocs adds the texts of a type and of the types of its fields.
func collectDocs(t reflect.Type, docs map[string]map[string]string, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		collectDocs(t.Elem(), docs, seen)
	case reflect.Struct:
		if named, ok := reflect.Zero(t).Interface().(util.OpenAPIModelNamer); ok {
			docs[named.OpenAPIModelName()] = textsOf(t)
		}
		for i := range t.NumField() {
			collectDocs(t.Field(i).Type, docs, seen)
		}
	}
}

// textsOf returns the description of a struct and of its fields, those of inlined structs included.
func textsOf(t reflect.Type) map[string]string {
	texts := map[string]string{}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && f.Type.Kind() == reflect.Struct && inlined(f) {
			maps.Copy(texts, textsOf(f.Type))
		}
	}
	delete(texts, "") // that of the inlined type
	if doc, ok := reflect.Zero(t).Interface().(documentedType); ok {
		maps.Copy(texts, doc.SwaggerDoc())
	}
	return texts
}

// inlined reports whether the fields of an embedded struct are fields of the object.
func inlined(f reflect.StructField) bool {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name == ""
}

// describe returns the definition with its descriptions.
func describe(d common.OpenAPIDefinition, doc map[string]string) common.OpenAPIDefinition {
	d.Schema.Description = doc[""]
	for name, property := range d.Schema.Properties {
		property.Description = doc[name]
		d.Schema.Properties[name] = property
	}
	return d
}
