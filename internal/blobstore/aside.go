package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/uuid"
	digest "github.com/opencontainers/go-digest"
)

// asideFile is a file that becomes a blob when it is complete and verified.
type asideFile struct {
	store  *Store
	id     string
	writer storagedriver.FileWriter
}

// newAside opens one. It ends with keep or discard.
func (s *Store) newAside(ctx context.Context) (*asideFile, error) {
	if err := s.Room(); err != nil {
		return nil, err
	}
	f := &asideFile{store: s, id: uuid.NewString()}
	// It is written while the request lasts, and cleaned away after that.
	ctx = context.WithoutCancel(ctx)
	if s.object {
		// What is sent to an object store can be found by its marker alone.
		if err := s.putSmall(ctx, asideStartedAt(f.id), formatTime(s.now())); err != nil {
			return nil, err
		}
	}
	writer, err := s.driver.Writer(ctx, asidePath(f.id), false)
	if err != nil {
		return nil, failure(err, "opening", asidePath(f.id))
	}
	f.writer = writer
	s.uploads.acquire(f.id)
	return f, nil
}

// keep makes the file the blob of a digest that was verified.
func (f *asideFile) keep(ctx context.Context, d digest.Digest, size int64) error {
	ctx = context.WithoutCancel(ctx)
	path := asidePath(f.id)
	if err := failure(f.writer.Commit(ctx), "writing", path); err != nil {
		f.discard(ctx)
		return err
	}
	err := f.store.settle(ctx, f.writer, path, d, size)
	if err != nil {
		err = errors.Join(err, f.store.remove(ctx, path))
	}
	return errors.Join(err, f.forget(ctx))
}

// discard removes the file. A failure has no caller to report to: the file is then
// removed as abandoned.
func (f *asideFile) discard(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if f.writer.Cancel(ctx) != nil {
		_ = f.writer.Close()
		_ = f.store.remove(ctx, asidePath(f.id))
	}
	_ = f.forget(ctx)
}

func (f *asideFile) forget(ctx context.Context) error {
	f.store.uploads.release(f.id)
	if !f.store.object {
		return nil
	}
	return f.store.remove(ctx, asideStartedAt(f.id))
}

// settle moves a file that was written, committed and verified to where its digest says,
// and closes its writer if there is one.
//
// It replaces stored data. Only the new file is known to be right: the old data may have
// been damaged since it was verified, and its size would not show that. On a filesystem the
// rename costs as much as removing the new file would. An object store copies the object
// inside the service and readers see one object or the other; comparing the old one would
// take reading all of it from here. Clients ask for a blob before they push it, so pushes
// of stored blobs are rare.
func (s *Store) settle(ctx context.Context, w storagedriver.FileWriter, from string, d digest.Digest, size int64) error {
	if s.disk != nil {
		defer w.Close() // which ends the lock: no write may happen while the file is moved
	} else if w != nil {
		if err := w.Close(); err != nil {
			return failure(err, "closing", from)
		}
	}
	mark := s.sizes.mark()
	if err := s.move(ctx, from, blobPath(d), blobFolder(d)); err != nil {
		return err
	}
	s.remember(mark, d, size)
	return nil
}

// place stores small content that was verified. On a filesystem it compares the stored data
// first, which costs less than waiting for the disk; an object store takes one request
// either way.
func (s *Store) place(ctx context.Context, d digest.Digest, content []byte) error {
	if s.object {
		path, mark := blobPath(d), s.sizes.mark()
		if err := s.driver.PutContent(ctx, path, content); err != nil {
			return failure(err, "writing", path)
		}
		s.remember(mark, d, int64(len(content)))
		return nil
	}
	if there, err := s.holds(ctx, d, content); err != nil || there {
		return err
	}
	f, err := s.newAside(ctx)
	if err != nil {
		return err
	}
	if _, err := s.sparing(f.writer).Write(content); err != nil {
		f.discard(ctx)
		return failure(err, "writing", asidePath(f.id))
	}
	return f.keep(ctx, d, int64(len(content)))
}

// holds reports whether the stored data of a blob is its content, byte for byte. Data
// that cannot be read is replaced like data that is wrong: a bad sector is damage too.
func (s *Store) holds(ctx context.Context, d digest.Digest, content []byte) (bool, error) {
	size, err := s.Confirm(ctx, d)
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	if err != nil || size != int64(len(content)) {
		return false, err
	}
	r, err := s.driver.Reader(ctx, blobPath(d), 0)
	if err != nil {
		return false, nil //nolint:nilerr // writing reports a failure of storage
	}
	defer r.Close()
	return equal(r, content), nil
}

// equal reports whether a reader gives some content and nothing more.
func equal(r io.Reader, content []byte) bool {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := fill(r, buffer[:])
		if n > len(content) || !bytes.Equal(buffer[:n], content[:n]) {
			return false
		}
		content = content[n:]
		if err != nil {
			return err == io.EOF && len(content) == 0 //nolint:errorlint // a reader's end is never wrapped
		}
	}
}

// PutStream stores a blob that arrives in one go under a known digest, at most `most` bytes
// (a negative number for any), and links it in the repository: the quick way for a
// monolithic upload. Errors are those of Upload.Append and Upload.Commit, and
// *SizeMismatch for more than that; then nothing is stored.
func (s *Store) PutStream(ctx context.Context, to Repository, d digest.Digest, r io.Reader, most int64) (size int64, err error) {
	if err := checkLink(to, d); err != nil {
		return 0, err
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	n, err := fill(r, buffer[:])
	if most >= 0 && int64(n) > most {
		return 0, &SizeMismatch{Want: most, Got: int64(n)}
	}
	switch {
	case err == nil: // there is more
		size, err = s.putLarge(ctx, d, io.MultiReader(bytes.NewReader(buffer[:n]), r), most)
	case err == io.EOF: //nolint:errorlint // a reader's end is never wrapped
		size, err = int64(n), s.Put(ctx, d, buffer[:n])
	default:
		err = &ReceiveError{err}
	}
	if err != nil {
		return 0, err
	}
	return size, s.LinkBlob(ctx, to, d)
}

// putLarge stores what does not fit into a buffer.
func (s *Store) putLarge(ctx context.Context, d digest.Digest, r io.Reader, most int64) (int64, error) {
	f, err := s.newAside(ctx)
	if err != nil {
		return 0, err
	}
	h := newRunningHash(d.Algorithm())
	size, err := receiver{to: s.sparing(f.writer), hash: h, max: most}.copy(ctx, r)
	if err == nil && h.digest() != d {
		err = &DigestMismatch{Want: d, Got: h.digest()}
	}
	if err != nil {
		f.discard(ctx)
		return 0, receiveFailure(err, asidePath(f.id))
	}
	return size, f.keep(ctx, d, size)
}

// receiveFailure says where writing failed, and leaves the errors of the content alone.
func receiveFailure(err error, path string) error {
	var received *ReceiveError
	var size *SizeMismatch
	var content *DigestMismatch
	if errors.As(err, &received) || errors.As(err, &size) || errors.As(err, &content) {
		return err
	}
	return failure(err, "writing", path)
}

func formatTime(t time.Time) []byte { return []byte(t.UTC().Format(time.RFC3339)) }

// parseTime reads what formatTime wrote.
func parseTime(content []byte) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, string(bytes.TrimSpace(content)))
	if err != nil {
		return time.Time{}, fmt.Errorf("not a time in RFC 3339: %w", err)
	}
	return t, nil
}
