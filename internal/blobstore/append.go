package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// keepHashFrom is the size of an upload from which on its hash is kept in storage, for a
// restart or another replica. Reading less again costs less than keeping it.
const keepHashFrom = 1 << 20

// closeTimeout bounds what Close does to spare others work.
const closeTimeout = time.Minute

// fileSyncer has the methods of the writer of a plain filesystem beside those of FileWriter.
type fileSyncer interface {
	// Sync returns when all that was written is on the disk.
	Sync() error
	// MarkSynced records that the file, as it was opened, is on the disk already.
	MarkSynced()
}

// Append adds what the reader gives to the upload and returns how many bytes that was.
// When the reader fails (*ReceiveError) what came before stays, n and Size count it, and
// the upload can go on. ErrBusy when another process appends, and *OffsetMismatch when
// one did since this upload was resumed. After ErrFull the upload is removed.
func (u *Upload) Append(ctx context.Context, r io.Reader) (n int64, err error) {
	switch {
	case u.ended:
		return 0, u.over("appending to")
	case u.complete:
		return 0, fmt.Errorf("appending to upload %s: it is complete and being committed: %w", u.id, ErrUnknown)
	}
	u.lookForHash(ctx)
	expected := u.size
	if err := u.openWriter(ctx); err != nil {
		return 0, err
	}
	if u.size != expected {
		return 0, &OffsetMismatch{Want: u.size, Got: expected}
	}
	if u.hashOutdate { // nothing that is written now may make it fit again
		if err := u.store.remove(ctx, u.path(hashStateFile)); err != nil {
			return 0, err
		}
		u.hashOutdate = false
	}
	n, err = receiver{to: u.store.sparing(u.writer), hash: u.hash, max: -1}.copy(ctx, r)
	u.size += n
	u.appended, u.synced = u.appended || n > 0, u.synced && n == 0
	var received *ReceiveError
	if err != nil && !errors.As(err, &received) {
		return n, u.broken(ctx, failure(err, "writing", u.path(dataFile)))
	}
	if u.store.object { // what it still holds back is to be sent before anybody is told of it
		if closeErr := u.closeWriter(); closeErr != nil {
			return n, u.broken(ctx, failure(closeErr, "writing", u.path(dataFile)))
		}
	}
	return n, err
}

// AppendAt is Append for a chunk that says where it begins: *OffsetMismatch when that is
// not where the upload ends.
func (u *Upload) AppendAt(ctx context.Context, offset int64, r io.Reader) (n int64, err error) {
	if offset != u.size {
		return 0, &OffsetMismatch{Want: u.size, Got: offset}
	}
	return u.Append(ctx, r)
}

// broken is for storage that failed in the middle: what it has is measured anew by the
// next request. On full storage the upload goes, to make room.
func (u *Upload) broken(ctx context.Context, err error) error {
	u.hash, u.hashOutdate = nil, true
	if errors.Is(err, ErrFull) {
		return errors.Join(err, u.Cancel(context.WithoutCancel(ctx)))
	}
	return errors.Join(err, u.Close())
}

// lookForHash finds the hash of the data that another request left in storage.
func (u *Upload) lookForHash(ctx context.Context) {
	if u.hashLooked {
		return
	}
	u.hashLooked = true
	content, err := u.store.driver.GetContent(ctx, u.path(hashStateFile))
	h, decodeErr := decodeHashState(content)
	switch {
	case err == nil && decodeErr == nil && h.size == u.size:
		u.hash = h
	case u.size == 0:
		u.hash = newRunningHash(digest.SHA256)
	}
	u.hashOutdate = err == nil && (decodeErr != nil || u.hash != h)
}

// keepHash writes the hash of the data for other requests.
func (u *Upload) keepHash(ctx context.Context) error {
	content, err := u.hash.encode()
	if err != nil {
		return err
	}
	return u.store.putSmall(ctx, u.path(hashStateFile), content)
}

// Close ends one request's use of the upload, which stays. An error means that the next
// request has more to read; nothing is lost. It does nothing after Commit, Cancel or
// another Close.
func (u *Upload) Close() error {
	if u.ended {
		return nil
	}
	u.ended = true
	u.store.open.touch(u.key(), u.store.now())
	defer u.store.uploads.release(u.id)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	keep := u.appended && u.hash != nil && (u.store.object || u.size >= keepHashFrom)
	if f, ok := u.writer.(fileSyncer); ok && keep {
		// A power cut must not leave a hash of more than the data.
		if err := f.Sync(); err != nil {
			return errors.Join(failure(err, "writing", u.path(dataFile)), u.closeWriter())
		}
		u.synced = true
	}
	if err := u.closeWriter(); err != nil {
		return failure(err, "writing", u.path(dataFile))
	}
	if keep {
		if err := u.keepHash(ctx); err != nil {
			return err
		}
	}
	// Other replicas may do to an object store what this process does not see.
	if u.hash != nil && !u.store.object {
		u.store.uploads.remember(u.id, idleUpload{u.hash, u.synced})
	}
	return nil
}

func (u *Upload) closeWriter() error {
	if u.writer == nil {
		return nil
	}
	w := u.writer
	u.writer = nil
	return w.Close()
}

// Cancel removes the upload.
func (u *Upload) Cancel(ctx context.Context) error {
	if u.ended {
		return u.over("cancelling")
	}
	u.ended = true
	defer u.store.uploads.release(u.id)
	data := u.path(dataFile)
	if !u.store.object {
		_ = u.closeWriter() // what cannot be written is not wanted
		return u.remove(ctx)
	}
	var err error
	if u.writer != nil {
		err = failure(u.writer.Cancel(ctx), "cancelling", data)
		u.writer = nil
	} else if !u.complete {
		err = u.store.abort(ctx, data)
	}
	return errors.Join(err, u.remove(ctx))
}

// remove deletes the upload's folder, on a plain filesystem file by file: that takes less
// than looking what there is.
func (u *Upload) remove(ctx context.Context) error {
	defer u.store.open.end(u.key())
	if u.store.disk != nil {
		for _, name := range []string{dataFile, hashStateFile, startedAtFile} {
			if err := u.store.remove(ctx, u.path(name)); err != nil {
				return err
			}
		}
	}
	return u.store.remove(ctx, uploadFolder(u.repo, u.id))
}

// abort ends a file of an object store that was not completed. That there is none, or
// that it is complete, cannot be distinguished from other errors with all drivers; deleting what
// there is comes next and reports storage that is away.
func (s *Store) abort(ctx context.Context, path string) error {
	w, err := s.driver.Writer(ctx, path, true)
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	return failure(w.Cancel(ctx), "cancelling", path)
}
