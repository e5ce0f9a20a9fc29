package ociregistry

import (
	"context"
	"io"
	"net/http"
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/reference"
)

// Caller is who sent a request, and what its token is bound to.
type Caller struct {
	// User is never nil; nobody is system:anonymous.
	User user.Info
	// Grants bound what the caller may do, whatever RBAC says; nil is unbounded (the
	// caller showed a password, an API token for instance, or is nobody).
	Grants []Grant
	// Scheme is how the caller showed who it is, "Basic" or "Bearer", and Realm the URL of
	// the token endpoint as this caller reaches it: a refusal is told in their terms.
	Scheme, Realm string
}

// Grant is one part of what an issued token was allowed.
type Grant struct {
	Type    string   // "repository", "registry"
	Name    string   // repository name as asked for, "catalog"
	Actions []string // "pull", "push", "delete", "sign", "*"
}

// Action is what a request wants to do with a repository.
type Action string

// The actions; the comment is the Kubernetes right that is asked for.
const (
	ActionPull          Action = "pull"           // get imagestreams/layers
	ActionPush          Action = "push"           // update imagestreams/layers
	ActionDelete        Action = "delete"         // delete imagestreamtags in the namespace, or delete images
	ActionSignatureRead Action = "signature-read" // get imagestreams/layers
	ActionSign          Action = "sign"           // create imagesignatures
)

// Access decides who a request is from and what it may do.
type Access interface {
	// Authenticate tells who sent a request. A request without credentials is answered
	// with a challenge; nobody is who shows the literal token "anonymous", as the token
	// endpoint hands it out. The error is an *Error: CodeUnauthorized with its challenge,
	// or CodeUnavailable.
	Authenticate(r *http.Request) (Caller, error)
	// Allow asks for a right in a repository. The error is an *Error: CodeUnauthorized
	// with a challenge for a refusal, CodeUnavailable when nobody could be asked.
	Allow(ctx context.Context, c Caller, repo reference.Repository, action Action) error
	// AllowCluster asks for a right that is no repository's: to remove blob data
	// (delete images), to read metrics (get registry/metrics). A token that is bound to
	// grants is never good for it.
	AllowCluster(ctx context.Context, c Caller, verb, resource, subresource string) error
	// AllowCatalog asks whether the caller may list repositories. Everybody may, and sees
	// what Directory.Repositories lists for them; a token that is bound to grants must
	// have been asked for with that scope.
	AllowCatalog(c Caller) error
	// Challenge is the WWW-Authenticate header for a request that wants those rights; an
	// empty repo is for one that wants none.
	Challenge(r *http.Request, repo string, actions ...Action) string
	// ServeToken serves the token endpoint.
	ServeToken(w http.ResponseWriter, r *http.Request)
}

// Source is one outside repository that content may be fetched from, or was.
type Source struct {
	// Ref names the repository; tag and digest are not looked at.
	Ref reference.PullSpec
	// Identity is Ref's, which is the same for all spellings; "" has it worked out each time.
	Identity string
	// Insecure is what the stream or its tag says of that registry.
	Insecure bool
	// Mirror is false when the tag says that what passes through is not kept.
	Mirror bool
	// Off says that nothing is to be fetched from there. What was kept is served.
	Off bool
}

// Provenance is what storage calls the source: as everybody sees it or, with the scope of
// a namespace, as the pull secrets of that namespace show it.
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

// Provenances are those of several sources.
func Provenances(scope string, sources []Source) []string {
	all := make([]string, len(sources))
	for i, s := range sources {
		all[i] = s.Provenance(scope)
	}
	return all
}

// Link is a manifest of a repository, which is named by its key, namespace/stream.
type Link struct {
	Repository string
	Manifest   digest.Digest
}

// Origin says how content belongs to a stream.
type Origin struct {
	// Manifest is the manifest itself, or the one that refers to the blob.
	Manifest digest.Digest
	// Held is true when it belongs through images of this registry, which were pushed with
	// all of their parts: whatever storage has under the digest may be read.
	Held bool
	// Through are other repositories of this registry that the stream refers to for it: it
	// is held as long as one of them has the manifest.
	Through []Link
	// Parents are the lists through which a manifest belongs to the stream; nil when its
	// history has the manifest itself.
	Parents []digest.Digest
	// MediaType and Size are of the content, "" and -1 when the stream does not tell.
	MediaType string
	Size      int64
	// Sources are outside repositories that the stream refers to for it, best first.
	// What came from one of them may be read, and what did not has to be fetched from
	// one of them: that another registry names a digest proves nothing.
	Sources []Source
}

// fetchable tells whether the content may be fetched from somewhere.
func (o *Origin) fetchable() bool {
	return slices.ContainsFunc(o.Sources, func(s Source) bool { return !s.Off })
}

// Directory is what the registry knows of streams and images, through the API.
// Errors are *Error with CodeNameUnknown, CodeManifestUnknown, CodeBlobUnknown,
// CodeDenied, CodeTooManyRequests, CodeUnavailable …
type Directory interface {
	// Resolve tells which manifest a tag leads to: the newest event of status.tags.
	// CodeNameUnknown without the stream, CodeManifestUnknown without the tag.
	Resolve(ctx context.Context, repo reference.Repository, tag string) (digest.Digest, error)
	// Manifest tells how a digest belongs to the stream: an image of its history or,
	// to any depth, the child of one. CodeManifestUnknown when it does not.
	Manifest(ctx context.Context, repo reference.Repository, d digest.Digest) (Origin, error)
	// Blob tells how a blob belongs to the stream: an image as above refers to it as
	// its configuration or a layer, or is it. CodeBlobUnknown when none does.
	Blob(ctx context.Context, repo reference.Repository, d digest.Digest) (Origin, error)
	// Tags lists the tags that Resolve knows, sorted bytewise. CodeNameUnknown
	// without the stream.
	Tags(ctx context.Context, repo reference.Repository) ([]string, error)
	// Record makes the Image of a pushed manifest and moves the tags onto it, the
	// stream being made as the user where it is missing. When it returns, Resolve,
	// Manifest and Blob know of it (in this process).
	Record(ctx context.Context, p Push) error
	// DeleteTag deletes a tag as deleting the imagestreamtag does.
	DeleteTag(ctx context.Context, repo reference.Repository, tag string) error
	// DeleteManifest removes a digest from all of the stream's history, with tags that
	// are left without any. found is false when no history has it.
	DeleteManifest(ctx context.Context, repo reference.Repository, d digest.Digest) (found bool, err error)
	// Repositories lists, sorted, repositories the user may list or pull, after last, at most n;
	// more tells whether others follow.
	Repositories(ctx context.Context, u user.Info, last string, n int) (names []string, more bool, err error)
	// Signatures are those of an image of the stream; AddSignature adds one as the user.
	Signatures(ctx context.Context, repo reference.Repository, d digest.Digest) ([]imagev1.ImageSignature, error)
	AddSignature(ctx context.Context, u user.Info, signature *imagev1.ImageSignature) error
	// HoldersOf lists repositories, as far as known in this process, whose images refer to a blob;
	// a hint for mounts that name no source.
	HoldersOf(d digest.Digest) []reference.Repository
}

// Push is a manifest that was received, verified and stored.
type Push struct {
	Repository reference.Repository
	User       user.Info
	Tags       []string // none for a push by digest
	Digest     digest.Digest
	MediaType  string
	Manifest   []byte
	// Missing are parts that the manifest names and the repository does not have. That it
	// names them opens them to nobody.
	Missing []digest.Digest
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

// Wanted is content to be fetched from other registries for a repository.
type Wanted struct {
	Digest   digest.Digest
	Manifest bool  // it is a manifest; else a blob
	Size     int64 // -1 when not known
	// Namespace is the one whose pull secrets are shown to the sources.
	Namespace string
	// Scope identifies that namespace in the provenance of content that one of its pull
	// secrets opened: it is recorded for that namespace alone. Such content is not kept
	// when Scope is "".
	Scope string
	// Sources are tried in their order. Those with Off are not contacted.
	Sources []Source
}

// Upstream fetches content that streams refer to from other registries. It does not decide
// what a repository may read: the caller has looked into storage before.
type Upstream interface {
	// Manifest fetches a manifest, and keeps it with its provenance if its source has
	// Mirror set. mediaType is the Content-Type of the response. Errors:
	// CodeManifestUnknown, CodeTooManyRequests, CodeUnavailable.
	Manifest(ctx context.Context, w Wanted) (content []byte, mediaType string, err error)
	// Blob opens a blob, which is kept in the same way while it is read: callers that want
	// it from the same sources share one fetch. Errors as above, with CodeBlobUnknown.
	Blob(ctx context.Context, w Wanted) (Blob, error)
	// Stat asks for the size of a blob in bytes and fetches nothing.
	Stat(ctx context.Context, w Wanted) (int64, error)
}

// Clock is time.Now, or a test's.
type Clock func() time.Time
