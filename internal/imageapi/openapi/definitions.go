package openapi

import (
	"slices"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/kube-openapi/pkg/common"
)

// Definitions are the generated ones, less demands on clients that the server
// does not make: the status of an import is the server's answer, and kubectl,
// which validates objects that cannot be patched by itself, would refuse a
// manifest without one.
func Definitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	definitions := GetOpenAPIDefinitions(ref)
	name := imagev1.ImageStreamImport{}.OpenAPIModelName()
	d := definitions[name]
	d.Schema.Required = slices.DeleteFunc(slices.Clone(d.Schema.Required), func(field string) bool { return field == "status" })
	definitions[name] = d
	return definitions
}
