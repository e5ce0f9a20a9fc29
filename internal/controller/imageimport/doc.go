// Package imageimport provides the controller that imports what image streams ask
// for in spec, and tries again what failed.
//
// It is an ordinary client of the public API: it watches image streams and posts
// ImageStreamImports. Two queues of streams, each with workers of its own, so that a
// registry that hangs in a retry holds up nobody's new tag:
//
//	watch ─┬─► imports ─► stream.ImportNeeds ─► POST imagestreamimports
//	       │                                            │ tags that failed
//	       └─► retries ─► planRetries ─┬─ new failure ──┴► note attempt 1
//	                                   └─ attempt due ──► POST ─► note attempt n+1
//
// A note is the tag condition weir.dev/ImportRetry, written through
// imagestreams/status. It is all the state there is: after a restart the controller
// goes on where the conditions say. A series of attempts ends when the tag is
// imported, goes away, or its spec moves on; the server drops the condition then.
//
// A changed pull secret ends the pauses of the tags in its namespace whose failure another
// secret may mend. Only the metadata of secrets is watched.
//
// A failed image is not an error of the controller: its condition answers the
// generation of its spec tag, as clients of the reference know it. Errors of the
// import as a whole (a conflict above all) put the stream back into the queue with
// exponential back-off.
//
// While an import of a stream is under way no retry of that stream starts and no note
// is written, since either would make the import fail with a conflict.
package imageimport
