package importer

import (
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/pullsecrets"
)

// Request is one import: single images, the tags of a repository, or both.
type Request struct {
	// Images are imported independently. Their results have the same order and length.
	Images []ImageRequest
	// Repository, if set, imports the tags of a repository.
	Repository *RepositoryRequest
	// Credentials are those of the namespace, nil for none.
	Credentials pullsecrets.Credentials
	// FallbackCredentials are used to retry images whose credentials were rejected (nil:
	// anonymous), for example credentials of the server besides those of the namespace.
	FallbackCredentials pullsecrets.Credentials
	// MaxRepositoryTags bounds how many tags of the repository are imported: 0 stands for
	// DefaultMaxRepositoryTags, a negative number for all of them.
	MaxRepositoryTags int
	// WithoutText omits manifest and config text from every image, including children of lists,
	// regardless of IncludeManifest. Set it if the images will be stored: the store has no text,
	// and it saves memory.
	WithoutText bool
}

// DefaultMaxRepositoryTags is the default of Request.MaxRepositoryTags.
const DefaultMaxRepositoryTags = 50

// ImageRequest is a request for one image.
type ImageRequest struct {
	// Ref is the pull spec as its author wrote it. Results repeat that spelling.
	Ref string
	// Insecure allows plain HTTP and unverified TLS for this image.
	Insecure bool
	// Mode is the import mode of a manifest list. Empty is Legacy.
	Mode imagev1.ImportModeType
	// PreferArch and PreferOS select the platform of a Legacy import of a manifest list; empty
	// ones take the importer's default. They do not apply to digest imports.
	PreferArch, PreferOS string
	// IncludeManifest keeps manifest and config text in the resulting Image. The text of a
	// list's children is kept regardless (unless Request.WithoutText).
	IncludeManifest bool
	// Known, if set without IncludeManifest, makes the check of an unchanged tag a single HEAD.
	Known *KnownImage
}

// RepositoryRequest is a request for the tags of a repository.
type RepositoryRequest struct {
	// Ref is the repository as its author wrote it, without tag and digest.
	Ref string
	// Insecure, Mode and IncludeManifest apply to every tag, as in ImageRequest.
	Insecure        bool
	Mode            imagev1.ImportModeType
	IncludeManifest bool
}

// KnownImage is the current head of the imported tag. The fields are those of a tag
// event.
type KnownImage struct {
	// Image is the name of the Image, the digest of its manifest.
	Image string
	// DockerImageReference is the pull spec of the event.
	DockerImageReference string
}

// Result has a result for each image of the request, in its order, and one for its repository, if
// any.
type Result struct {
	Images     []ImageResult
	Repository *RepositoryResult
}

// ImageResult is the result of one image.
type ImageResult struct {
	// Status is a bare Success or a complete Failure (reason, code, message, details).
	Status metav1.Status
	// Tag is the upstream tag, empty for digests.
	Tag string
	// Image is set on success unless Unchanged.
	Image *imagev1.Image
	// Manifests are the distinct images of a preserved list, in list order. The members of a
	// nested list come right before it, so that creating them in order, and Image last, never
	// exposes a list without its children.
	Manifests []imagev1.Image
	// Source is the host and repository that responded, with success or a failure: a mirror or
	// the named one. Empty without a response.
	Source string
	// Skipped are the sources that failed before Source responded, in the order in which they
	// were tried.
	Skipped []Skipped
	// Unchanged is true if upstream still has Known. Image and Manifests are nil then.
	Unchanged bool
	// Retry classifies a failure for retries; Retryable is Retry != RetryNever.
	Retry     Retry
	Retryable bool
	// RetryAfter is the Retry-After of the registry, 0 without one.
	RetryAfter time.Duration
}

// RepositoryResult is the result of a repository.
type RepositoryResult struct {
	// Status is Success if every tag was imported, has the reason ImportFailed if some failed, or
	// describes why the tags could not be listed.
	Status metav1.Status
	// Images has one result per imported tag, in order of priority.
	Images []ImageResult
	// AdditionalTags are those beyond the limit, in the same order.
	AdditionalTags []string
	// Retry, Retryable and RetryAfter classify a failure to list the tags.
	Retry      Retry
	Retryable  bool
	RetryAfter time.Duration
}

// Retry classifies whether and how soon a retry makes sense.
type Retry int

const (
	// RetryNever: the same request will fail again until the request or the configuration
	// changes (blocked registries, invalid names).
	RetryNever Retry = iota
	// RetryLater: upstream has to change first (missing, denied or invalid content). Use long
	// pauses.
	RetryLater
	// RetrySoon: transient failures (throttled, unreachable, 5xx, timed out).
	RetrySoon
)

// String returns the name of the class, as a metric label.
func (r Retry) String() string {
	switch r {
	case RetryLater:
		return "later"
	case RetrySoon:
		return "soon"
	}
	return "never"
}
