package upstream

import (
	"errors"
	"fmt"
	"time"
)

// Code says what kind of failure an Error is; callers branch on it.
type Code string

// The codes of an Error.
const (
	// CodeManifestUnknown: the registry has no manifest of that tag or digest.
	CodeManifestUnknown Code = "ManifestUnknown"
	// CodeNameUnknown: the registry has no repository of that name.
	CodeNameUnknown Code = "NameUnknown"
	// CodeBlobUnknown: the registry has no blob of that digest.
	CodeBlobUnknown Code = "BlobUnknown"
	// CodeUnauthorized: the registry or its token realm answered 401, or asked
	// for credentials where none match.
	CodeUnauthorized Code = "Unauthorized"
	// CodeBadCredentials: the token realm said that user name or password are wrong.
	CodeBadCredentials Code = "BadCredentials"
	// CodeDenied: the registry or its token realm answered 403 or DENIED.
	CodeDenied Code = "Denied"
	// CodeTooManyRequests: the registry answered 429, or this process's own
	// budget for the host has no room within the time a caller may wait.
	CodeTooManyRequests Code = "TooManyRequests"
	// CodeUnavailable: 5xx, network trouble or a time limit.
	CodeUnavailable Code = "Unavailable"
	// CodeIntegrity: content does not have the digest it was asked by or announced with.
	CodeIntegrity Code = "Integrity"
	// CodeTooLarge: an answer exceeds its limit in bytes or in count.
	CodeTooLarge Code = "TooLarge"
	// CodeBlocked: the rules forbid contacting any source of the pull spec.
	CodeBlocked Code = "Blocked"
	// CodeName: the pull spec names no repository, or one that cannot exist.
	CodeName Code = "Name"
	// CodeForbiddenAddress: the host resolves to an address this process does not contact.
	CodeForbiddenAddress Code = "ForbiddenAddress"
	// CodeProtocol: the answer makes no sense as one of a registry.
	CodeProtocol Code = "Protocol"
	// CodeLoop: the request that is being served came from that very source.
	CodeLoop Code = "Loop"
	// CodeCanceled: the caller gave up; Err is its context's error.
	CodeCanceled Code = "Canceled"
)

// Error is the failure of a call to a registry. It never holds a credential:
// texts of registries are bounded, cleaned and have secrets blanked.
type Error struct {
	// Code is the kind of failure.
	Code Code
	// Ref is the pull spec as the caller named it, with the requested tag or digest.
	Ref string
	// Source is the host/repository that gave this answer; empty when none was contacted.
	Source string
	// HTTPStatus is the status of the answer, 0 when there was none.
	HTTPStatus int
	// RetryAfter is how long the registry, or this process's own budget for it,
	// asks to wait; 0 when unknown.
	RetryAfter time.Duration
	// Text is the reason in words, without Ref and Source. It may be shown to the namespace
	// whose request failed.
	Text string
	// Detail is what Text leaves out, for the server's log only: addresses, and why there
	// was no answer. It holds no credential.
	Detail string
	// Refused names the credential that was refused: "the credentials of secret ns/name".
	// Empty when there was none.
	Refused string
	// Err is the cause when it is a Go error, such as context.DeadlineExceeded.
	Err error

	// realm is set when the response came from the token realm.
	realm bool
	// worded is set when the registry gave a code of its own.
	worded bool
}

// Error is the reason in words; callers put the pull spec in front.
func (e *Error) Error() string {
	if e.Text != "" {
		return e.Text
	}
	if e.HTTPStatus != 0 {
		return unexpectedStatus(e.HTTPStatus)
	}
	return fmt.Sprintf("upstream failure: %s", e.Code)
}

// InFull is e for the server's log.
func (e *Error) InFull() error {
	if e.Detail == "" {
		return e
	}
	return fmt.Errorf("%w (%s)", e, e.Detail)
}

// LeftOut is e for the server's log behind a text that has its own: what that leaves out, or e itself
// where it leaves out nothing.
func (e *Error) LeftOut() error {
	if e.Detail == "" {
		return e
	}
	return &leftOut{e}
}

type leftOut struct{ of *Error }

func (l *leftOut) Error() string { return l.of.Detail }

// Unwrap is the whole error.
func (l *leftOut) Unwrap() error { return l.of }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of the first *Error in err's chain, or "" when there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// refused reports whether the credential was not accepted, by the registry or its token
// realm. Realms refuse with any status of the client's fault, or with an answer without a
// token.
func (e *Error) refused() bool {
	switch e.Code {
	case CodeUnauthorized, CodeBadCredentials, CodeDenied:
		return true
	case CodeProtocol, CodeTooLarge, CodeManifestUnknown, CodeNameUnknown, CodeBlobUnknown:
		return e.realm
	}
	return false
}

// movesOn reports whether another credential may be answered otherwise: this one was refused,
// or the registry said no in another way, which may be all that it says to those who may not
// see something.
func (e *Error) movesOn() bool {
	return e.refused() || e.unknown() || e.Code == CodeProtocol && e.HTTPStatus >= 400 && e.HTTPStatus < 500
}

// unknown reports whether the registry said that it does not have the content.
func (e *Error) unknown() bool {
	switch e.Code {
	case CodeManifestUnknown, CodeBlobUnknown, CodeNameUnknown:
		return true
	}
	return false
}

// at returns a copy of e for one pull spec and the source that failed. Shared
// calls hand one *Error to many callers, so it is never changed in place.
func (e *Error) at(ref, source string) *Error {
	c := *e
	c.Ref = ref
	if source != "" {
		c.Source = source
	}
	return &c
}
