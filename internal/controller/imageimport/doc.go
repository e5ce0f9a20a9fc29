// Package imageimport provides the controller that imports the spec tags of image streams,
// and retries failed imports.
//
// It is an ordinary client of the public API: it watches image streams and posts
// ImageStreamImports. It has two queues of streams with separate workers, so that a registry
// that hangs in a retry does not delay new tags:
//
//	watch ─┬─► imports ─► stream.ImportNeeds ─► POST imagestreamimports
//	       │                                            │ tags that failed
//	       └─► retries ─► planRetries ─┬─ new failure ──┴► note attempt 1
//	                                   └─ attempt due ──► POST ─► note attempt n+1
//
// A note is the tag condition weir.dev/ImportRetry, written through imagestreams/status. It
// is the only state: after a restart the controller resumes from the conditions. A series
// of attempts ends when the tag is imported, is deleted, or its spec changes; the server
// removes the condition then.
//
// A changed pull secret ends the pauses of the tags in its namespace whose failure another
// secret may fix. Only the metadata of secrets is watched.
//
// A failed image is not an error of the controller: its condition has the generation of its
// spec tag, as clients of OpenShift expect. Errors of the import as a whole (mostly
// conflicts) put the stream back into the queue with exponential back-off.
//
// During an import of a stream no retry of that stream starts and no note is written, since
// either would make the import fail with a conflict.
package imageimport
