package ociregistry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/upstream"
)

// statusClientGone is the status in logs and metrics for a request whose client disconnected.
// It is never sent. The number is nginx's.
const statusClientGone = 499

// fail sends an error response. After the first byte was sent it can only cut the connection.
func (x *exchange) fail(err error) {
	if x.w.status != 0 {
		x.logBroken(err)
		panic(http.ErrAbortHandler)
	}
	x.write(x.explain(err))
}

// explain converts an error to what the client sees. Internal errors are logged here, once,
// with the request ID, and not sent. Errors of other registries are sent and also logged, for the
// operator.
func (x *exchange) explain(err error) Errors {
	var many Errors
	var one *Error
	switch {
	case errors.As(err, &many) && len(many) > 0:
		return many
	case errors.As(err, &one):
		if one.HTTPStatus() >= http.StatusInternalServerError && one.Err != nil || isUpstream(err) {
			x.logFailure(err)
		}
		return Errors{one}
	case x.body.failed != nil:
		return Errors{brokenBody(x.body.failed)}
	case x.context().Err() != nil:
		return Errors{{Code: CodeUnavailable, Status: statusClientGone, Message: "the client is gone", Err: err}}
	}
	if e := storageError(err); e != nil {
		if e.HTTPStatus() >= http.StatusInternalServerError {
			x.logFailure(err)
		}
		return Errors{e}
	}
	x.logFailure(err)
	var failed *blobstore.FailedError
	if errors.As(err, &failed) {
		return Errors{storageFailed(x.requestName())}
	}
	return Errors{internalError(x.requestName())}
}

func isUpstream(err error) bool { return errors.As(err, new(*upstream.Error)) }

// storageFailed returns the error for a failure of storage. It may be transient, so clients are
// told to retry.
func storageFailed(request string) *Error {
	return &Error{
		Code: CodeUnavailable, Status: http.StatusServiceUnavailable, RetryAfter: retryAfter,
		Message: "the registry's storage failed; see the registry's log for this request ID",
		Detail:  map[string]string{"request": request},
	}
}

// storageError converts an error of the store that concerns the client; nil for others.
func storageError(err error) *Error {
	var mismatch *blobstore.DigestMismatch
	var offset *blobstore.OffsetMismatch
	var many *blobstore.TooManyUploads
	switch {
	case errors.As(err, &mismatch):
		return &Error{
			Code: CodeDigestInvalid, Message: "the content has another digest", Err: err,
			Detail: map[string]string{"digest": mismatch.Want.String(), "actual": mismatch.Got.String()},
		}
	case errors.As(err, &offset):
		return &Error{
			Code: CodeBlobUploadInvalid, Status: http.StatusRequestedRangeNotSatisfiable, Err: err,
			Message: fmt.Sprintf("the upload has %d bytes, not %d", offset.Want, offset.Got),
		}
	case errors.As(err, &many):
		return &Error{
			Code: CodeTooManyRequests, RetryAfter: uploadsPause, Err: err,
			Message: fmt.Sprintf("namespace %s has %d unfinished uploads, the maximum per namespace; finish or cancel some (DELETE of their location), or wait until idle ones are removed", many.Namespace, many.Most),
		}
	case errors.Is(err, blobstore.ErrBusy):
		return &Error{
			Code: CodeBlobUploadInvalid, Status: http.StatusConflict, RetryAfter: retryAfter,
			Message: "another request is writing to this upload", Err: err,
		}
	case errors.Is(err, blobstore.ErrFull):
		return &Error{
			Code: CodeUnavailable, Status: http.StatusInsufficientStorage,
			Message: "the registry's storage is full", Err: err,
		}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeUnavailable, Message: "the request timed out", RetryAfter: retryAfter, Err: err}
	}
	return nil
}

// brokenBody returns the error for an incomplete request body.
func brokenBody(err error) *Error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &Error{
			Code: CodeBlobUploadInvalid, Status: http.StatusRequestTimeout,
			Message: "timed out waiting for the request body", Err: err,
		}
	}
	return NewError(CodeSizeInvalid, "the body ended before its announced length").Because(err)
}

func internalError(request string) *Error {
	return &Error{
		Code:    CodeUnknown,
		Message: "internal error; see the registry's log for this request ID",
		Detail:  map[string]string{"request": request},
	}
}

func (x *exchange) logFailure(err error) {
	klog.ErrorS(err, "A request to the registry failed", "request", x.requestName(),
		"method", x.r.Method, "path", x.r.URL.Path)
}

// logBroken logs an incomplete response: as an error, unless the client disconnected.
func (x *exchange) logBroken(err error) {
	level := klog.Level(0)
	if x.context().Err() != nil || x.w.failed {
		level = 2
	}
	klog.V(level).InfoS("A response of the registry was cut off", "request", x.requestName(),
		"method", x.r.Method, "path", x.r.URL.Path, "sent", x.w.sent, "err", err)
}

// errorBody is the JSON of an error response.
type errorBody struct {
	Errors []errorEntry `json:"errors"`
}

type errorEntry struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}

// write sends errors.
func (x *exchange) write(all Errors) {
	first := all[0]
	entries := make([]errorEntry, len(all))
	for i, e := range all {
		entries[i] = errorEntry{Code: e.Code, Message: e.Message, Detail: e.Detail}
	}
	content, err := json.Marshal(errorBody{Errors: entries})
	if err != nil { // a detail that is not JSON: send the error without it
		content, _ = json.Marshal(errorBody{Errors: []errorEntry{{Code: first.Code, Message: first.Message}}})
	}
	h := x.w.Header()
	for _, about := range []string{"Etag", "Docker-Content-Digest", "Accept-Ranges"} {
		h.Del(about) // these describe content, not an error
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(content)))
	if first.Challenge != "" {
		h.Set("Www-Authenticate", first.Challenge)
	}
	if first.Allow != "" {
		h.Set("Allow", first.Allow)
	}
	if first.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((first.RetryAfter+time.Second-1)/time.Second), 10))
	}
	x.w.WriteHeader(first.HTTPStatus())
	if !x.isHead() {
		_, _ = x.w.Write(content) // the client is gone
	}
}
