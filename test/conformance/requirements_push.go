package conformance

import "slices"

// What spec.md says about pushing.
var pushRequirements = []Requirement{
	{Line: 223, Section: "Push", Level: "MUST", Says: "a manifest whose subject is missing is accepted", Checks: append(
		in("subject", "missing", "pushed-later"), in("manifest-refused", "invalid-subject")...)},
	{Line: 225, Section: "Push", Level: "MUST", Says: "a manifest that is refused for what it refers to is MANIFEST_BLOB_UNKNOWN", Checks: every("manifest-references")},
	{Line: 250, Section: "POST then PUT", Level: "MUST", Says: "an upload begins with 202 and a Location", Checks: in("upload-monolithic", "start")},
	{Line: 256, Section: "POST then PUT", Level: "MUST", Says: "the location has a UUID that is the session's alone", Checks: append(
		in("upload-monolithic", "start", "location-has-uuid"), in("upload-chunked", "interleaved-sessions")...)},
	{Line: 275, Section: "POST then PUT", Level: "SHOULD", Says: "clients use the location as it is", Client: true, Checks: in("upload-monolithic", "put-keeps-location-parameters")},
	{Line: 276, Section: "POST then PUT", Level: "SHOULD NOT", Says: "clients make up the location", Client: true},
	{Line: 280, Section: "POST then PUT", Level: "MUST", Says: "a blob is acknowledged with 201 and its Location", Checks: in("upload-monolithic",
		"put", "put-without-content-type", "put-without-length", "again", "one-byte", "put-keeps-location-parameters")},
	{Line: 307, Section: "Single POST", Level: "MUST", Says: "Content-Length is the blob's length", Checks: in("upload-single-post", "shorter-than-its-length")},
	{Line: 308, Section: "Single POST", Level: "MUST", Says: "the digest is the blob's", Checks: in("upload-single-post", "wrong-digest", "malformed-digest")},
	{Line: 310, Section: "Single POST", Level: "SHOULD", Says: "registries without it answer 202", Checks: in("upload-single-post", "created")},
	{Line: 312, Section: "Single POST", Level: "MUST", Says: "a blob is acknowledged with 201 and its Location", Checks: in("upload-single-post", "created", "again", "large", "empty")},
	{Line: 330, Section: "Pushing a blob in chunks", Level: "MUST", Says: "clients send Content-Length: 0", Client: true},
	{Line: 336, Section: "Pushing a blob in chunks", Level: "SHOULD", Says: "a least size of chunks is told in OCI-Chunk-Min-Length", Checks: in("upload-chunked", "minimum")},
	{Line: 359, Section: "Pushing a blob in chunks", Level: "MUST", Says: "ranges are inclusive on both ends", Checks: append(
		in("upload-chunked", "chunks-then-put"), in("upload-order", "range-unlike-length")...)},
	{Line: 360, Section: "Pushing a blob in chunks", Level: "MUST", Says: "the first range begins with 0", Checks: in("upload-order", "first-not-at-zero")},
	{Line: 361, Section: "Pushing a blob in chunks", Level: "MUST", Says: "ranges follow their regular expression", Checks: in("upload-order", "malformed-range")},
	{Line: 368, Section: "Pushing a blob in chunks", Level: "SHOULD", Says: "clients heed the least size", Client: true},
	{Line: 371, Section: "Pushing a blob in chunks", Level: "MUST", Says: "a chunk is acknowledged with 202, Location and Range", Checks: slices.Concat(
		in("upload-chunked", "chunks-then-put", "last-chunk-in-put", "one-chunk", "many-chunks"), every("upload-streamed"))},
	{Line: 378, Section: "Pushing a blob in chunks", Level: "SHOULD", Says: "clients use the location of the answer before", Client: true},
	{Line: 382, Section: "Pushing a blob in chunks", Level: "MUST", Says: "chunks come in order", Checks: every("upload-order")},
	{Line: 383, Section: "Pushing a blob in chunks", Level: "MUST", Says: "a chunk out of order is 416", Checks: in("upload-order", "first-not-at-zero", "gap", "again", "overlap", "put")},
	{Line: 387, Section: "Pushing a blob in chunks", Level: "MUST", Says: "a session is closed with PUT", Checks: append(
		in("upload-session", "nothing-readable-before-close"), in("upload-monolithic", "session-is-closed")...)},
	{Line: 403, Section: "Pushing a blob in chunks", Level: "MUST", Says: "the closing PUT has the digest of the whole blob", Checks: in("upload-refused",
		"no-digest", "wrong-digest", "wrong-digest-after-chunks", "malformed-digest", "two-digests", "incomplete")},
	{Line: 405, Section: "Pushing a blob in chunks", Level: "MUST", Says: "a blob is acknowledged with 201 and its Location", Checks: in("upload-chunked",
		"chunks-then-put", "last-chunk-in-put", "one-chunk", "many-chunks")},
	{Line: 418, Section: "Pushing a blob in chunks", Level: "MUST", Says: "the status of an upload is 204 with Location and Range", Checks: in("upload-session",
		"status-new", "status-after-chunk", "resume-after-cut-patch")},
	{Line: 425, Section: "Pushing a blob in chunks", Level: "SHOULD", Says: "clients go on at the location of the status", Client: true, Checks: in("upload-session", "status-location")},
	{Line: 440, Section: "Mounting a blob from another repository", Level: "MUST", Says: "a mount is acknowledged with 201 and the blob's Location", Checks: in("mount",
		"from", "from-same-repository", "already-there", "anonymous", "sha512", "used-by-manifest", "outlives-source")},
	{Line: 447, Section: "Mounting a blob from another repository", Level: "SHOULD", Says: "clients that use the digest verify it", Client: true},
	{Line: 451, Section: "Mounting a blob from another repository", Level: "SHOULD", Says: "what cannot be mounted is 202 and begins an upload", Checks: in("mount",
		"unknown-blob", "unknown-repository", "invalid-repository", "invalid-digest", "anonymous-upload-only")},
	{Line: 458, Section: "Pushing Manifests", Level: "SHOULD", Says: "clients set Content-Type", Client: true, Checks: in("manifest-push", "without-content-type")},
	{Line: 459, Section: "Pushing Manifests", Level: "SHOULD NOT", Says: "clients send parameters", Client: true},
	{Line: 460, Section: "Pushing Manifests", Level: "SHOULD", Says: "parameters of Content-Type are ignored", Checks: in("manifest-push", "content-type-with-parameters")},
	{Line: 461, Section: "Pushing Manifests", Level: "SHOULD", Says: "manifests say their type", Client: true, Checks: ofKinds("image-without-media-type/")},
	{Line: 462, Section: "Pushing Manifests", Level: "MUST", Says: "Content-Type is the manifest's mediaType", Checks: in("manifest-refused", "type-mismatch", "unknown-type")},
	{Line: 475, Section: "Pushing Manifests", Level: "MUST", Says: "a reference is a digest or a tag", Checks: append(
		in("manifest-push", "by-tag", "by-digest", "several-tags", "moves-tag"), in("manifest-refused", "malformed-digest", "invalid-tag")...)},
	{Line: 477, Section: "Pushing Manifests", Level: "MUST", Says: "a manifest refers to its blobs, of which there may be none", Checks: append(
		in("manifest-references", "no-blobs", "blob-of-other-repository"), in("manifest-refused", "not-json", "invalid-descriptors", "ambiguous", "cut-off")...)},
	{Line: 480, Section: "Pushing Manifests", Level: "MUST", Says: "the bytes of a manifest are kept as they are", Checks: every("manifest-bytes")},
	{Line: 481, Section: "Pushing Manifests", Level: "MUST", Says: "a manifest is acknowledged with 201 and its Location", Checks: in("manifest-push",
		"by-tag", "by-digest", "by-sha512-digest", "again", "same-content-in-two-repositories", "after-delete-of-everything")},
	{Line: 488, Section: "Pushing Manifests", Level: "MUST", Says: "the digest in the answer is the client's", Checks: append(
		in("manifest-push", "digest-header", "by-sha512-digest"), in("manifest-refused", "wrong-digest")...)},
	{Line: 489, Section: "Pushing Manifests", Level: "SHOULD", Says: "clients that use the digest verify it", Client: true},
	{Line: 491, Section: "Pushing Manifests", Level: "MUST", Says: "a pull from a repository that does not exist is 404", Checks: append(
		in("manifest-pull", "unknown-repository"), in("blob-pull", "unknown-repository")...)},
	{Line: 493, Section: "Pushing Manifests", Level: "SHOULD", Says: "manifests have a largest size", Checks: in("manifest-size", "beyond-limit", "far-beyond-limit", "beyond-limit-without-length")},
	{Line: 494, Section: "Pushing Manifests", Level: "SHOULD", Says: "a manifest beyond it is 413", Checks: in("manifest-size", "beyond-limit", "far-beyond-limit", "beyond-limit-without-length")},
	{Line: 495, Section: "Pushing Manifests", Level: "SHOULD", Says: "manifests of 4 megabytes are accepted", Checks: in("manifest-size", "one-megabyte", "limit", "many-layers")},
	{Line: 499, Section: "Pushing Manifests with Subject", Level: "MUST", Says: "OCI-Subject tells that the subject was processed", Checks: every("subject")},
	{Line: 501, Section: "Pushing Manifests with Subject", Level: "MUST", Says: "clients keep a list under a tag where it was not", Client: true},
	{Line: 504, Section: "Pushing Manifests with Subject", Level: "SHOULD", Says: "clients report a list that is none", Client: true},
	{Line: 505, Section: "Pushing Manifests with Subject", Level: "MUST", Says: "clients begin with an empty list", Client: true},
	{Line: 506, Section: "Pushing Manifests with Subject", Level: "SHOULD NOT", Says: "clients list a manifest twice", Client: true},
	{Line: 508, Section: "Pushing Manifests with Subject", Level: "MUST", Says: "clients copy artifactType", Client: true},
	{Line: 509, Section: "Pushing Manifests with Subject", Level: "MUST", Says: "clients fall back to the configuration's type", Client: true},
	{Line: 510, Section: "Pushing Manifests with Subject", Level: "MUST", Says: "clients copy annotations", Client: true},
}
