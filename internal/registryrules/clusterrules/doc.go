// Package clusterrules keeps registryrules.Rules in step with a cluster: it watches
// the custom resources that speak of registries (ImageContentSourcePolicy,
// ImageDigestMirrorSet, ImageTagMirrorSet and the Image object "cluster") and
// makes new rules whenever one of them changes.
//
// A cluster may have all, some or none of these resources, and they may come
// and go while it runs. Discovery is asked every few seconds which are there;
// absent ones are no trouble and make no noise. While a resource cannot be
// listed or watched, what was last known of it stays in force.
package clusterrules
