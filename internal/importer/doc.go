// Package importer fetches images from upstream registries and converts them to Image values, with
// one status for every requested image. It is the reading half of an ImageStreamImport: it stores
// nothing and does not depend on streams, namespaces or a Kubernetes client.
//
// [Importer.Import] takes a [Request] and returns a [Result], never an error: a failure of one
// image (an unavailable registry, a manifest with a wrong digest, a defect in this package) affects
// only the status of that image.
//
// How a request is processed:
//
//	request ─┬─ images ──────► perHost ─► importOne ─► HEAD (only with a known head) ─► GET
//	         │                                           │ same image: Unchanged          │
//	         └─ repository ─► Tags ─► prioritise ─► importOne                             │
//	                                                                                      ▼
//	      Image values ◄── config, sizes ◄── a manifest ◄── Legacy: choose │ PreserveOriginal: every entry
//
// The files: importer.go and request.go hold the exported surface; session.go what the parts of one
// request share; fetch.go the calls; single.go, list.go, image.go the conversion of a manifest to
// Image values; repository.go the tags of a repository; fallback.go the retry without a wrong secret;
// document.go, schema1.go and metadata.go the reading of foreign bytes (pure, fuzzed); platform.go
// and tags.go the choices (pure); status.go the statuses; cache.go the caches.
//
// # Foreign bytes
//
// All content of a registry is untrusted. Manifests and configs are verified against their digest,
// their nesting, number and size are bounded per tag and per request (see [Limits]), and an Image
// that is too large for the store fails with a status that names the limit.
//
// # Use of the cache
//
// Verified manifests and configs are cached in the process by repository and digest. A request
// can use cached content only after it has read from that repository with its own credentials: the
// digest of private content does not grant access to it.
package importer
