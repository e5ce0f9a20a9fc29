package importer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/upstream"
)

// ReasonImportFailed is the reason of a repository's status if some of its tags failed.
const ReasonImportFailed metav1.StatusReason = "ImportFailed"

// dockerImage is the resource in a NotFound status of an image.
var dockerImage = schema.GroupResource{Group: imagev1.GroupName, Resource: "dockerimage"}

// refError is a failure at one reference: the requested one, or a part of it (a child of a list).
type refError struct {
	ref string
	// part names the content that was read if it is not the manifest of ref ("config sha256:…").
	// A missing part does not make the status of ref NotFound.
	part string
	err  error
}

func (e *refError) Error() string {
	if e.part != "" {
		return fmt.Sprintf("%s: %s: %v", e.ref, e.part, e.err)
	}
	return fmt.Sprintf("%s: %v", e.ref, e.err)
}

func (e *refError) Unwrap() error { return e.err }

// contentError means that content is invalid.
type contentError struct{ text string }

func (e *contentError) Error() string { return e.text }

func contentErrorf(format string, args ...any) error {
	return &contentError{text: fmt.Sprintf(format, args...)}
}

var (
	// errNoReference is the failure of a name that looks like a pull spec and is invalid.
	errNoReference = errors.New("unable to parse docker reference")
	// errDefect replaces a panic, whose value may contain untrusted bytes and is only logged.
	errDefect = errors.New("the importer failed unexpectedly on this image; see the server's log")
)

// outcome is a failure as a status, with its class for retries.
type outcome struct {
	status     metav1.Status
	source     string // that responded, "" for none
	retry      Retry
	retryAfter time.Duration
}

// success returns a Status with only its status field, as clients expect.
func success() metav1.Status { return metav1.Status{Status: metav1.StatusSuccess} }

// outcomeOf converts failures to statuses; no other code does. The status names ref unless err has
// a more precise reference.
func outcomeOf(ctx context.Context, ref string, err error) outcome {
	var at *refError
	part := ""
	if errors.As(err, &at) {
		ref, part, err = at.ref, at.part, at.err
	}
	if outOfTime(ctx, err) {
		return outcome{status: internalError(ref, part, context.Cause(ctx).Error()), retry: RetrySoon}
	}
	var up *upstream.Error
	if !errors.As(err, &up) {
		return outcome{status: internalError(ref, part, err.Error()), retry: retryOfLocal(err)}
	}
	return outcome{
		status:     upstreamStatus(ref, part, up),
		source:     up.Source,
		retry:      retryOf(up),
		retryAfter: up.RetryAfter,
	}
}

// outOfTime reports whether the time-out of the import caused a failure. Canceled calls may look
// like network failures.
func outOfTime(ctx context.Context, err error) bool {
	if ctx.Err() == nil {
		return false
	}
	var up *upstream.Error
	if errors.As(err, &up) && (up.Code == upstream.CodeCanceled || up.Code == upstream.CodeUnavailable && up.HTTPStatus == 0) {
		return true
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, errOutOfTime)
}

func upstreamStatus(ref, part string, err *upstream.Error) metav1.Status {
	switch err.Code {
	case upstream.CodeManifestUnknown, upstream.CodeNameUnknown:
		if part == "" {
			status := apierrors.NewNotFound(dockerImage, ref).ErrStatus
			status.Message += refusedText(err)
			return status
		}
	case upstream.CodeUnauthorized:
		return apierrors.NewUnauthorized(fmt.Sprintf("you may not have access to the container image %q", ref) + refusedText(err)).ErrStatus
	case upstream.CodeBadCredentials:
		return apierrors.NewUnauthorized(fmt.Sprintf("incorrect username or password for image %q", ref) + refusedText(err)).ErrStatus
	case upstream.CodeBlocked:
		return blocked(err)
	case upstream.CodeName:
		return internalError(ref, part, errNoReference.Error())
	}
	return internalError(ref, part, upstreamText(err)+refusedText(err))
}

// Refused is the beginning of the second sentence of a status about a rejected pull
// secret.
const Refused = "; the registry refused "

// refusedText names the rejected credential and the remedy.
func refusedText(err *upstream.Error) string {
	if err.Refused == "" {
		return ""
	}
	return Refused + foreignText(err.Refused) + ": correct them, and the import is tried again"
}

// repositoryOutcome differs from outcomeOf in denied access: only a registry's code UNAUTHORIZED
// makes the status Unauthorized; missing or wrong credentials are an InternalError.
func repositoryOutcome(ctx context.Context, ref string, err error) outcome {
	o := outcomeOf(ctx, ref, err)
	var up *upstream.Error
	if errors.As(err, &up) {
		if up.Code == upstream.CodeBadCredentials || strings.Contains(up.Text, "no basic auth credentials") {
			o.status = internalError(ref, "", upstreamText(up)+refusedText(up))
		}
	}
	return o
}

// blocked returns the status of a blocked registry, with empty details, as clients expect.
func blocked(err *upstream.Error) metav1.Status {
	return apierrors.NewForbidden(schema.GroupResource{}, "", errors.New(foreignText(upstreamText(err)))).ErrStatus
}

// internalError returns a status whose message has ref, then the error.
func internalError(ref, part, text string) metav1.Status {
	text = foreignText(text)
	if part != "" {
		text = part + ": " + text
	}
	return apierrors.NewInternalError(fmt.Errorf("%s: %s", ref, text)).ErrStatus
}

func upstreamText(err *upstream.Error) string {
	if err.HTTPStatus >= http.StatusInternalServerError && err.Code == upstream.CodeUnavailable {
		return strings.TrimSpace(fmt.Sprintf("received unexpected HTTP status: %d %s", err.HTTPStatus, http.StatusText(err.HTTPStatus)))
	}
	return err.Error()
}

func retryOf(err *upstream.Error) Retry {
	switch err.Code {
	case upstream.CodeBlocked, upstream.CodeName, upstream.CodeForbiddenAddress:
		return RetryNever
	case upstream.CodeTooManyRequests, upstream.CodeUnavailable, upstream.CodeCanceled:
		return RetrySoon
	}
	return RetryLater
}

func retryOfLocal(err error) Retry {
	switch {
	case errors.Is(err, errNoReference):
		return RetryNever
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return RetrySoon
	}
	return RetryLater
}

// maxForeignText is the maximum of foreign text in a status, in bytes.
const maxForeignText = 1024

// secrets matches credentials in texts of registries and in URLs of errors. The upstream client
// redacts them already; statuses are stored and widely visible, so they are checked again
// here.
var secrets = []struct {
	pattern *regexp.Regexp
	blanked string
}{
	{regexp.MustCompile(`(://)[^/\s@"']*@`), "${1}"},
	{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9+/_.~=-]{8,}`), "${1} …"},
	{regexp.MustCompile(`(?i)\b(access_token|refresh_token|id_token|token|password|passwd|secret|signature|sig|x-amz-[a-z-]+)(["']?\s*[=:]\s*["']?)[^\s&"',}]+`), "${1}${2}…"},
}

// foreignText sanitizes foreign text for a status: valid UTF-8, one line, bounded, without
// credentials.
func foreignText(text string) string {
	if len(text) > 4*maxForeignText {
		text = text[:4*maxForeignText]
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	for _, s := range secrets {
		text = s.pattern.ReplaceAllString(text, s.blanked)
	}
	return foreigntext.Truncate(text, maxForeignText)
}
