package ociregistry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"weir.dev/weir/internal/blobstore"
)

// Only one request at a time can use an upload. A client whose connection broke may query its
// upload before the broken request has ended; that query waits this long for it.
const (
	busyWait = 3 * time.Second
	busyPoll = 20 * time.Millisecond
)

// upload opens the upload named by the path. The caller must close it.
func (x *exchange) upload() (*blobstore.Upload, error) {
	ctx, waited := x.context(), time.Duration(0)
	for {
		u, err := x.Store.Upload(ctx, x.repo.Key(), x.at.reference)
		if !errors.Is(err, blobstore.ErrBusy) || waited >= busyWait {
			switch {
			case err == nil:
				x.sessions.used(x.callerName(), u.ID())
			case errors.Is(err, blobstore.ErrUnknown):
				x.sessions.ended(x.callerName(), x.at.reference)
			}
			return u, x.uploadFailure("finding", err)
		}
		timer := time.NewTimer(busyPoll)
		select {
		case <-timer.C:
			waited += busyPoll
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// uploadFailure wraps the error of an operation on the upload of the path; nil for nil.
func (x *exchange) uploadFailure(tried string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, blobstore.ErrUnknown):
		return &Error{
			Code: CodeBlobUploadUnknown, Message: "there is no such upload to the repository",
			Detail: map[string]string{"upload": fmt.Sprintf("%.100s", x.at.reference)},
		}
	}
	return fmt.Errorf("%s upload %.100s to %s: %w", tried, x.at.reference, x.repo, err)
}

// getUpload serves GET of an upload: the offset it has reached.
func (x *exchange) getUpload() error {
	u, err := x.upload()
	if err != nil {
		return err
	}
	return x.answerUpload(u, http.StatusNoContent)
}

// patchUpload serves PATCH of an upload: a chunk, or the whole blob as a stream.
func (x *exchange) patchUpload() error {
	u, err := x.upload()
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }() // already closed on success
	if err := x.appendChunk(u); err != nil {
		return err
	}
	return x.answerUpload(u, http.StatusAccepted)
}

// putUpload serves PUT of an upload: an optional last chunk, and the digest of the blob.
func (x *exchange) putUpload() error {
	want, err := parseDigest(x.r.URL.Query().Get("digest"))
	if err != nil {
		return err // keep the upload: the client can retry with a digest
	}
	u, err := x.upload()
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }() // already closed on success
	if err := x.appendChunk(u); err != nil {
		return err
	}
	to, err := x.uploads()
	if err != nil {
		return err
	}
	if _, err := u.Commit(x.context(), to, want); err != nil {
		if mismatch := (*blobstore.DigestMismatch)(nil); errors.As(err, &mismatch) {
			x.sessions.ended(x.callerName(), u.ID()) // storage has removed it
		}
		return x.refuseContent(want, x.uploadFailure("completing", err))
	}
	x.sessions.ended(x.callerName(), u.ID())
	return x.blobCreated(want, "completed")
}

// cancelUpload serves DELETE of an upload.
func (x *exchange) cancelUpload() error {
	u, err := x.upload()
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }() // already closed on success
	if err := u.Cancel(x.context()); err != nil {
		return x.uploadFailure("canceling", err)
	}
	x.sessions.ended(x.callerName(), u.ID())
	uploadsTotal.WithLabelValues("canceled").Inc()
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// appendChunk appends the body to an upload. A Content-Range has to begin where the upload
// ends. Bytes received before a connection breaks are kept: the client queries the offset
// and continues there.
func (x *exchange) appendChunk(u *blobstore.Upload) error {
	length := int64(-1)
	if header := x.r.Header.Get("Content-Range"); header != "" {
		first, last, err := parseContentRange(header)
		if err != nil || first != u.Size() {
			return x.outOfOrder(u, header)
		}
		length = last - first + 1
		if announced := x.r.ContentLength; announced >= 0 && announced != length {
			return NewError(CodeSizeInvalid, "Content-Length is %d, Content-Range has %d bytes", announced, length)
		}
	}
	if x.r.ContentLength == 0 {
		return nil
	}
	var src io.Reader = &x.body
	if length >= 0 {
		src = io.LimitReader(src, length)
	}
	n, err := u.Append(x.context(), src)
	if err != nil {
		return x.uploadFailure("appending to", err)
	}
	if length >= 0 && (n < length || x.body.hasMore()) {
		return NewError(CodeSizeInvalid, "the body does not have the %d bytes of its Content-Range", length)
	}
	return nil
}

// outOfOrder rejects a chunk with the offset at which the upload continues.
func (x *exchange) outOfOrder(u *blobstore.Upload, header string) error {
	if err := u.Close(); err != nil {
		return x.uploadFailure("keeping", err)
	}
	x.describeUpload(u)
	return &Error{
		Code: CodeBlobUploadInvalid, Status: http.StatusRequestedRangeNotSatisfiable, Message: fmt.Sprintf("the upload goes on at byte %d", u.Size()),
		Detail: map[string]string{"contentRange": fmt.Sprintf("%.100s", header)},
	}
}
