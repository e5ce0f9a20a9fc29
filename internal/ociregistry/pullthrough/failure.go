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

// upstreamError is the *upstream.Error in an error's chain, or nil.
func upstreamError(err error) *upstream.Error {
	var e *upstream.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// isUnknown reports whether a registry said that it does not have something.
func isUnknown(code upstream.Code) bool {
	switch code {
	case upstream.CodeManifestUnknown, upstream.CodeBlobUnknown, upstream.CodeNameUnknown:
		return true
	}
	return false
}

// openness is how much a failure leaves open about whether a registry has something.
type openness int

const (
	hasNot     openness = iota // it does not, or may not be asked
	refused                    // it does not say to us
	senseless                  // what it says makes no sense
	notReached                 // it could not say
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

// isUpstream reports whether other registries are to blame for an error.
func isUpstream(err error) bool {
	return upstreamError(err) != nil || errors.As(err, new(*upstream.FailedError))
}

// failuresOf are the failures of sources in an error.
func failuresOf(err error) []upstream.SourceFailure {
	if failed := (*upstream.FailedError)(nil); errors.As(err, &failed) {
		return failed.Sources
	}
	if e := upstreamError(err); e != nil {
		return []upstream.SourceFailure{{Err: e}}
	}
	return nil
}

// unknown is the code for content that is nowhere to be had.
func (j *job) unknown() ociregistry.Code {
	if j.Manifest {
		return ociregistry.CodeManifestUnknown
	}
	return ociregistry.CodeBlobUnknown
}

// failure is what a caller is told when the content could not be fetched. Of the failures of
// several sources it is the one that leaves most open, for where one source could not say
// it is not true that none has it.
func (j *job) failure(err error) error {
	if err == nil {
		return nil
	}
	if isNotStored(err) {
		return ociregistry.NewError(ociregistry.CodeUnavailable, "storing %s failed while it was fetched: try again, it will be served without being stored", j.Digest).Because(err)
	}
	if !isUpstream(err) {
		return ociregistry.NewError(ociregistry.CodeUnavailable, "fetching %s was given up", j.Digest).Because(err)
	}
	var cause *upstream.Error
	for _, s := range slices.Concat(failuresOf(err), j.blocked) {
		if cause == nil || opennessOf(s.Err.Code) > opennessOf(cause.Code) {
			cause = s.Err
		}
	}
	if cause == nil {
		return ociregistry.NewError(j.unknown(), "%q is not stored here, and no other registry is known to have it", j.Digest)
	}
	return j.toError(cause)
}

// toError puts a registry's failure into this registry's terms.
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
		text += "; a pull secret that it accepts has to be in namespace " + j.Namespace
	case hasNot:
	}
	return ociregistry.NewError(j.unknown(), "%s", text).Because(cause.LeftOut())
}

// gaveUp is the error of a caller that left, or of a process that ends.
func gaveUp(ctx context.Context, d digest.Digest) error {
	cause := context.Cause(ctx)
	return ociregistry.NewError(ociregistry.CodeUnavailable, "fetching %s was given up", d).Because(cause)
}

// integrity is the failure of a source that sent something else than what was asked for.
func integrity(source, format string, args ...any) *upstream.Error {
	return &upstream.Error{Code: upstream.CodeIntegrity, Source: source, Text: fmt.Sprintf(format, args...)}
}

func wrongSize(source string, got, want int64) *upstream.Error {
	return integrity(source, "the blob is announced with %d bytes instead of %d", got, want)
}

// outcomeOf is a failure for the metrics.
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
