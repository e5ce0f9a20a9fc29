// Package imageapi describes the API group image.openshift.io/v1 to machines: which Go types
// stand behind which kinds (NewScheme), what an absent field means (defaulting), how a request
// body is checked while it is decoded and an answer is completed while it is encoded
// (NewSerializer), and which fields a list can be selected by.
//
// There is one Go type per kind. The types of github.com/openshift/api/image/v1 are registered
// both as the group's v1 and as its internal version, so that no conversion code exists; the
// price is that spec.tags and status.tags stay lists inside the server, which is why decoding
// normalises them (see NormalizeStream).
//
// What is done with images lives below: dockerimage reads manifests and configurations,
// validation holds the rules that make a request 422, table prints, openapi publishes schemas.
package imageapi
