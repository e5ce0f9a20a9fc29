// Package blobstore provides content-addressed storage over distribution's storage
// drivers: blobs, the links of repositories to them, with their owners, the sources that blobs
// were fetched from, referrers, and uploads that any replica resumes. It depends on neither HTTP
// nor image streams, of which it has the UIDs only.
//
// # Complete or absent
//
// A blob is written aside (into its upload, or into a folder for blobs that arrive in one
// request), verified, synced, and moved to the path of its digest. Links are written after
// the data that they lead to. Therefore a blob is whole or absent, even if the process is
// killed; [Store.RemoveAbandonedUploads] removes the files aside that are left over.
//
// Stored data can rot, or be damaged by other programs. A verified upload always becomes the
// blob's data and replaces the old data: pushing a blob again repairs it.
// [Store.Verify] finds damage, [Store.Quarantine] takes damaged data out of service, so that
// clients push or fetch the blob again. Package scrub does both for all blobs.
//
// On a plain filesystem the data of a blob is on the disk before it gets its name, but
// names of blobs and links are written without waiting: a power cut may remove whole blobs
// and links that were stored just before. LinkManifest waits for all of them at once. An acknowledged
// manifest therefore has its blobs and its links, if it was linked before it was
// acknowledged and its blobs were confirmed before it was linked (Confirm).
//
// # Replicas
//
// Many processes may use one storage, without locks beyond the storage's own: a file's
// name on filesystems with flock for a file that is being written, multipart uploads and
// append positions in object stores. A process caches only the presence of files, for a short
// time (see [Options]); [Store.Confirm] checks storage itself before a push is
// acknowledged.
//
// # Kinds of storage
//
// There are three kinds. The calls are tuned for a plain filesystem (package disk). Object stores (S3, GCS, Azure) have no cheap rename but write an object in one
// go, so that small content goes straight to its place, and they show nothing of a file
// before it is complete, so that an unfinished upload is measured by opening it. Any
// other driver (in memory, for tests) takes the same way as the filesystem without its
// shortcuts.
package blobstore
