package openapi

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	endpointsopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	openapibuilder3 "k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"weir.dev/weir/internal/imageapi"
)

func reference(name string) spec.Ref { return spec.MustCreateRef("#/definitions/" + name) }

// modelName is how Kubernetes asks for the definition of a Go type.
func modelName(t *testing.T, obj any) string {
	t.Helper()
	named, ok := obj.(util.OpenAPIModelNamer)
	if !ok {
		t.Fatalf("%T has no model name", obj)
	}
	return named.OpenAPIModelName()
}

func TestEveryKindIsDefined(t *testing.T) {
	definitions := Definitions(reference)
	scheme, _ := imageapi.NewScheme("")
	for gvk, goType := range scheme.AllKnownTypes() {
		if gvk.Group != imagev1.GroupName || !strings.HasPrefix(goType.PkgPath(), "github.com/openshift/api") {
			continue
		}
		name := modelName(t, reflect.New(goType).Interface())
		if _, found := definitions[name]; !found {
			t.Errorf("%s: no definition of %s", gvk, name)
		}
	}
	for _, obj := range []any{metav1.Status{}, metav1.DeleteOptions{}, metav1.APIResourceList{}, metav1.Table{}, metav1.WatchEvent{}, metav1.Patch{}} {
		if _, found := definitions[modelName(t, obj)]; !found {
			t.Errorf("no definition of %T", obj)
		}
	}
}

func TestReferencesResolve(t *testing.T) {
	definitions, references := Definitions(reference), 0
	for _, definition := range definitions {
		for _, name := range definition.Dependencies {
			references++
			if _, found := definitions[name]; !found {
				t.Errorf("%s is referred to, not defined", name)
			}
			if strings.Contains(name, "/") {
				t.Errorf("%s is a Go path, not a model name", name)
			}
		}
	}
	if references < 100 {
		t.Errorf("only %d references", references)
	}
}

func TestOnlyWhatIsReachedIsDefined(t *testing.T) {
	var others []string
	for name := range Definitions(reference) {
		ours := strings.HasPrefix(name, "com.github.openshift.api.image.v1.") || strings.HasPrefix(name, "dev.weir.")
		if !ours && !strings.HasPrefix(name, machineryPrefix) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	want := []string{"io.k8s.api.core.v1.LocalObjectReference", "io.k8s.api.core.v1.ObjectReference", "io.k8s.api.core.v1.Secret"}
	if diff := cmp.Diff(want, others); diff != "" {
		t.Errorf("definitions of other groups (-want +got):\n%s", diff)
	}
}

// Every type and field that clients can explain has a description, also where a type is made of
// another or embeds one.
func TestDescriptions(t *testing.T) {
	definitions := Definitions(reference)
	for model, fields := range map[string][]string{
		"Image": {"kind", "apiVersion", "metadata", "dockerImageLayers"}, "SecretList": {"kind", "items"}, "SignatureIssuer": {"commonName", "organization"},
	} {
		d := definitions["com.github.openshift.api.image.v1."+model]
		if d.Schema.Description == "" {
			t.Errorf("%s has no description", model)
		}
		for _, field := range fields {
			if d.Schema.Properties[field].Description == "" {
				t.Errorf("%s.%s has no description", model, field)
			}
		}
	}
}

// build makes the schemas that a server would publish for the kinds.
func build(t *testing.T, kinds ...any) map[string]*spec.Schema {
	t.Helper()
	namer := endpointsopenapi.NewDefinitionNamer(imageapi.NewPublishedScheme())
	config := &common.OpenAPIV3Config{
		GetDefinitions:    Definitions,
		GetDefinitionName: namer.GetDefinitionName,
		Info:              &spec.Info{},
	}
	var names []string
	for _, kind := range kinds {
		names = append(names, modelName(t, kind))
	}
	schemas, err := openapibuilder3.BuildOpenAPIDefinitionsForResources(config, names...)
	if err != nil {
		t.Fatal(err)
	}
	return schemas
}

func TestPublishedSchemas(t *testing.T) {
	schemas := build(t, imagev1.ImageStream{}, imagev1.SecretList{})
	stream := schemas["com.github.openshift.api.image.v1.ImageStream"]
	if stream == nil || !strings.Contains(stream.Description, "mapping of tags to images") {
		t.Fatalf("schemas of %d types, stream: %+v", len(schemas), stream)
	}
	var kinds []metav1.GroupVersionKind
	if err := stream.Extensions.GetObject("x-kubernetes-group-version-kind", &kinds); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]metav1.GroupVersionKind{{Group: "image.openshift.io", Version: "v1", Kind: "ImageStream"}}, kinds); diff != "" {
		t.Error(diff)
	}
	tags := schemas["com.github.openshift.api.image.v1.ImageStreamSpec"].Properties["tags"]
	if key := tags.Extensions["x-kubernetes-patch-merge-key"]; key != "name" {
		t.Errorf("spec.tags merges by %v", key)
	}
	if schemas["io.k8s.api.core.v1.Secret"] == nil {
		t.Error("the items of SecretList are not defined")
	}
}

// fieldManager tracks fields as the server does for imagestreams.
func fieldManager(t *testing.T) (*managedfields.FieldManager, *runtime.Scheme) {
	t.Helper()
	scheme, _ := imageapi.NewScheme("")
	converter, err := managedfields.NewTypeConverter(build(t, imagev1.ImageStream{}), false)
	if err != nil {
		t.Fatal(err)
	}
	manager, err := managedfields.NewDefaultFieldManager(converter, scheme, scheme, scheme,
		imagev1.GroupVersion.WithKind("ImageStream"), schema.GroupVersion{Group: imagev1.GroupName, Version: runtime.APIVersionInternal}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return manager, scheme
}

func patch(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	obj := map[string]any{}
	if err := json.Unmarshal([]byte(text), &obj); err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: obj}
}

func TestApplyKeysTagsByName(t *testing.T) {
	manager, _ := fieldManager(t)
	head := `{"apiVersion":"image.openshift.io/v1","kind":"ImageStream","metadata":{"name":"s","namespace":"p"},"spec":{"tags":`
	obj, err := manager.Apply(&imagev1.ImageStream{}, patch(t, head+`[{"name":"b","reference":true}]}}`), "one", false)
	if err != nil {
		t.Fatal(err)
	}
	obj, err = manager.Apply(obj, patch(t, head+`[{"name":"a","from":{"kind":"DockerImage","name":"q.io/x"}}]}}`), "two", false)
	if err != nil {
		t.Fatal(err)
	}
	stream := obj.(*imagev1.ImageStream)
	if len(stream.Spec.Tags) != 2 || stream.Spec.Tags[0].Name != "a" || stream.Spec.Tags[1].Name != "b" {
		t.Errorf("tags of both managers, sorted: got %+v", stream.Spec.Tags)
	}
	if mode := stream.Spec.Tags[0].ImportPolicy.ImportMode; mode != imagev1.ImportModeLegacy {
		t.Errorf("an applied tag has import mode %q", mode)
	}
	var fields []string
	for _, entry := range stream.ManagedFields {
		fields = append(fields, entry.Manager+" "+entry.FieldsV1.GetRawString())
	}
	all := strings.Join(fields, "\n")
	for _, want := range []string{`one {"f:spec":{"f:tags":{"k:{\"name\":\"b\"}":`, `two {"f:spec":{"f:tags":{"k:{\"name\":\"a\"}":`} {
		if !strings.Contains(all, want) {
			t.Errorf("managed fields\n%s\nlack %s", all, want)
		}
	}
	if _, err := manager.Apply(stream, patch(t, head+`[{"name":"b","reference":false}]}}`), "two", false); err == nil {
		t.Error("taking over another manager's field is no conflict")
	}
}

func TestStrategicMergePatchesDefaultAndSort(t *testing.T) {
	scheme, _ := imageapi.NewScheme("")
	original := map[string]any{"spec": map[string]any{"tags": []any{map[string]any{"name": "m", "reference": true}}}}
	change := map[string]any{"spec": map[string]any{"tags": []any{map[string]any{"name": "a"}, map[string]any{"name": "m", "generation": int64(0)}}}}
	merged, err := strategicpatch.StrategicMergeMapPatch(original, change, imagev1.ImageStream{})
	if err != nil {
		t.Fatal(err)
	}
	stream := &imagev1.ImageStream{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(merged, stream); err != nil {
		t.Fatal(err)
	}
	scheme.Default(stream)
	tags := stream.Spec.Tags
	if len(tags) != 2 || tags[0].Name != "a" || tags[0].ReferencePolicy.Type != "Source" || !tags[1].Reference || tags[1].Generation == nil {
		t.Errorf("tags %+v", tags)
	}
}
