package main

import (
	"strings"
	"testing"
)

const untrimmed = `package openapi

import (
	v1 "example.com/api/v1"
	corev1 "example.com/core/v1"
	other "example.com/other"
	common "k8s.io/kube-openapi/pkg/common"
	spec "k8s.io/kube-openapi/pkg/validation/spec"
)

func GetOpenAPIDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	return map[string]common.OpenAPIDefinition{
		v1.A{}.OpenAPIModelName():         schema_A(ref),
		corev1.Near{}.OpenAPIModelName():  schema_Near(ref),
		corev1.Next{}.OpenAPIModelName():  schema_Next(ref),
		corev1.Far{}.OpenAPIModelName():   schema_Far(ref),
		other.Thing{}.OpenAPIModelName():  schema_Thing(ref),
	}
}

func schema_A(ref common.ReferenceCallback) common.OpenAPIDefinition {
	return common.OpenAPIDefinition{Schema: spec.Schema{SchemaProps: spec.SchemaProps{Ref: ref(corev1.Near{}.OpenAPIModelName())}}}
}

func schema_Near(ref common.ReferenceCallback) common.OpenAPIDefinition {
	return common.OpenAPIDefinition{Dependencies: []string{corev1.Next{}.OpenAPIModelName()}}
}

func schema_Next(ref common.ReferenceCallback) common.OpenAPIDefinition {
	return common.OpenAPIDefinition{Dependencies: []string{corev1.Near{}.OpenAPIModelName()}}
}

func schema_Far(ref common.ReferenceCallback) common.OpenAPIDefinition {
	return common.OpenAPIDefinition{Dependencies: []string{corev1.Near{}.OpenAPIModelName()}}
}

func schema_Thing(ref common.ReferenceCallback) common.OpenAPIDefinition {
	return common.OpenAPIDefinition{}
}
`

func TestTrimKeepsWhatRootsReach(t *testing.T) {
	trimmed, err := trim([]byte(untrimmed), options{roots: []string{"example.com/api/v1"}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(trimmed)
	for _, kept := range []string{"v1.A{}", "schema_A(ref)", "func schema_Near(", "func schema_Next(", `"example.com/core/v1"`} {
		if !strings.Contains(text, kept) {
			t.Errorf("%s is gone", kept)
		}
	}
	for _, dropped := range []string{"Far", "Thing", "example.com/other"} {
		if strings.Contains(text, dropped) {
			t.Errorf("%s is still there", dropped)
		}
	}
	again, err := trim(trimmed, options{roots: []string{"example.com/api/v1"}})
	if err != nil || string(again) != text {
		t.Errorf("trimming twice differs, error %v:\n%s", err, again)
	}
}

func TestTrimNeedsARoot(t *testing.T) {
	if _, err := trim([]byte(untrimmed), options{roots: []string{"example.com/nothing"}}); err == nil {
		t.Error("an empty result was no error")
	}
}

func TestTrimDropsWhatLibrariesShip(t *testing.T) {
	source := strings.Replace(untrimmed, "Dependencies: []string{corev1.Next", "Schema: spec.Schema{SchemaProps: spec.SchemaProps{\nDescription: `text`,\nType: []string{`object`},\n}}, Dependencies: []string{corev1.Next", 1)
	trimmed, err := trim([]byte(source), options{
		roots: []string{"example.com/api/v1", "example.com/other"}, elsewhere: []string{"example.com/other"}, described: []string{"example.com/core/v1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(trimmed); strings.Contains(text, "Thing") || strings.Contains(text, "Description") || !strings.Contains(text, "`object`") {
		t.Errorf("got:\n%s", text)
	}
}
