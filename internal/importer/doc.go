// Package importer turns what an upstream registry serves into Image values, with one status for
// every image that was asked for. It is the reading half of an ImageStreamImport: it stores
// nothing and knows no stream, no namespace and no Kubernetes client.
//
// One import is a [Request]; [Importer.Import] answers it with a [Result] and never with an error:
// whatever goes wrong with one image (a registry that is away, a manifest that lies about its
// digest, a defect in this package) is that image's status and nobody else's.
//
// How a request is read:
//
//	request ─┬─ images ──────► perHost ─► importOne ─► HEAD (only with a known head) ─► GET
//	         │                                           │ same image: Unchanged          │
//	         └─ repository ─► Tags ─► prioritise ─► importOne                             │
//	                                                                                      ▼
//	      Image values ◄── config, sizes ◄── a manifest ◄── Legacy: choose │ PreserveOriginal: every entry
//
// The files: importer.go and request.go hold the exported surface; session.go what the parts of one
// request share; fetch.go the calls; single.go, list.go, image.go the way from a manifest to Image
// values; repository.go the tags of a repository; fallback.go the second try without a wrong secret;
// document.go, schema1.go and metadata.go the reading of foreign bytes (pure, fuzzed); platform.go
// and tags.go the choices (pure); status.go the statuses; cache.go what survives a request.
//
// # Foreign bytes
//
// Everything a registry says is untrusted. Manifests and configs are verified against their digest,
// their nesting, number and size are bounded per tag and per request (see [Limits]), and an Image
// that would not fit into the store is refused here, with a status that says so.
//
// # What a cache may answer
//
// Verified manifests and configs are kept in the process by repository and digest. A request is
// given content from there only after it has itself read from that repository with its own
// credentials: knowing the digest of something private opens nothing.
package importer
