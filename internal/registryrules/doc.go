// Package registryrules provides the rules for the sources of a pull spec: mirrors, rewritten
// locations, blocked and insecure registries.
//
// Rules are made of a containers registries.conf (version 2) and of the custom resources of a
// cluster: ImageContentSourcePolicy, ImageDigestMirrorSet, ImageTagMirrorSet and the registry
// sources of Image "cluster" (config.openshift.io/v1). They are immutable and contact no registry.
package registryrules
