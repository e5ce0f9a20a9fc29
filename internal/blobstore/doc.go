// Package blobstore provides content-addressed storage over distribution's storage
// drivers: blobs, the links that say which repository has which of them, referrers, and
// uploads that any replica resumes. It knows neither HTTP nor image streams.
//
// # Complete or absent
//
// A blob is written aside (into its upload, or into a folder for what arrives in one go),
// its digest is verified, it is synced, and moved to where its digest says. Links come
// after the data that they lead to. So whatever is killed, and whenever, a blob is whole
// or is not there; what was left aside is removed by [Store.RemoveAbandonedUploads].
//
// Stored data can rot, or be damaged by other programs. A verified upload always becomes the
// blob's data and replaces the old data: pushing a blob again repairs it.
// [Store.Verify] finds damage, [Store.Quarantine] takes damaged data out of service, so that
// clients push or fetch the blob again. Package scrub does both for all blobs.
//
// On a plain filesystem the data of a blob is on the disk before it gets its name, but
// names of blobs and links are written without waiting: a power cut may take away, whole,
// what was stored just before. LinkManifest waits for all of them at once. An acknowledged
// manifest therefore has its blobs and its links, if it was linked before it was
// acknowledged and its blobs were confirmed before it was linked (Confirm).
//
// # Replicas
//
// Many processes may use one storage, without locks beyond the storage's own: a file's
// name on filesystems with flock for a file that is being written, multipart uploads and
// append positions in object stores. What a process caches is only that something is
// there, for a short time (see [Options]); before something is acknowledged the storage
// itself is asked ([Store.Confirm]).
//
// # Kinds of storage
//
// Three kinds are told apart. A plain filesystem (package disk) is what the calls are
// tuned for. Object stores (S3, GCS, Azure) have no cheap rename but write an object in one
// go, so that small content goes straight to its place, and they show nothing of a file
// before it is complete, so that an unfinished upload is measured by opening it. Any
// other driver (in memory, for tests) takes the same way as the filesystem without its
// shortcuts.
package blobstore
