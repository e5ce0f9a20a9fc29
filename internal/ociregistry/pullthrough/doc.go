// Package pullthrough fetches content that streams refer to from other registries, serves
// it while it arrives and keeps it. Package ociregistry decides which content may be read.
//
// All callers that want a blob from the same sources share one fetch. It reads the blob from
// the candidates, each a source with a credential (feed, which resumes when a connection
// breaks), and writes it to a staging file of the blob store; readers follow in the growing file,
// each at its own pace. The last bytes are withheld from all of them until the digest is
// verified, so that no client ever receives unverified content completely:
//
//	upstream ──feed──▶ fetch ──▶ Ingest file ──Commit──▶ blob store
//	                               │  │  └─▶ reader (from the start)
//	                               │  └────▶ reader (joined in the middle)
//	                               └───────▶ reader (of a range)
//
// If nothing may be kept, and while storage is paused after a failure, each caller has a
// separate stream (verified), which withholds its last bytes in the same way. A delivery never
// changes between the two: when storage fails during a fetch, its readers fail, and their clients
// retry with a stream. Manifests are small: they are fetched completely, verified and stored
// before they are served.
package pullthrough
