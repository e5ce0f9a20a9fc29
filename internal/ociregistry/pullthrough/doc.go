// Package pullthrough fetches content that streams refer to from other registries, serves
// it while it arrives and keeps it. What a repository may read is not decided here.
//
// All callers who want a blob from the same sources share one fetch. It reads the blob from
// the candidates, each a source with a credential (feed, which resumes when a connection
// breaks), and writes it aside into the blob store; readers follow in the growing file, each
// at its own pace. The last bytes are held back from all of them until the digest has been
// compared, so that no client ever has the whole of unverified content:
//
//	upstream ──feed──▶ fetch ──▶ Ingest file ──Commit──▶ blob store
//	                               │  │  └─▶ reader (from the start)
//	                               │  └────▶ reader (joined in the middle)
//	                               └───────▶ reader (of a range)
//
// Where nothing may be kept, and while storage rests after a failure, each caller has a
// stream of its own (verified), which holds its last bytes back in the same way. A blob is
// delivered in one of the two ways: when storage fails in the middle of a fetch, its readers
// end with an error, and the next attempt of their clients is a stream. Manifests are small:
// they are fetched whole, verified and stored before they are answered.
package pullthrough
