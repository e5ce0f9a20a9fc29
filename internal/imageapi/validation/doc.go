// Package validation holds the rules that objects of the group image.openshift.io must satisfy
// to be stored. Functions are pure; they return the causes of a 422, with the field paths and
// error types that clients of the API know.
//
// What needs more than the objects is not here: following references between streams, limits,
// and whether the caller may read a source stream are decided elsewhere and reported beside
// these errors. The one outside rule here, which registries may be imported
// from, comes in as a RegistryAllower.
package validation
