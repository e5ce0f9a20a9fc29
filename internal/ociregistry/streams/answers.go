package streams

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// retryAfter is when to try again where the API does not say.
const retryAfter = time.Second

// Texts by which clients of this API recognise limits and quotas, whatever the status.
var limitTexts = []string{"exceeds the maximum limit", "exceeded quota:", "status unknown for quota:"}

// tooLargeText is etcd's.
const tooLargeText = "request is too large"

func nameUnknown(repo reference.Repository) *ociregistry.Error {
	e := ociregistry.NewError(ociregistry.CodeNameUnknown, "there is no image stream %s", repo.Key())
	e.Detail = map[string]string{"name": repo.String()}
	return e
}

func manifestUnknown(repo reference.Repository, what, value string) *ociregistry.Error {
	e := ociregistry.NewError(ociregistry.CodeManifestUnknown, "image stream %s has no manifest of %s %s", repo.Key(), what, value)
	e.Detail = map[string]string{"name": repo.String(), what: value}
	return e
}

// missing tells that the API has no object of that name. A 404 that does not name it is
// from a server that does not know the resource, or from somebody in between: that is
// trouble, not an answer. Of answers that are none of the API's the client makes errors
// that name it all the same, and marks them.
func missing(err error, name string) bool {
	details := detailsOf(err)
	return apierrors.IsNotFound(err) && details != nil && details.Name == name &&
		!apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// missingNamespace tells that the API refused to create something in a namespace that
// does not exist.
func missingNamespace(err error) bool {
	details := detailsOf(err)
	return apierrors.IsNotFound(err) && details != nil && strings.EqualFold(details.Kind, namespacesResource.Resource)
}

// missingStream tells that a mapping was refused because there is no stream yet. Its
// kind is that of the request, not of what is missing; servers of this API keep to that.
func missingStream(err error, name string) bool {
	return missing(err, name) && detailsOf(err).Kind == imageapi.ImageStreamMappings
}

func detailsOf(err error) *metav1.StatusDetails {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Details
	}
	return nil
}

// trouble is what a client is told when the API cannot be asked, or answers what nobody
// expected. doing says what was tried: "looking up tag 1 of a/b". The API's own words are
// for the log: they may name hosts and accounts.
func trouble(err error, doing string) *ociregistry.Error {
	var told *ociregistry.Error
	if errors.As(err, &told) {
		return told
	}
	code, why := ociregistry.CodeUnavailable, "the API server does not answer as expected"
	switch {
	case errors.Is(err, context.Canceled):
		why = "the request was given up"
	case errors.Is(err, context.DeadlineExceeded), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		why = "the API server takes too long"
	case apierrors.IsTooManyRequests(err):
		code, why = ociregistry.CodeTooManyRequests, "the API server has too many requests"
	case isFull(err):
		return fullAnswer(err, doing)
	case apierrors.IsUnauthorized(err):
		why = "the API server does not know this registry's credentials"
	case apierrors.IsForbidden(err):
		why = "this registry's account lacks a right at the API server"
	case detailsOf(err) == nil && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown:
		why = "the API server cannot be reached"
	}
	e := ociregistry.NewError(code, "%s: %s", doing, why).Because(err)
	e.RetryAfter = suggested(err)
	return e
}

// isFull reports whether the API has no room for a write.
func isFull(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusInsufficientStorage
}

// fullAnswer passes on that there is no room, in the API's words, which are for clients.
func fullAnswer(err error, doing string) *ociregistry.Error {
	e := ociregistry.NewError(ociregistry.CodeUnavailable, "%s: %s", doing, words(err)).Because(err)
	e.Status = http.StatusInsufficientStorage
	return e
}

// suggested is when the API says to try again, at least a second.
func suggested(err error) time.Duration {
	if seconds, told := apierrors.SuggestsClientDelay(err); told && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return retryAfter
}

// refusal is what a client is told of a write that the API refuses: of making an image,
// a tag, a stream. A 401 is no refusal, also where a user is impersonated: it is about
// the registry's own credentials.
func refusal(err error, repo reference.Repository, doing string) *ociregistry.Error {
	text := words(err)
	switch {
	case missingNamespace(err):
		e := ociregistry.NewError(ociregistry.CodeNameUnknown, "namespace %q does not exist", repo.Namespace)
		e.Detail = map[string]string{"name": repo.String()}
		return e.Because(err)
	case apierrors.IsForbidden(err), isLimit(err, text):
		return ociregistry.NewError(ociregistry.CodeDenied, "%s: %s", doing, text).Because(err)
	case strings.Contains(text, tooLargeText):
		return ociregistry.NewError(ociregistry.CodeDenied, "%s: the record would be larger than etcd takes (--max-request-bytes); delete tags of the image stream, or set its annotation %s to shorten the history", doing, stream.AnnotationHistoryLimit).Because(err)
	case apierrors.IsRequestEntityTooLargeError(err):
		return ociregistry.NewError(ociregistry.CodeManifestInvalid, "%s: the manifest lists more than the API server takes", doing).Because(err)
	case apierrors.IsInvalid(err) && blames(err, "metadata.name"):
		return ociregistry.NewError(ociregistry.CodeNameInvalid, "%s: %s", doing, text).Because(err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return ociregistry.NewError(ociregistry.CodeManifestInvalid, "%s: %s", doing, text).Because(err)
	}
	return trouble(err, doing)
}

// isLimit tells that a limit or a quota is at fault, which the API answers in several ways.
func isLimit(err error, text string) bool {
	if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
		return false
	}
	for _, marker := range limitTexts {
		if strings.Contains(strings.ToLower(text), marker) {
			return true
		}
	}
	return false
}

// blames tells whether an API error has a cause at a field.
func blames(err error, field string) bool {
	details := detailsOf(err)
	if details == nil {
		return false
	}
	for _, cause := range details.Causes {
		if cause.Field == field {
			return true
		}
	}
	return false
}

// words are what the API says of an error, "" of one that is not the API's.
func words(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return ""
}

// signatureRefusal is what a client is told of a signature that the API refuses.
func signatureRefusal(err error, name string) *ociregistry.Error {
	doing := "adding signature " + name
	switch {
	case apierrors.IsAlreadyExists(err):
		return ociregistry.NewError(ociregistry.CodeSignatureExists, "%s: there is one of that name or content", doing).Because(err)
	case apierrors.IsForbidden(err):
		return ociregistry.NewError(ociregistry.CodeDenied, "%s: %s", doing, words(err)).Because(err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return ociregistry.NewError(ociregistry.CodeSignatureInvalid, "%s: %s", doing, words(err)).Because(err)
	case detailsOf(err) != nil && missing(err, detailsOf(err).Name) && detailsOf(err).Kind == imageapi.Images:
		return ociregistry.NewError(ociregistry.CodeManifestUnknown, "%s: there is no such image", doing).Because(err)
	case apierrors.ReasonForError(err) == metav1.StatusReasonConflict:
		e := ociregistry.NewError(ociregistry.CodeUnavailable, "%s: others are changing the image", doing).Because(err)
		e.RetryAfter, e.Status = retryAfter, http.StatusServiceUnavailable
		return e
	}
	return trouble(err, doing)
}
