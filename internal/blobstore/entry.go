package blobstore

import (
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// Kind is the meaning of a file in storage.
type Kind string

// The kinds of files, with the fields of Entry that each has beside Path, Kind, Size and
// ModTime.
const (
	KindBlob         Kind = "Blob"         // a blob's data: Digest
	KindDamaged      Kind = "Damaged"      // data that was quarantined: Digest
	KindPushed       Kind = "Pushed"       // of earlier versions, not read any more: Digest
	KindMissing      Kind = "Missing"      // of earlier versions, not read any more: Digest
	KindFetched      Kind = "Fetched"      // a manifest from another registry, of earlier versions: Digest
	KindProvenance   Kind = "Provenance"   // a source of a blob: Digest, of the blob
	KindBlobLink     Kind = "BlobLink"     // Repository, Digest, Owner
	KindManifestLink Kind = "ManifestLink" // Repository, Digest, Owner
	KindOwner        Kind = "Owner"        // the marker of a repository's owner: Repository, Owner
	KindReferrer     Kind = "Referrer"     // Repository, Digest of the referrer, Subject
	KindUpload       Kind = "Upload"       // a file of an upload: Repository
	KindAside        Kind = "Aside"        // a file aside, and when it began
	KindScope        Kind = "Scope"        // of earlier versions: Repository is the namespace alone
	KindOther        Kind = "Other"        // the store's own state: _api, _names, _scrub
)

// Entry is a file in storage.
type Entry struct {
	// Path is the driver's path. Entries are ordered by it.
	Path string
	Kind Kind
	// Repository is namespace/stream; "" for what belongs to none.
	Repository string
	Digest     digest.Digest
	// Subject is the manifest that a referrer refers to.
	Subject digest.Digest
	// Owner is the UID of a link's owner, "" for the file that distribution reads; for
	// KindOwner it may be "unowned".
	Owner string
	// Size is in bytes. ModTime is the time of the last write according to storage, in
	// whole seconds in most object stores.
	Size    int64
	ModTime time.Time
}

// parseEntry reads a path. Size and ModTime are not set. ok is false for files that are
// not the store's.
func parseEntry(path string) (e Entry, ok bool) {
	rest, ok := strings.CutPrefix(path, rootFolder+"/")
	if !ok {
		return Entry{}, false
	}
	switch parts := strings.Split(rest, "/"); parts[0] {
	case "blobs":
		e, ok = parseBlobFile(parts[1:])
	case "repositories":
		e, ok = parseNamespaceFile(parts[1:])
	case "aside":
		e.Kind, ok = KindAside, len(parts) == 2 && isUploadID(strings.TrimSuffix(parts[1], "."+startedAtFile))
	default:
		e.Kind, ok = KindOther, path == scrubPath || path == namesPath || path == apiPath
	}
	if !ok {
		return Entry{}, false
	}
	e.Path = path
	return e, true
}

// blobFiles are the kinds of the files in a blob's folder.
var blobFiles = map[string]Kind{
	dataFile: KindBlob, "damaged": KindDamaged, "pushed": KindPushed, "missing": KindMissing, "fetched": KindFetched,
}

// parseBlobFile reads <alg>/<hex[:2]>/<hex>/… below blobs.
func parseBlobFile(parts []string) (e Entry, ok bool) {
	if len(parts) < 4 {
		return Entry{}, false
	}
	e.Digest, ok = parseDigest(parts[0], parts[2])
	if !ok || parts[1] != parts[2][:2] {
		return Entry{}, false
	}
	switch len(parts) {
	case 4:
		e.Kind, ok = blobFiles[parts[3]]
	case 5:
		e.Kind = KindProvenance
		_, isName := parseDigest(string(digest.SHA256), parts[4])
		ok = parts[3] == "from" && isName
	default:
		ok = false
	}
	return e, ok
}

// parseNamespaceFile reads <namespace>/… below repositories.
func parseNamespaceFile(parts []string) (e Entry, ok bool) {
	if len(parts) == 2 && parts[1] == "_scope" {
		return Entry{Kind: KindScope, Repository: parts[0]}, checkComponent(parts[0]) == nil
	}
	if len(parts) < 4 {
		return Entry{}, false
	}
	repository := parts[0] + "/" + parts[1]
	if checkRepository(repository) != nil {
		return Entry{}, false
	}
	e, ok = parseRepositoryFile(parts[2:])
	e.Repository = repository
	return e, ok
}

// parseRepositoryFile reads what follows <namespace>/<stream>.
func parseRepositoryFile(parts []string) (e Entry, ok bool) {
	switch {
	case parts[0] == "_layers" && len(parts) == 4:
		return parseLink(KindBlobLink, parts[1:])
	case parts[0] == "_manifests" && len(parts) == 5 && parts[1] == "revisions":
		return parseLink(KindManifestLink, parts[2:])
	case parts[0] == "_referrers" && len(parts) == 4:
		e.Kind = KindReferrer
		e.Subject, ok = parseDigest(parts[1], parts[2])
		referrer, isReferrer := referrerOf(parts[3])
		e.Digest = referrer
		return e, ok && isReferrer
	case parts[0] == "_owners" && len(parts) == 2:
		return Entry{Kind: KindOwner, Owner: parts[1]}, parts[1] == unownedFile || checkOwner(parts[1]) == nil
	case parts[0] == "_uploads" && len(parts) >= 3:
		return Entry{Kind: KindUpload}, isUploadID(parts[1]) && isUploadFile(parts[2:])
	default:
		return Entry{}, false
	}
}

// isUploadFile reports whether names lead from an upload's folder to one of its files.
// Distribution's are among them, in uploads that were taken over:
// hashstates/<alg>/<offset>.
func isUploadFile(parts []string) bool {
	switch parts[0] {
	case dataFile, startedAtFile, hashStateFile:
		return len(parts) == 1
	case "hashstates":
		return len(parts) == 3 && checkAlgorithm(digest.Algorithm(parts[1])) == nil &&
			parts[2] != "" && strings.Trim(parts[2], "0123456789") == ""
	default:
		return false
	}
}

// parseLink reads <alg>/<hex>/<name>.
func parseLink(kind Kind, parts []string) (e Entry, ok bool) {
	e.Kind = kind
	if e.Digest, ok = parseDigest(parts[0], parts[1]); !ok {
		return Entry{}, false
	}
	if parts[2] == linkFile {
		return e, true
	}
	e.Owner = parts[2]
	return e, checkOwner(e.Owner) == nil
}

func parseDigest(algorithm, hex string) (d digest.Digest, ok bool) {
	d = digest.Digest(algorithm + ":" + hex)
	return d, checkDigest(d) == nil
}
