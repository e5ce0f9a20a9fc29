package pullthrough

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/upstream"
)

// upstreamError returns the *upstream.Error in an error's chain, or nil.
func upstreamError(err error) *upstream.Error {
	var e *upstream.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// isUnknown reports whether a code means that a registry does not have the content.
func isUnknown(code upstream.Code) bool {
	switch code {
	case upstream.CodeManifestUnknown, upstream.CodeBlobUnknown, upstream.CodeNameUnknown:
		return true
	}
	return false
}

// openness orders failures by how little they prove about whether a registry has the content.
type openness int

const (
	hasNot     openness = iota // the registry does not have it, or is blocked
	refused                    // the registry denied access
	senseless                  // the response is invalid
	notReached                 // the registry is unavailable
)

func opennessOf(code upstream.Code) openness {
	switch code {
	case upstream.CodeTooManyRequests, upstream.CodeUnavailable, upstream.CodeCanceled:
		return notReached
	case upstream.CodeIntegrity, upstream.CodeProtocol, upstream.CodeTooLarge:
		return senseless
	case upstream.CodeUnauthorized, upstream.CodeBadCredentials, upstream.CodeDenied:
		return refused
	}
	return hasNot
}

// isUpstream reports whether other registries caused an error.
func isUpstream(err error) bool {
	return upstreamError(err) != nil || errors.As(err, new(*upstream.FailedError))
}

// failuresOf returns the failures of sources in an error.
func failuresOf(err error) []upstream.SourceFailure {
	if failed := (*upstream.FailedError)(nil); errors.As(err, &failed) {
		return failed.Sources
	}
	if e := upstreamError(err); e != nil {
		return []upstream.SourceFailure{{Err: e}}
	}
	return nil
}

// unknown returns the code for content that no source has.
func (j *job) unknown() ociregistry.Code {
	if j.Manifest {
		return ociregistry.CodeManifestUnknown
	}
	return ociregistry.CodeBlobUnknown
}

// failure returns the error for the client when fetching failed. Of the failures of several
// sources it reports the one that proves least: while one source is unavailable, the content
// may still exist.
func (j *job) failure(err error) error {
	if err == nil {
		return nil
	}
	if isNotStored(err) {
		return ociregistry.NewError(ociregistry.CodeUnavailable, "storing %s failed during the fetch; retry to get it without storing", j.Digest).Because(err)
	}
	if !isUpstream(err) {
		return ociregistry.NewError(ociregistry.CodeUnavailable, "fetching %s was canceled", j.Digest).Because(err)
	}
	var cause *upstream.Error
	for _, s := range slices.Concat(failuresOf(err), j.blocked) {
		if cause == nil || opennessOf(s.Err.Code) > opennessOf(cause.Code) {
			cause = s.Err
		}
	}
	if cause == nil {
		return ociregistry.NewError(j.unknown(), "%q is not stored here and has no source in another registry", j.Digest)
	}
	return j.toError(cause)
}

// toError converts a failure of another registry to an error of this one.
func (j *job) toError(cause *upstream.Error) *ociregistry.Error {
	text := fmt.Sprintf("fetching %s from %s: %s", j.Digest, cause.Source, cause.Error())
	switch opennessOf(cause.Code) {
	case notReached, senseless:
		e := ociregistry.NewError(ociregistry.CodeUnavailable, "%s", text).Because(cause.LeftOut())
		e.RetryAfter = cause.RetryAfter
		if cause.Code == upstream.CodeTooManyRequests {
			e.Code, e.RetryAfter = ociregistry.CodeTooManyRequests, max(cause.RetryAfter, time.Second)
		}
		return e
	case refused:
		text += "; add a pull secret for this registry to namespace " + j.Namespace
	case hasNot:
	}
	return ociregistry.NewError(j.unknown(), "%s", text).Because(cause.LeftOut())
}

// gaveUp returns the error for a canceled caller or a stopping process.
func gaveUp(ctx context.Context, d digest.Digest) error {
	cause := context.Cause(ctx)
	return ociregistry.NewError(ociregistry.CodeUnavailable, "fetching %s was canceled", d).Because(cause)
}

// integrity returns the failure of a source that sent wrong content.
func integrity(source, format string, args ...any) *upstream.Error {
	return &upstream.Error{Code: upstream.CodeIntegrity, Source: source, Text: fmt.Sprintf(format, args...)}
}

func wrongSize(source string, got, want int64) *upstream.Error {
	return integrity(source, "the source reports %d bytes for the blob instead of %d", got, want)
}

// outcomeOf returns the metrics label of a failure.
func outcomeOf(err error) string {
	var e *ociregistry.Error
	switch code := upstreamError(err); {
	case err == nil:
		return upstream.OutcomeSuccess
	case code != nil:
		return string(code.Code)
	case isNotStored(err):
		return outcomeNotKept
	case errors.Is(err, context.Canceled), errors.Is(err, errClosed), errors.Is(err, errAbandoned):
		return string(upstream.CodeCanceled)
	case errors.As(err, &e):
		return string(e.Code)
	}
	return "Failed"
}
