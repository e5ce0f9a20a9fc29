package importer

import (
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/pullsecrets"
)

// Request is one import: single images, the tags of a repository, or both.
type Request struct {
	// Images are imported each by itself. Their results have the same order and length.
	Images []ImageRequest
	// Repository, when set, imports the tags that a repository has.
	Repository *RepositoryRequest
	// Credentials are those of the namespace, nil for none.
	Credentials pullsecrets.Credentials
	// FallbackCredentials are used for the second try of images whose credentials turned out to
	// be wrong (nil: anonymous). A server that has credentials of its own, beside those of the
	// namespace, gives them here.
	FallbackCredentials pullsecrets.Credentials
	// MaxRepositoryTags bounds how many tags of the repository are imported: 0 stands for
	// DefaultMaxRepositoryTags, a negative number for all of them.
	MaxRepositoryTags int
	// WithoutText keeps manifest and config text out of every image, children of lists included,
	// whatever IncludeManifest says. Set it when the images are going to be stored: the store
	// holds no text, and the memory is spared.
	WithoutText bool
}

// DefaultMaxRepositoryTags is how many tags of a repository are imported unless configured.
const DefaultMaxRepositoryTags = 50

// ImageRequest asks for one image.
type ImageRequest struct {
	// Ref is the pull spec as its author wrote it. Results repeat that spelling.
	Ref string
	// Insecure allows plain HTTP and unverified TLS for this image.
	Insecure bool
	// Mode says what becomes of a manifest list. Empty is Legacy.
	Mode imagev1.ImportModeType
	// PreferArch and PreferOS choose the platform of a Legacy import of a manifest list; each
	// stands for the importer's default when empty. They do not apply to digest imports.
	PreferArch, PreferOS string
	// IncludeManifest keeps manifest and config text in the resulting Image. The text of a
	// list's children is kept regardless (unless Request.WithoutText).
	IncludeManifest bool
	// Known, when set and IncludeManifest is not, lets an unchanged tag cost one HEAD.
	Known *KnownImage
}

// RepositoryRequest asks for the tags of a repository.
type RepositoryRequest struct {
	// Ref is the repository as its author wrote it, without tag and digest.
	Ref string
	// Insecure, Mode and IncludeManifest apply to every tag, as in ImageRequest.
	Insecure        bool
	Mode            imagev1.ImportModeType
	IncludeManifest bool
}

// KnownImage is the head of the tag that an import is for: what the stream has already. The fields
// are those of a tag event.
type KnownImage struct {
	// Image is the name of the Image, the digest of its manifest.
	Image string
	// DockerImageReference is the pull spec that the event holds.
	DockerImageReference string
}

// Result has a result for each image of the request, in its order, and one for the repository when
// there was one in the request.
type Result struct {
	Images     []ImageResult
	Repository *RepositoryResult
}

// ImageResult is what became of one image.
type ImageResult struct {
	// Status is a bare Success or a complete Failure (reason, code, message, details).
	Status metav1.Status
	// Tag is the upstream tag, empty for digests.
	Tag string
	// Image is set on success unless Unchanged.
	Image *imagev1.Image
	// Manifests are the images that a preserved list holds, in list order, each once. The
	// members of a list inside the list come right before it, so that whoever creates them in
	// order, and Image last, never shows a list whose children are not there.
	Manifests []imagev1.Image
	// Source is the host and repository that answered, or gave the failure: a mirror's or the one
	// that was named. Empty when none did.
	Source string
	// Skipped are the sources that failed before Source answered, in the order in which they
	// were asked.
	Skipped []Skipped
	// Unchanged says that upstream still has Known. Image and Manifests are nil then.
	Unchanged bool
	// Retry classifies a failure for whoever tries again; Retryable is Retry != RetryNever.
	Retry     Retry
	Retryable bool
	// RetryAfter is the pause that the registry asked for, 0 when it named none.
	RetryAfter time.Duration
}

// RepositoryResult is what became of a repository.
type RepositoryResult struct {
	// Status is Success when every imported tag was; reason ImportFailed when some were not;
	// else it says why the tags could not be listed.
	Status metav1.Status
	// Images has a result per imported tag, in order of priority.
	Images []ImageResult
	// AdditionalTags are those beyond the limit, in the same order.
	AdditionalTags []string
	// Retry, Retryable and RetryAfter classify a failure to list the tags.
	Retry      Retry
	Retryable  bool
	RetryAfter time.Duration
}

// Retry says whether and how soon another attempt makes sense.
type Retry int

const (
	// RetryNever: the same request will fail again until someone changes it or the
	// configuration (blocked registries, names that name nothing).
	RetryNever Retry = iota
	// RetryLater: upstream has to change first (missing, refused or broken content), which may
	// happen without notice. Back off far.
	RetryLater
	// RetrySoon: trouble of the moment (throttled, unreachable, 5xx, out of time).
	RetrySoon
)

// String names the class in words that fit a metric label.
func (r Retry) String() string {
	switch r {
	case RetryLater:
		return "later"
	case RetrySoon:
		return "soon"
	}
	return "never"
}
