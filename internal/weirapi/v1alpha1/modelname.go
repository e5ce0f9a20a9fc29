package v1alpha1

// modelPackage begins the names of the types in OpenAPI; doc.go sets it for the
// generator.
const modelPackage = "dev.weir.v1alpha1."

// OpenAPIModelName is the name of the type's definition in OpenAPI.
func (RegistryToken) OpenAPIModelName() string { return modelPackage + "RegistryToken" }

// OpenAPIModelName is the name of the type's definition in OpenAPI.
func (RegistryTokenSpec) OpenAPIModelName() string { return modelPackage + "RegistryTokenSpec" }

// OpenAPIModelName is the name of the type's definition in OpenAPI.
func (RegistryTokenStatus) OpenAPIModelName() string { return modelPackage + "RegistryTokenStatus" }
