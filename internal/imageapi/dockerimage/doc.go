// Package dockerimage parses the documents of an image (manifests of the docker and OCI formats,
// manifest lists, configurations) and converts them to the fields of an Image of the API group
// image.openshift.io: layers, sub-manifests, metadata, size.
//
// It is pure: bytes and values in, values out. The server uses it to complete images that clients
// create or update (Fill, PrepareUpdate), the importer for images of other registries. Proven,
// Claim and Correct separate verified images from claims of clients. The bytes are untrusted:
// every parser bounds its work by the length of its input, returns an error for input that it does
// not support, and is fuzzed.
package dockerimage

// AnnotationManagedSignature once marked signatures that the server had imported. It has no
// meaning any more and is removed from every written signature.
const AnnotationManagedSignature = "image.openshift.io/managed-signature"
