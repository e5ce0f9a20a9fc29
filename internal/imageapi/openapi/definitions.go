package openapi

import (
	"slices"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	machinery "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/kube-openapi/pkg/common"
)

// machineryPrefix begins the model names of meta/v1, runtime, version, resource and intstr.
const machineryPrefix = "io.k8s.apimachinery."

// Definitions returns the definition of every type that the API publishes, by model name: the
// generated ones with their descriptions, and those of Kubernetes' machinery.
//
// The status of an import is not required: the server sets it, and kubectl, which validates objects
// that cannot be patched, would refuse a manifest without one.
func Definitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	definitions := GetOpenAPIDefinitions(ref)
	for name, doc := range documented() {
		if d, ok := definitions[name]; ok {
			definitions[name] = describe(d, doc)
		}
	}
	for name, d := range machinery.GetOpenAPIDefinitions(ref) {
		if strings.HasPrefix(name, machineryPrefix) {
			definitions[name] = d
		}
	}
	name := imagev1.ImageStreamImport{}.OpenAPIModelName()
	d := definitions[name]
	d.Schema.Required = slices.DeleteFunc(slices.Clone(d.Schema.Required), func(field string) bool { return field == "status" })
	definitions[name] = d
	return definitions
}
