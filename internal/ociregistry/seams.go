package ociregistry

import (
	"context"
	"io"
	"iter"
	"net/http"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/reference"
)

// Caller is the sender of a request, with the bounds of its token.
type Caller struct {
	// User is never nil; it is system:anonymous without credentials.
	User user.Info
	// Grants bound the caller's rights beside RBAC; nil is unbounded (the caller has a
	// password, such as an API token, or no credentials).
	Grants []Grant
	// Scheme is that of the credentials, "Basic" or "Bearer", and Realm the URL of the
	// token endpoint as this caller reaches it: the challenge of a refusal has both.
	Scheme, Realm string
	// Client is the address of the client, without a port; of a trusted proxy, the address
	// that the proxy names. It is set for callers that are refused, too.
	Client string
}

// Grant is one part of what an issued token was allowed.
type Grant struct {
	Type    string   // "repository", "registry"
	Name    string   // repository name as asked for, "catalog"
	Actions []string // "pull", "push", "delete", "sign", "*"
}

// Action is an operation on a repository.
type Action string

// The actions; the comment is the Kubernetes right that is asked for.
const (
	ActionPull          Action = "pull"           // get imagestreams/layers
	ActionPush          Action = "push"           // update imagestreams/layers
	ActionDelete        Action = "delete"         // delete imagestreamtags in the namespace, or delete images
	ActionSignatureRead Action = "signature-read" // get imagestreams/layers
	ActionSign          Action = "sign"           // create imagesignatures
)

// Access authenticates and authorizes requests.
type Access interface {
	// Authenticate finds the sender of a request. A request without credentials gets a
	// challenge; one with the literal token "anonymous", which the token endpoint issues,
	// is system:anonymous. The error is an *Error: CodeUnauthorized with its challenge, or
	// CodeUnavailable.
	Authenticate(r *http.Request) (Caller, error)
	// Allow asks for a right in a repository. The error is an *Error: CodeUnauthorized
	// with a challenge for a refusal, CodeUnavailable when the API server did not answer.
	Allow(ctx context.Context, c Caller, repo reference.Repository, action Action) error
	// AllowCluster asks for a right beyond repositories: to remove blob data (delete
	// images), to read metrics (get registry/metrics). A token with grants never has it.
	AllowCluster(ctx context.Context, c Caller, verb, resource, subresource string) error
	// AllowCatalog asks whether the caller may list repositories. Every user may, and sees
	// those that Directory.Repositories lists; a token with grants needs the scope of the
	// catalog among them.
	AllowCatalog(c Caller) error
	// Challenge is the WWW-Authenticate header for a request that wants those rights; an
	// empty repo is for one that wants none.
	Challenge(r *http.Request, repo string, actions ...Action) string
	// ServeToken serves the token endpoint.
	ServeToken(w http.ResponseWriter, r *http.Request)
}

// Source is a repository that content may be fetched from, or was fetched from.
type Source struct {
	// Ref names the repository; tag and digest are not looked at.
	Ref reference.PullSpec
	// Identity is Ref's, the same for all spellings; if it is "", it is computed each time.
	Identity string
	// Insecure is true when the stream or its tag calls that registry insecure.
	Insecure bool
	// Mirror is false when content from there must not be kept.
	Mirror bool
	// Off is true when nothing may be fetched from there. Content that was kept is served.
	Off bool
	// Local is true for a repository of this registry, which is read over its API like by
	// any client. Its content is not kept a second time.
	Local bool
}

// Provenance is the name of the source in storage: for content that needs no pull secret or,
// with the UID of a namespace as scope, for content that a pull secret of that namespace
// opened.
func (s Source) Provenance(scope string) string {
	repository := s.Identity
	if repository == "" {
		repository = s.Ref.AsRepository().Identity()
	}
	if scope == "" {
		return repository
	}
	return scope + " " + repository // no repository has a space in it
}

// Stream is one version of an image stream, as the rule of ownership.go reads it. Callers must
// not change the results.
type Stream interface {
	// Repository is that of the stream in storage. Without a stream its UID is "", and the
	// Stream has no images.
	Repository() blobstore.Repository
	// Version is different for any two versions of any streams.
	Version() uint64
	// Since is when its namespace was created.
	Since() time.Time
	// Copied are the images of the history that were copied from other streams, heads
	// first. CopiedFrom are the repositories of the copy sources of one. The writer of a copy
	// had the right to pull from them.
	Copied() []digest.Digest
	CopiedFrom(image digest.Digest) []blobstore.Repository
	// Imported are the images of the history with a tag event that names a repository other
	// than the stream's own, heads first.
	Imported() []digest.Digest
	// KeptAtImport are the imported images that are kept without waiting for a pull, heads
	// first.
	KeptAtImport() []digest.Digest
	// ManifestSources are the sources of these images and of the manifests of their lists,
	// best first; BlobSources those of their blobs.
	ManifestSources(images []digest.Digest) []Source
	BlobSources(images []digest.Digest) []Source
}

// Image has the parts of a manifest, read from it or from its Image in the API.
type Image struct {
	Digest digest.Digest
	// Claimed is true while all that it says comes from a client and was not verified.
	Claimed bool
	// Blobs are the configuration and the layers, Children the manifests of a list.
	Blobs, Children []Part
}

// MemoryBytes is about what i takes in memory.
func (i *Image) MemoryBytes() int {
	const image, part = 120, 48
	bytes := image + len(i.Digest)
	for _, parts := range [][]Part{i.Blobs, i.Children} {
		for n := range parts {
			bytes += part + len(parts[n].Digest) + len(parts[n].MediaType)
		}
	}
	return bytes
}

// Part is a part of a manifest. MediaType is "" and Size -1 where they are not known.
type Part struct {
	Digest    digest.Digest
	MediaType string
	Size      int64
}

// Copy has the images that the stream of a repository copied from another stream.
type Copy struct {
	To     blobstore.Repository
	Images []digest.Digest
}

// Directory provides streams and Images to the registry, through the API. Errors are *Error with CodeNameUnknown, CodeManifestUnknown, CodeBlobUnknown,
// CodeDenied, CodeTooManyRequests, CodeUnavailable …
type Directory interface {
	// Resolve returns the manifest that a tag leads to: the newest event of status.tags.
	// CodeNameUnknown without the stream, CodeManifestUnknown without the tag.
	Resolve(ctx context.Context, repo reference.Repository, tag string) (digest.Digest, error)
	// Stream returns the stream of a repository, which may be a moment old. With live the
	// API is asked, if it was not a moment ago.
	Stream(ctx context.Context, repo reference.Repository, live bool) (Stream, error)
	// Fresh is Stream with a request to the API for stream and namespace in any case.
	Fresh(ctx context.Context, repo reference.Repository) (Stream, error)
	// Image returns the Image of a manifest, nil if there is none.
	Image(ctx context.Context, d digest.Digest) (*Image, error)
	// CopiesOf lists the streams with copies of images of a repository.
	CopiesOf(from blobstore.Repository) []Copy
	// Contents are the images that were pushed to this registry or copied within it, for all
	// streams that are known.
	Contents() iter.Seq[Content]
	// Tags lists the tags that Resolve knows, sorted bytewise: at most n, or all if n is
	// negative, of those after last. more reports whether others follow. CodeNameUnknown
	// without the stream.
	Tags(ctx context.Context, repo reference.Repository, last string, n int) (tags []string, more bool, err error)
	// Record makes the Image of a pushed manifest and moves the tags to it. If there is no
	// stream, it makes one as the user. It returns the stream after that.
	Record(ctx context.Context, p Push) (Stream, error)
	// Correct has the API correct the Image of a manifest that was verified, which is at a
	// pull spec.
	Correct(ctx context.Context, p Push, pullSpec string) error
	// Released reports that links of a repository were released, which are to be removed
	// soon (Handler.RemoveReleased). It does not wait for that.
	Released(r blobstore.Repository)
	// DeleteTag deletes a tag as deleting the imagestreamtag does.
	DeleteTag(ctx context.Context, repo reference.Repository, tag string) error
	// DeleteManifest removes a digest from all of the stream's history, with tags that
	// are left without any. found is false when no history has it.
	DeleteManifest(ctx context.Context, repo reference.Repository, d digest.Digest) (found bool, err error)
	// Repositories lists, sorted, repositories the user may list or pull, after last, at most n;
	// more reports whether others follow.
	Repositories(ctx context.Context, u user.Info, last string, n int) (names []string, more bool, err error)
	// Signatures are those of an image of the stream; AddSignature adds one as the user.
	Signatures(ctx context.Context, repo reference.Repository, d digest.Digest) ([]imagev1.ImageSignature, error)
	AddSignature(ctx context.Context, u user.Info, signature *imagev1.ImageSignature) error
}

// Push is a manifest that was received, verified and stored.
type Push struct {
	Repository reference.Repository
	User       user.Info
	Tags       []string // none for a push by digest
	Digest     digest.Digest
	MediaType  string
	Manifest   []byte
	// Config is the configuration's content, nil when the manifest has none or when
	// it is larger than a configuration may be.
	Config []byte
}

// Blob is content that can be read from any offset.
type Blob struct {
	Size int64
	// Open reads from an offset on. The reader of a plain file is an *os.File, so that
	// it can be sent without passing through this process.
	Open func(ctx context.Context, offset int64) (io.ReadCloser, error)
}

// Wanted describes content to be fetched for a repository.
type Wanted struct {
	Digest   digest.Digest
	Manifest bool  // it is a manifest; else a blob
	Size     int64 // -1 when not known
	// Namespace is the one whose pull secrets are shown to the sources, and Scope its UID:
	// content that a secret opened is kept for that namespace alone.
	Namespace, Scope string
	Sources          []Source // best first; those that are Off are not contacted
}

// Upstream fetches content that a stream refers to from other registries.
type Upstream interface {
	// Manifest fetches a manifest, and keeps it. mediaType is the type that the source sent.
	// Errors: CodeManifestUnknown, CodeTooManyRequests, CodeUnavailable.
	Manifest(ctx context.Context, w Wanted) (content []byte, mediaType string, err error)
	// Blob opens a blob, which is kept while it passes through: many callers share
	// one fetch. Errors as above with CodeBlobUnknown.
	Blob(ctx context.Context, w Wanted) (Blob, error)
	// Stat asks for a blob's size only.
	Stat(ctx context.Context, w Wanted) (int64, error)
}

// Clock is time.Now, or a test's.
type Clock func() time.Time
