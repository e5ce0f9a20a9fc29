package blobstore

import (
	"fmt"
	"path"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// The layout is distribution's, so that a volume or bucket of a registry built on it, as
// OpenShift's is, can be taken over and given back. Repositories have two components,
// <namespace>/<stream>. damaged, from, _owners, the owners' files of links, _referrers, aside,
// _api, _names and _scrub are ours; distribution does not look there. parseEntry reads these paths.
//
//	/docker/registry/v2
//	├── _api                                 identity of the API whose streams have the links
//	├── _names                               host names under which the registry was served, JSON
//	├── _scrub                               how far verifying the blobs has come, JSON
//	├── aside                                what arrives in one go, until it is verified
//	│   ├── <uuid>
//	│   └── <uuid>.startedat                 in object stores only: when it began, RFC 3339
//	├── blobs
//	│   └── <alg>/<hex[:2]>/<hex>
//	│       ├── data                         the content, alg is sha256 or sha512
//	│       ├── damaged                      data that had another digest, kept to be looked at
//	│       └── from/<sha256>                a source that the content was fetched from, named by its hash
//	└── repositories
//	    └── <namespace>/<stream>
//	        ├── _layers/<alg>/<hex>          the repository has the blob
//	        │   ├── link                     holds the digest
//	        │   └── <uid>                    an owner: a stream, or a namespace
//	        ├── _manifests
//	        │   └── revisions/<alg>/<hex>    the repository has the manifest, as above
//	        ├── _owners
//	        │   ├── <uid>                    an owner of links in this repository
//	        │   └── unowned                  holds the UID of the stream that links without owner belong to
//	        ├── _referrers
//	        │   └── <alg>/<hex>/<alg>.<hex>  subject, then referrer; holds its descriptor as JSON
//	        └── _uploads
//	            └── <uuid>
//	                ├── data                 what has arrived
//	                ├── startedat            when it began, RFC 3339
//	                └── hashstate            the hash of data up to an offset, see hashstate.go
//
// A link belongs to an owner if the owner's file is there, see owners.go; the file link is for
// distribution, which reads the digest in it. Its tags (_manifests/tags) are not used here:
// tags are the stream's.
//
// Earlier versions wrote pushed, missing and fetched beside the data of manifests, and
// _scope in the folder of a namespace. Only fetched (the content of a manifest from another
// registry) and _scope are still read.
const (
	rootFolder         = "/docker/registry/v2"
	asideFolder        = rootFolder + "/aside"
	blobsFolder        = rootFolder + "/blobs"
	repositoriesFolder = rootFolder + "/repositories"
	namesPath          = rootFolder + "/_names"
	scrubPath          = rootFolder + "/_scrub"
)

// Names in an upload's folder.
const (
	dataFile      = "data"
	startedAtFile = "startedat"
	hashStateFile = "hashstate"
)

// Names in the folder of a link, and in that of a repository's owners.
const (
	linkFile    = "link"
	unownedFile = "unowned"
)

// linkKind is a tree of links in a repository.
type linkKind string

const (
	blobLinks     linkKind = "/_layers/"
	manifestLinks linkKind = "/_manifests/revisions/"
)

// The callers of the functions below have checked the arguments with the check functions.

// split returns the digest's algorithm and hex part.
func split(d digest.Digest) (algorithm, hex string) {
	algorithm, hex, _ = strings.Cut(string(d), ":")
	return algorithm, hex
}

func blobFolder(d digest.Digest) string {
	algorithm, hex := split(d)
	return blobsFolder + "/" + algorithm + "/" + hex[:2] + "/" + hex
}

func blobPath(d digest.Digest) string { return blobFolder(d) + "/" + dataFile }

func damagedPath(d digest.Digest) string { return blobFolder(d) + "/damaged" }

func fetchedPath(d digest.Digest) string { return blobFolder(d) + "/fetched" }

func scopePath(namespace string) string { return namespaceFolder(namespace) + "/_scope" }

func provenanceFolder(d digest.Digest) string { return blobFolder(d) + "/from" }

func namespaceFolder(namespace string) string { return repositoriesFolder + "/" + namespace }

func repositoryFolder(repo string) string { return repositoriesFolder + "/" + repo }

func linkFolder(repo string, kind linkKind, d digest.Digest) string {
	algorithm, hex := split(d)
	return repositoryFolder(repo) + string(kind) + algorithm + "/" + hex
}

func ownersFolder(repo string) string { return repositoryFolder(repo) + "/_owners" }

func referrersFolder(repo string, subject digest.Digest) string {
	algorithm, hex := split(subject)
	return repositoryFolder(repo) + "/_referrers/" + algorithm + "/" + hex
}

func referrerPath(repo string, subject, d digest.Digest) string {
	algorithm, hex := split(d)
	return referrersFolder(repo, subject) + "/" + algorithm + "." + hex
}

// referrerOf reads a name in a subject's folder. ok is false for what is no referrer's.
func referrerOf(name string) (d digest.Digest, ok bool) {
	algorithm, hex, ok := strings.Cut(path.Base(name), ".")
	d = digest.Digest(algorithm + ":" + hex)
	return d, ok && checkDigest(d) == nil
}

func uploadsFolder(repo string) string { return repositoryFolder(repo) + "/_uploads" }

func uploadFolder(repo, id string) string { return uploadsFolder(repo) + "/" + id }

func asidePath(id string) string { return asideFolder + "/" + id }

// asideStartedAt is the path of the time that goes with a file aside.
func asideStartedAt(id string) string { return asidePath(id) + "." + startedAtFile }

// checkDigest is ErrInvalid for all but a lower-case sha256 or sha512 digest.
func checkDigest(d digest.Digest) error {
	algorithm, hex := split(d)
	length := 0
	switch digest.Algorithm(algorithm) {
	case digest.SHA256:
		length = 64
	case digest.SHA512:
		length = 128
	}
	if length == 0 || len(hex) != length || strings.Trim(hex, "0123456789abcdef") != "" {
		return fmt.Errorf("%w: %q is not a sha256 or sha512 digest", ErrInvalid, d)
	}
	return nil
}

// checkAlgorithm is ErrInvalid for all but sha256 and sha512.
func checkAlgorithm(a digest.Algorithm) error {
	if a != digest.SHA256 && a != digest.SHA512 {
		return fmt.Errorf("%w: digest algorithm %q is neither sha256 nor sha512", ErrInvalid, a)
	}
	return nil
}

// checkRepository is ErrInvalid for all but namespace/stream.
func checkRepository(repo string) error {
	namespace, stream, ok := strings.Cut(repo, "/")
	if !ok || checkComponent(namespace) != nil || checkComponent(stream) != nil {
		return fmt.Errorf("%w: %q is not a repository (namespace/stream)", ErrInvalid, repo)
	}
	return nil
}

// checkComponent is ErrInvalid for a name that cannot be one folder in every storage: it has
// to be of lower-case letters, digits, ".", "_" and "-", with letters or digits at both ends.
func checkComponent(name string) error {
	alphanumeric := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	ok := name != "" && len(name) <= 255 && alphanumeric(name[0]) && alphanumeric(name[len(name)-1])
	for i := range len(name) {
		c := name[i]
		ok = ok && (alphanumeric(c) || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%w: %q is not a namespace", ErrInvalid, name)
	}
	return nil
}

// isUploadID reports whether a text is a lower-case UUID, as this package makes them.
func isUploadID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return true
}
