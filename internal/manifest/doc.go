// Package manifest reads image manifests of all formats: Docker schema 1, schema 2 and manifest
// list, OCI manifest and index.
//
// It is the only reader of manifests in this program. JSON leaves open what a document means that
// has a key twice, and Go's encoding/json takes "Layers" or "layerſ" for "layers" where other
// readers do not. A check that reads one list of layers while a later reader finds another is no
// check. Read therefore refuses every document that two readers can read differently.
//
// The package is pure: bytes in, values out.
package manifest
