package pullthrough

import (
	"context"
	"errors"
	"fmt"
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

// isUnknown says whether a registry said that it does not have something.
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

// failureOf is what a caller is told when none of its places gave the content: the failure
// that leaves most open, for where one place could not say it is not true that nobody has
// it. unknown is the code for content that is nowhere to be had.
func failureOf(unknown ociregistry.Code, d digest.Digest, all []*place) error {
	var main *place
	var cause *upstream.Error
	for _, p := range all {
		e := upstreamError(p.failure)
		if e == nil {
			if p.failure != nil {
				return ociregistry.NewError(ociregistry.CodeUnavailable, "fetching %s from %s failed", d, p.name()).Because(p.failure)
			}
			continue
		}
		if cause == nil || opennessOf(e.Code) > opennessOf(cause.Code) {
			main, cause = p, e
		}
	}
	if cause == nil {
		return ociregistry.NewError(unknown, "%q is not stored here, and no other registry is known to have it", d)
	}
	return toError(unknown, d, main, cause)
}

// toError puts a registry's failure into this registry's terms.
func toError(unknown ociregistry.Code, d digest.Digest, p *place, cause *upstream.Error) *ociregistry.Error {
	at := cause.Source
	if at == "" {
		at = p.name()
	}
	text := fmt.Sprintf("fetching %s from %s: %s", d, at, cause.Error())
	switch opennessOf(cause.Code) {
	case notReached, senseless:
		e := ociregistry.NewError(ociregistry.CodeUnavailable, "%s", text).Because(cause)
		e.RetryAfter = cause.RetryAfter
		if cause.Code == upstream.CodeTooManyRequests {
			e.Code, e.RetryAfter = ociregistry.CodeTooManyRequests, max(cause.RetryAfter, time.Second)
		}
		return e
	case refused:
		text += "; a pull secret that it accepts has to be in namespace " + p.namespace
	case hasNot:
	}
	return ociregistry.NewError(unknown, "%s", text).Because(cause)
}

// gaveUp is the error of a caller that left, or of a process that ends.
func gaveUp(ctx context.Context, d digest.Digest) error {
	cause := context.Cause(ctx)
	return ociregistry.NewError(ociregistry.CodeUnavailable, "fetching %s was given up", d).Because(cause)
}

// integrity is the failure of a place that sent something else than what was asked for.
func integrity(source, format string, args ...any) *upstream.Error {
	return &upstream.Error{Code: upstream.CodeIntegrity, Source: source, Text: fmt.Sprintf(format, args...)}
}

// outcomeOf is a failure for the metrics.
func outcomeOf(err error) string {
	var e *ociregistry.Error
	switch code := upstreamError(err); {
	case err == nil:
		return upstream.OutcomeSuccess
	case code != nil:
		return string(code.Code)
	case errors.As(err, &e):
		return string(e.Code)
	case errors.Is(err, context.Canceled), errors.Is(err, errClosed), errors.Is(err, errNobody):
		return string(upstream.CodeCanceled)
	}
	return "Failed"
}
