package importer

import (
	"context"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reasonBlocked is the reason of images that configuration forbids to contact.
const reasonBlocked = metav1.StatusReasonForbidden

// AnonymousFallback is implemented by Registries that themselves ask again without credentials
// when the ones they were given are refused. Import then makes no such attempt of its own.
type AnonymousFallback interface{ FallsBackToAnonymous() bool }

// retryWithFallback gives the images whose credentials were called wrong a second try without
// those of the namespace: a stale pull secret must not keep anybody from a public image. Only
// those are tried; what is refused again keeps its first status, which tells of the wrong secret.
func (i *Importer) retryWithFallback(ctx context.Context, first *session, req Request, results []ImageResult) {
	if f, ok := i.options.Registries.(AnonymousFallback); ok && f.FallsBackToAnonymous() && req.FallbackCredentials == nil {
		return
	}
	if req.Credentials == nil {
		return
	}
	var again []ImageRequest
	var index []int
	for n, r := range results {
		if wrongCredentials(r.Status) {
			again, index = append(again, req.Images[n]), append(index, n)
		}
	}
	if len(again) == 0 {
		return
	}
	for n, r := range first.withCredentials(req.FallbackCredentials).importImages(ctx, again) {
		if r.Status.Reason != metav1.StatusReasonUnauthorized {
			results[index[n]] = r
		}
	}
}

// wrongCredentials tells by the words by which clients know it.
func wrongCredentials(status metav1.Status) bool {
	return status.Reason == metav1.StatusReasonUnauthorized &&
		strings.Contains(strings.ToLower(status.Message), "username or password")
}

// preserves says whether a mode keeps lists; everything else is Legacy.
func preserves(mode imagev1.ImportModeType) bool {
	return mode == imagev1.ImportModePreserveOriginal
}
