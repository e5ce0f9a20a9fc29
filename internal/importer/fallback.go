package importer

import (
	"context"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reasonBlocked is the reason of images whose registry is blocked by configuration.
const reasonBlocked = metav1.StatusReasonForbidden

// anonymousFallback is implemented by Registries that retry without credentials after theirs are
// rejected. Import then makes no such retry.
type anonymousFallback interface{ FallsBackToAnonymous() bool }

// retryWithFallback retries images whose credentials were rejected without those of the namespace:
// a stale pull secret must not prevent the import of a public image. An image that fails again
// keeps its first status, which names the wrong secret.
func (i *Importer) retryWithFallback(ctx context.Context, first *session, req Request, results []ImageResult) {
	if f, ok := i.options.Registries.(anonymousFallback); ok && f.FallsBackToAnonymous() && req.FallbackCredentials == nil {
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

// wrongCredentials reports whether a status is about rejected credentials, by the text that
// clients also match.
func wrongCredentials(status metav1.Status) bool {
	return status.Reason == metav1.StatusReasonUnauthorized &&
		strings.Contains(strings.ToLower(status.Message), "username or password")
}

// preserves reports whether a mode keeps lists; everything else is Legacy.
func preserves(mode imagev1.ImportModeType) bool {
	return mode == imagev1.ImportModePreserveOriginal
}
