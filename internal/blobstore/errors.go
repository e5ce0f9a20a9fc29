package blobstore

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"
)

// What callers branch on, with errors.Is.
var (
	// ErrUnknown is a blob, link, referrer or upload that is not there.
	ErrUnknown = errors.New("not in storage")
	// ErrBusy is an upload that another request uses right now.
	ErrBusy = errors.New("the upload is in use by another request")
	// ErrFull is storage without space, or with its quota used up. What was being
	// written is removed.
	ErrFull = errors.New("storage is full")
	// ErrInvalid is a digest other than sha256 and sha512, or a repository that is not
	// namespace/stream.
	ErrInvalid = errors.New("invalid")
)

// DigestMismatch is content whose digest is another one than it was said to be: content that
// arrived, which was not stored, or stored data that is damaged.
type DigestMismatch struct{ Want, Got digest.Digest }

// Error names both digests.
func (e *DigestMismatch) Error() string {
	return fmt.Sprintf("the content's digest is %s, not %s", e.Got, e.Want)
}

// SizeMismatch is content larger than it may be. Want is the bound in bytes; Got is the
// size, or a smaller number when reading stopped above the bound.
type SizeMismatch struct{ Want, Got int64 }

// Error names both sizes.
func (e *SizeMismatch) Error() string {
	return fmt.Sprintf("the content has %d bytes or more, %d are allowed", e.Got, e.Want)
}

// OffsetMismatch is a chunk that does not begin where the upload ends. Want is the
// upload's size in bytes, Got the chunk's offset.
type OffsetMismatch struct{ Want, Got int64 }

// Error names both offsets.
func (e *OffsetMismatch) Error() string {
	return fmt.Sprintf("the chunk begins at byte %d, the upload ends at %d", e.Got, e.Want)
}

// ReceiveError is a reader of content that failed: the client's connection, not storage.
type ReceiveError struct{ Err error }

// Error is the cause, and where it happened.
func (e *ReceiveError) Error() string { return "receiving the content: " + e.Err.Error() }

// Unwrap is the cause.
func (e *ReceiveError) Unwrap() error { return e.Err }

// failure says what was tried on which path, and gives a driver's error the kinds above.
func failure(err error, tried, path string) error {
	var missing storagedriver.PathNotFoundError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return fmt.Errorf("%s %s: %w", tried, path, ErrUnknown)
	case hasCause(err, isFull):
		return fmt.Errorf("%s %s: %w: %w", tried, path, ErrFull, opened(err))
	case hasCause(err, isLocked):
		return fmt.Errorf("%s %s: %w: %w", tried, path, ErrBusy, opened(err))
	default:
		return &FailedError{tried: tried, path: path, err: opened(err)}
	}
}

// FailedError is storage that does not do what it should: it is away, or refuses.
type FailedError struct {
	tried, path string
	err         error
}

// Error names the operation and the path.
func (e *FailedError) Error() string { return e.tried + " " + e.path + ": " + e.err.Error() }

// Unwrap is the driver's error.
func (e *FailedError) Unwrap() error { return e.err }

// opened makes an error of the drivers' own kind one that errors.Is looks into.
func opened(err error) error {
	if e, ok := err.(storagedriver.Error); ok && e.Detail != nil { //nolint:errorlint // only the outermost is replaced
		return fmt.Errorf("%s: %w", e.DriverName, e.Detail)
	}
	return err
}

// hasCause looks for a cause through errors that wrap, and through those of the drivers,
// which hold others without saying so.
func hasCause(err error, is func(error) bool) bool {
	if err == nil {
		return false
	}
	if is(err) {
		return true
	}
	switch e := err.(type) { //nolint:errorlint // this is the walk itself
	case storagedriver.Error:
		return hasCause(e.Detail, is)
	case storagedriver.Errors:
		return anyCause(e.Errs, is)
	case interface{ Unwrap() []error }:
		return anyCause(e.Unwrap(), is)
	case interface{ Unwrap() error }:
		return hasCause(e.Unwrap(), is)
	case interface{ OrigErr() error }: // the S3 client's
		return hasCause(e.OrigErr(), is)
	default:
		return false
	}
}

func anyCause(errs []error, is func(error) bool) bool {
	for _, err := range errs {
		if hasCause(err, is) {
			return true
		}
	}
	return false
}

// fullCodes are the error codes of S3-compatible servers that are full; S3 itself never is.
var fullCodes = map[string]bool{
	"QuotaExceeded":                  true, // Ceph, Versity
	"XMinioStorageFull":              true,
	"XMinioAdminBucketQuotaExceeded": true,
	"InsufficientStorage":            true,
}

func isFull(err error) bool {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return true
	}
	if e, ok := err.(interface{ Code() string }); ok && fullCodes[e.Code()] {
		return true
	}
	e, ok := err.(interface{ StatusCode() int })
	return ok && e.StatusCode() == http.StatusInsufficientStorage
}

// isLocked is a file that another process writes to.
func isLocked(err error) bool { return errors.Is(err, syscall.EWOULDBLOCK) }
