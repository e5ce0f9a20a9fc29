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
	// Grants bound the caller's rights in addition to RBAC; nil is unbounded (the caller has a
	// password, such as an API token, or no credentials).
	Grants []Grant
	// Scheme is that of the credentials, "Basic" or "Bearer", and Realm the URL of the
	// token endpoint as this caller reaches it: the challenge of a denial has both.
	Scheme, Realm string
	// Client is the address of the client, without a port; of a trusted proxy, the address
	// that the proxy names. It is also set for callers that fail authentication.
	Client string
}

// Grant is one entry of the access list of an issued token.
type Grant struct {
	Type    string   // "repository", "registry"
	Name    string   // repository name as requested, "catalog"
	Actions []string // "pull", "push", "delete", "sign", "*"
}

// Action is an operation on a repository.
type Action string

// The actions; the comment is the required Kubernetes right.
const (
	ActionPull          Action = "pull"           // get imagestreams/layers
	ActionPush          Action = "push"           // update imagestreams/layers
	ActionDelete        Action = "delete"         // delete imagestreamtags in the namespace, or delete images
	ActionSignatureRead Action = "signature-read" // get imagestreams/layers
	ActionSign          Action = "sign"           // create imagesignatures
)

// Access authenticates and authorizes requests.
type Access interface {
	// Authenticate identifies the sender of a request. A request without credentials gets a
	// challenge; one with the literal token "anonymous", which the token endpoint issues,
	// is system:anonymous. The error is an *Error: CodeUnauthorized with its challenge, or
	// CodeUnavailable.
	Authenticate(r *http.Request) (Caller, error)
	// Allow checks a right in a repository. The error is an *Error: CodeUnauthorized with a
	// challenge if it is denied, CodeUnavailable if the API server does not respond.
	Allow(ctx context.Context, c Caller, repo reference.Repository, action Action) error
	// AllowCluster checks a right outside repositories: to remove blob data (delete images),
	// to read metrics (get registry/metrics). A token with grants never has it.
	AllowCluster(ctx context.Context, c Caller, verb, resource, subresource string) error
	// AllowCatalog checks whether the caller may list repositories. Every user may, and sees
	// those that Directory.Repositories lists; a token with grants needs the catalog scope
	// among them.
	AllowCatalog(c Caller) error
	// Challenge returns the WWW-Authenticate header for a request that needs those actions; repo
	// is empty for a request that needs none.
	Challenge(r *http.Request, repo string, actions ...Action) string
	// ServeToken serves the token endpoint.
	ServeToken(w http.ResponseWriter, r *http.Request)
}

// Source is a repository that content may be fetched from, or was fetched from.
type Source struct {
	// Ref names the repository; its tag and digest are ignored.
	Ref reference.PullSpec
	// Identity is the canonical form of Ref; if it is "", it is computed each time.
	Identity string
	// Insecure is true if the stream or its tag marks that registry as insecure.
	Insecure bool
	// Mirror is false if content from there must not be kept.
	Mirror bool
	// Disabled is true if nothing may be fetched from there. Kept content is still served.
	Disabled bool
	// Local is true for a repository of this registry. It is read over /v2/ like any other,
	// and its content is not kept a second time.
	Local bool
}

// Provenance returns the name of the source in storage: for content that needs no pull secret or,
// with the UID of a namespace as scope, for content that was fetched with a pull secret of
// that namespace.
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

// Stream is one version of an image stream, as input of the rule in ownership.go. Callers must
// not modify the results.
type Stream interface {
	// Repository returns the stream's repository in storage. Without a stream its UID is "", and
	// the Stream has no images.
	Repository() blobstore.Repository
	// Version returns a number that differs between any two versions of any streams.
	Version() uint64
	// Since returns when its namespace was created.
	Since() time.Time
	// Copied returns the images of the history that were copied from other streams, heads
	// first. CopiedFrom returns the repositories of an image's copy sources. The creator of a
	// copy had the right to pull from them.
	Copied() []digest.Digest
	CopiedFrom(image digest.Digest) []blobstore.Repository
	// Imported returns the images of the history with a tag event that names a repository other
	// than the stream's own, heads first.
	Imported() []digest.Digest
	// KeptAtImport returns the imported images that are kept without waiting for a pull, heads
	// first.
	KeptAtImport() []digest.Digest
	// ManifestSources returns the sources of images and of the manifests of their lists, best
	// first; BlobSources returns those of their blobs.
	ManifestSources(images []digest.Digest) []Source
	BlobSources(images []digest.Digest) []Source
}

// Image has the parts of a manifest, read from it or from its Image in the API.
type Image struct {
	Digest digest.Digest
	// Claimed is true for a claim: a client wrote the Image, and nothing has verified it.
	Claimed bool
	// Blobs are the configuration and the layers, Children the manifests of a list.
	Blobs, Children []Part
}

// MemoryBytes estimates the memory of i.
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

// Part is a part of a manifest. MediaType is "" and Size -1 if they are not known.
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
	// Resolve returns the manifest that a tag points to: the newest event of status.tags.
	// CodeNameUnknown without the stream, CodeManifestUnknown without the tag.
	Resolve(ctx context.Context, repo reference.Repository, tag string) (digest.Digest, error)
	// Stream returns the stream of a repository from a cache. With live it reads the API,
	// unless it did so a moment ago.
	Stream(ctx context.Context, repo reference.Repository, live bool) (Stream, error)
	// Fresh is Stream with an unconditional read of stream and namespace from the API.
	Fresh(ctx context.Context, repo reference.Repository) (Stream, error)
	// Image returns the Image of a manifest, nil if there is none.
	Image(ctx context.Context, d digest.Digest) (*Image, error)
	// CopiesOf lists the streams with copies of images of a repository.
	CopiesOf(from blobstore.Repository) []Copy
	// Contents returns the images that were pushed to this registry or copied within it, for all
	// cached streams.
	Contents() iter.Seq[Content]
	// Tags lists the tags that Resolve accepts, sorted bytewise: at most n, or all if n is
	// negative, of those after last. more reports whether others follow. CodeNameUnknown
	// without the stream.
	Tags(ctx context.Context, repo reference.Repository, last string, n int) (tags []string, more bool, err error)
	// Record creates the Image of a pushed manifest and moves the tags to it. If there is no
	// stream, it creates one as the user. It returns the resulting stream.
	Record(ctx context.Context, p Push) (Stream, error)
	// Correct corrects the Image of a verified manifest in the API. pullSpec is where the
	// manifest was fetched.
	Correct(ctx context.Context, p Push, pullSpec string) error
	// Released schedules the removal of released links of a repository
	// (Handler.RemoveReleased). It does not wait for it.
	Released(r blobstore.Repository)
	// DeleteTag deletes a tag like DELETE of the imagestreamtag.
	DeleteTag(ctx context.Context, repo reference.Repository, tag string) error
	// DeleteManifest removes a digest from all of the stream's history, and tags whose
	// history becomes empty. found is false if no history has it.
	DeleteManifest(ctx context.Context, repo reference.Repository, d digest.Digest) (found bool, err error)
	// Repositories lists, sorted, repositories the user may list or pull, after last, at most n;
	// more reports whether others follow.
	Repositories(ctx context.Context, u user.Info, last string, n int) (names []string, more bool, err error)
	// Signatures returns the signatures of an image of the stream; AddSignature adds one as the user.
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
	// Config is the configuration's content, nil if the manifest has none or it is too
	// large for an Image.
	Config []byte
}

// Blob is content that can be read from any offset.
type Blob struct {
	Size int64
	// Open returns a reader that starts at offset. The reader of a plain file is an
	// *os.File, which the kernel can send with sendfile.
	Open func(ctx context.Context, offset int64) (io.ReadCloser, error)
}

// Wanted describes content to be fetched for a repository.
type Wanted struct {
	Digest   digest.Digest
	Manifest bool  // a manifest; otherwise a blob
	Size     int64 // -1 if not known
	// Namespace is the one whose pull secrets are sent to the sources, and Scope its UID:
	// content that was fetched with a secret is kept for that namespace alone.
	Namespace, Scope string
	Sources          []Source // best first; Disabled ones are not contacted
}

// Upstream fetches content that a stream refers to from other registries.
type Upstream interface {
	// Manifest fetches a manifest and keeps it. mediaType is the type that the source sent.
	// Errors: CodeManifestUnknown, CodeTooManyRequests, CodeUnavailable.
	Manifest(ctx context.Context, w Wanted) (content []byte, mediaType string, err error)
	// Blob opens a blob and keeps it while it is read: concurrent callers share one
	// fetch. Errors as above with CodeBlobUnknown.
	Blob(ctx context.Context, w Wanted) (Blob, error)
	// Stat returns a blob's size.
	Stat(ctx context.Context, w Wanted) (int64, error)
}

// Clock returns the current time: time.Now, or a fake in tests.
type Clock func() time.Time
