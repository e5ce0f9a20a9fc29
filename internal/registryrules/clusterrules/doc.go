// Package clusterrules keeps registryrules.Rules current with the custom resources of a cluster:
// ImageContentSourcePolicy, ImageDigestMirrorSet, ImageTagMirrorSet and the Image object "cluster".
// A change of one of them makes new rules.
//
// A cluster may have all, some or none of these resources, and they may come and go while it runs:
// discovery is read every few seconds. Absent ones are no error. While a resource cannot be listed
// or watched, its last known objects stay in force.
package clusterrules
