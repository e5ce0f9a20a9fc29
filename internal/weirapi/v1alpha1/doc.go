// Package v1alpha1 provides the types of weir.dev/v1alpha1, the API group for what Weir
// has beyond image.openshift.io: passwords of its registry, and when scheduled tags are checked.
//
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.weir.v1alpha1
// +groupName=weir.dev
package v1alpha1
