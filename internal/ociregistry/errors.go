package ociregistry

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code is an error code of the OCI distribution specification or, where that has
// none, one that registries of the field use.
type Code string

// The codes. The first group is the specification's table.
const (
	CodeBlobUnknown         Code = "BLOB_UNKNOWN"
	CodeBlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	CodeBlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	CodeDigestInvalid       Code = "DIGEST_INVALID"
	CodeManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	CodeManifestInvalid     Code = "MANIFEST_INVALID"
	CodeManifestUnknown     Code = "MANIFEST_UNKNOWN"
	CodeNameInvalid         Code = "NAME_INVALID"
	CodeNameUnknown         Code = "NAME_UNKNOWN"
	CodeSizeInvalid         Code = "SIZE_INVALID"
	CodeUnauthorized        Code = "UNAUTHORIZED"
	CodeDenied              Code = "DENIED"
	CodeUnsupported         Code = "UNSUPPORTED"
	CodeTooManyRequests     Code = "TOOMANYREQUESTS"

	CodeTagInvalid       Code = "TAG_INVALID"
	CodeSignatureInvalid Code = "SIGNATURE_INVALID"
	CodeSignatureExists  Code = "SIGNATURE_EXISTS"
	CodeUnavailable      Code = "UNAVAILABLE"
	CodeUnknown          Code = "UNKNOWN"
)

// statuses are the HTTP status codes of the codes.
var statuses = map[Code]int{
	CodeBlobUnknown:         http.StatusNotFound,
	CodeBlobUploadInvalid:   http.StatusBadRequest,
	CodeBlobUploadUnknown:   http.StatusNotFound,
	CodeDigestInvalid:       http.StatusBadRequest,
	CodeManifestBlobUnknown: http.StatusNotFound,
	CodeManifestInvalid:     http.StatusBadRequest,
	CodeManifestUnknown:     http.StatusNotFound,
	CodeNameInvalid:         http.StatusBadRequest,
	CodeNameUnknown:         http.StatusNotFound,
	CodeSizeInvalid:         http.StatusBadRequest,
	CodeUnauthorized:        http.StatusUnauthorized,
	CodeDenied:              http.StatusForbidden,
	CodeUnsupported:         http.StatusMethodNotAllowed,
	CodeTooManyRequests:     http.StatusTooManyRequests,
	CodeTagInvalid:          http.StatusBadRequest,
	CodeSignatureInvalid:    http.StatusBadRequest,
	CodeSignatureExists:     http.StatusConflict,
	CodeUnavailable:         http.StatusServiceUnavailable,
	CodeUnknown:             http.StatusInternalServerError,
}

// Error is an error that a client is told of, in the specification's form. Message
// and Detail are shown to the client; Err, the cause, is for the log alone.
type Error struct {
	Code    Code
	Message string
	// Detail is put into the body as JSON; nil for none.
	Detail any
	// Status takes the place of the code's own HTTP status when not 0.
	Status int
	// Challenge is the WWW-Authenticate header of a 401.
	Challenge string
	// RetryAfter is the Retry-After header, in whole seconds; 0 for none.
	RetryAfter time.Duration
	// Allow is the Allow header of a 405.
	Allow string
	// Err is the cause, nil when the request itself is.
	Err error
}

// NewError makes an Error whose message is formatted.
func NewError(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Because is the same error with its cause.
func (e *Error) Because(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// Error is the code, the message and the cause.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s", e.Code, e.Message)
	if e.Err != nil && !strings.Contains(e.Message, e.Err.Error()) { // the same words once
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// HTTPStatus is the status code of the answer.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	if s, ok := statuses[e.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Errors are several errors that a client is told of in one answer, such as every blob
// that a manifest lacks. The first decides about the status.
type Errors []*Error

// Error is the texts of all, one a line.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap is all of them.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// hasCode reports whether an error is, or wraps, an Error with one of the codes.
func hasCode(err error, codes ...Code) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}

// isUnknown reports whether an error says that something is not there, in contrast to
// that nobody could tell.
func isUnknown(err error) bool {
	return hasCode(err, CodeNameUnknown, CodeManifestUnknown, CodeBlobUnknown)
}
