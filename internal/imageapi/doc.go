// Package imageapi defines the API group image.openshift.io/v1 for servers and clients: the Go
// types of its kinds (NewScheme), the defaults of absent fields, the checks during the decoding of
// a request and the completion during the encoding of a response (NewSerializer), and the field
// selectors of lists.
//
// There is one Go type per kind. The types of github.com/openshift/api/image/v1 are registered
// both as the group's v1 and as its internal version, so that no conversion code exists; the
// price is that spec.tags and status.tags stay lists inside the server, which is why decoding
// normalises them (see normalizeStream).
//
// Its subpackages process images: dockerimage parses manifests and configurations, validation has
// the rules whose violation is answered 422, table prints tables, openapi publishes schemas.
package imageapi
