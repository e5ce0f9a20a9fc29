// Package dockerimage reads what registries keep about an image (manifests of the docker and
// OCI formats, manifest lists, configurations) and turns it into the fields of an Image of the
// API group image.openshift.io: layers, sub-manifests, metadata, size.
//
// It is pure: bytes and values in, values out. The server completes images with it that clients
// create or update (Fill, PrepareUpdate), the importer images that it found upstream. Images that are
// verified, and those that a client merely claims, are told apart with Proven, Claim and Correct.
// The bytes are foreign: every parser bounds its work by the length of its input, refuses what
// it does not understand with an error, and is fuzzed.
package dockerimage

// AnnotationManagedSignature once marked signatures that the server had imported itself. It
// means nothing any more and is removed from every signature that is written.
const AnnotationManagedSignature = "image.openshift.io/managed-signature"
