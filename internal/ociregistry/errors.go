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

// Error is an error response in the specification's form. Clients see Message and Detail;
// Err, the cause, appears only in the log.
type Error struct {
	Code    Code
	Message string
	// Detail is put into the body as JSON; nil for none.
	Detail any
	// Status overrides the code's HTTP status when not 0.
	Status int
	// Challenge is the WWW-Authenticate header of a 401.
	Challenge string
	// RetryAfter is the Retry-After header, in whole seconds; 0 for none.
	RetryAfter time.Duration
	// Allow is the Allow header of a 405.
	Allow string
	// Err is the cause, nil if the request itself is invalid.
	Err error
}

// NewError returns an Error with a formatted message.
func NewError(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Because returns a copy of e with err as its cause.
func (e *Error) Because(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// Error returns the code, the message and the cause.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s", e.Code, e.Message)
	if e.Err != nil && !strings.Contains(e.Message, e.Err.Error()) { // do not repeat the cause
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HTTPStatus returns the status code of the response.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	if s, ok := statuses[e.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Errors are several errors in one response, such as every blob that a manifest lacks. The
// first determines the status.
type Errors []*Error

// Error returns the texts of all errors, one per line.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap returns all errors.
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

// isUnknown reports whether an error means that content does not exist, as opposed to a failed
// lookup.
func isUnknown(err error) bool {
	return hasCode(err, CodeNameUnknown, CodeManifestUnknown, CodeBlobUnknown)
}
