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

// retryAfter is the Retry-After if the API gives none.
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

// missing reports whether the API has no object of that name. A 404 without the name is from a
// server without the resource or from a proxy: the API is unavailable then. For responses that are
// not Statuses of the API, the client makes errors with the name too, and marks them.
func missing(err error, name string) bool {
	details := detailsOf(err)
	return apierrors.IsNotFound(err) && details != nil && details.Name == name &&
		!apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// missingNamespace reports whether the API refused to create an object because its namespace
// does not exist.
func missingNamespace(err error) bool {
	details := detailsOf(err)
	return apierrors.IsNotFound(err) && details != nil && strings.EqualFold(details.Kind, namespacesResource.Resource)
}

// missingStream reports whether a mapping was refused because its stream does not exist. The kind
// in the error is that of the request, not of the missing object; all servers of this API do that.
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

// unavailable returns the error for a client if the API is unavailable or its response
// unexpected. doing is the action: "looking up tag 1 of a/b". The API's own message goes to the
// log only: it may name hosts and accounts.
func unavailable(err error, doing string) *ociregistry.Error {
	var told *ociregistry.Error
	if errors.As(err, &told) {
		return told
	}
	code, why := ociregistry.CodeUnavailable, "the API server sent an unexpected response"
	switch {
	case errors.Is(err, context.Canceled):
		why = "the request was canceled"
	case errors.Is(err, context.DeadlineExceeded), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		why = "the API server timed out"
	case apierrors.IsTooManyRequests(err):
		code, why = ociregistry.CodeTooManyRequests, "the API server has too many requests"
	case isFull(err):
		return fullAnswer(err, doing)
	case apierrors.IsUnauthorized(err):
		why = "the API server rejects this registry's credentials"
	case apierrors.IsForbidden(err):
		why = "this registry's account lacks a right at the API server"
	case detailsOf(err) == nil && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown:
		why = "the API server cannot be reached"
	}
	e := ociregistry.NewError(code, "%s: %s", doing, why).Because(err)
	e.RetryAfter = retryDelay(err)
	return e
}

// isFull reports whether the API has no space for a write.
func isFull(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusInsufficientStorage
}

// fullAnswer returns the error for a full API server, with the API's message, which is for clients.
func fullAnswer(err error, doing string) *ociregistry.Error {
	e := ociregistry.NewError(ociregistry.CodeUnavailable, "%s: %s", doing, statusMessage(err)).Because(err)
	e.Status = http.StatusInsufficientStorage
	return e
}

// retryDelay returns the API's Retry-After, at least a second.
func retryDelay(err error) time.Duration {
	if seconds, told := apierrors.SuggestsClientDelay(err); told && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return retryAfter
}

// apiDenied returns the error for a refused write of an image, a tag or a stream. A 401 is not a
// refusal, even with impersonation: it is about the registry's own credentials.
func apiDenied(err error, repo reference.Repository, doing string) *ociregistry.Error {
	text := statusMessage(err)
	switch {
	case missingNamespace(err):
		e := ociregistry.NewError(ociregistry.CodeNameUnknown, "namespace %q does not exist", repo.Namespace)
		e.Detail = map[string]string{"name": repo.String()}
		return e.Because(err)
	case apierrors.IsForbidden(err), isLimit(err, text):
		return ociregistry.NewError(ociregistry.CodeDenied, "%s: %s", doing, text).Because(err)
	case strings.Contains(text, tooLargeText):
		return ociregistry.NewError(ociregistry.CodeDenied, "%s: the record would exceed the request size of etcd (--max-request-bytes); delete tags of the image stream, or set its annotation %s to shorten the history", doing, stream.AnnotationHistoryLimit).Because(err)
	case apierrors.IsRequestEntityTooLargeError(err):
		return ociregistry.NewError(ociregistry.CodeManifestInvalid, "%s: the manifest has too many entries for the API server", doing).Because(err)
	case apierrors.IsInvalid(err) && blames(err, "metadata.name"):
		return ociregistry.NewError(ociregistry.CodeNameInvalid, "%s: %s", doing, text).Because(err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return ociregistry.NewError(ociregistry.CodeManifestInvalid, "%s: %s", doing, text).Because(err)
	}
	return unavailable(err, doing)
}

// isLimit reports whether a limit or a quota is exceeded, which the API reports in several ways.
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

// blames reports whether an API error has a cause at a field.
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

// statusMessage returns the message of an API error, "" for any other error.
func statusMessage(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return ""
}

// signatureRefusal returns the error for a signature that the API refuses.
func signatureRefusal(err error, name string) *ociregistry.Error {
	doing := "adding signature " + name
	switch {
	case apierrors.IsAlreadyExists(err):
		return ociregistry.NewError(ociregistry.CodeSignatureExists, "%s: a signature with that name or content exists", doing).Because(err)
	case apierrors.IsForbidden(err):
		return ociregistry.NewError(ociregistry.CodeDenied, "%s: %s", doing, statusMessage(err)).Because(err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return ociregistry.NewError(ociregistry.CodeSignatureInvalid, "%s: %s", doing, statusMessage(err)).Because(err)
	case detailsOf(err) != nil && missing(err, detailsOf(err).Name) && detailsOf(err).Kind == imageapi.Images:
		return ociregistry.NewError(ociregistry.CodeManifestUnknown, "%s: the image does not exist", doing).Because(err)
	case apierrors.ReasonForError(err) == metav1.StatusReasonConflict:
		e := ociregistry.NewError(ociregistry.CodeUnavailable, "%s: conflicts with other changes of the image; try again", doing).Because(err)
		e.RetryAfter, e.Status = retryAfter, http.StatusServiceUnavailable
		return e
	}
	return unavailable(err, doing)
}
