package blobstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// Verify reads a blob and compares its digest: *DigestMismatch when it is
// damaged, ErrUnknown when it is not there.
func (s *Store) Verify(ctx context.Context, d digest.Digest) error {
	_, err := s.VerifyPaced(ctx, d, nil)
	return err
}

// VerifyPaced is Verify at the pace of the caller: after each piece of at most 256 KiB
// pace is called with its number of bytes, and its error ends the reading and is wrapped.
// It returns how many bytes were read.
func (s *Store) VerifyPaced(ctx context.Context, d digest.Digest, pace func(ctx context.Context, n int) error) (size int64, err error) {
	r, err := s.Open(ctx, d, 0)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	h := newRunningHash(d.Algorithm())
	if size, err = hashPaced(ctx, h, r, pace); err != nil {
		return size, failure(err, "verifying", blobPath(d))
	}
	if got := h.digest(); got != d {
		return size, fmt.Errorf("verifying %s: %w", blobPath(d), &DigestMismatch{Want: d, Got: got})
	}
	return size, nil
}

func hashPaced(ctx context.Context, h *runningHash, r io.Reader, pace func(ctx context.Context, n int) error) (size int64, err error) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, readErr := fill(r, buffer[:])
		_, _ = h.Write(buffer[:n]) // it never fails
		size += int64(n)
		if n > 0 && pace != nil {
			if err := pace(ctx, n); err != nil {
				return size, err
			}
		}
		switch {
		case readErr == io.EOF: //nolint:errorlint // a reader's end is never wrapped
			return size, nil
		case readErr != nil:
			return size, readErr
		case ctx.Err() != nil:
			return size, ctx.Err()
		}
	}
}

// Quarantine takes damaged data of a blob out of service: it becomes the file "damaged" in
// the blob's folder, where it can be inspected, and replaces an older one. From then on the
// blob is ErrUnknown, until it is pushed or fetched again; links to it stay. Other
// processes may remember its size for Options.CacheFor.
//
// It verifies the data first. When the data is right, or was replaced during the
// verification, it stays in service and quarantined is false. ErrUnknown when there is no
// data. A failure to read is returned and changes nothing: storage may be at fault, not the
// data.
//
// On an object store two requests end the call, one for the time of the last write and one
// that deletes the data. A push that completes between them is lost.
func (s *Store) Quarantine(ctx context.Context, d digest.Digest) (quarantined bool, err error) {
	if err := checkDigest(d); err != nil {
		return false, err
	}
	verified, err := s.version(ctx, blobPath(d))
	if err != nil {
		s.forgetMissing(d, err)
		return false, err
	}
	var damage *DigestMismatch
	if err := s.Verify(ctx, d); !errors.As(err, &damage) {
		return false, err
	}
	defer s.sizes.drop(d)
	ctx = context.WithoutCancel(ctx)
	if s.object {
		return s.copyAway(ctx, d, verified)
	}
	return s.moveAway(ctx, d, verified)
}

// version distinguishes a file from one that replaces it, which was written later.
type version struct {
	size    int64
	written time.Time
}

func (v version) is(other version) bool {
	return v.size == other.size && v.written.Equal(other.written)
}

func (s *Store) version(ctx context.Context, path string) (v version, err error) {
	v.size, v.written, err = s.stat(ctx, path)
	return v, err
}

// moveAway renames the data and then compares the renamed file with the verified one: no
// filesystem renames on a condition. A file that was pushed meanwhile is moved back at
// once. It may replace one that was pushed even later, which is the same verified content.
func (s *Store) moveAway(ctx context.Context, d digest.Digest, verified version) (bool, error) {
	data, damaged, folder := blobPath(d), damagedPath(d), blobFolder(d)
	if err := s.move(ctx, data, damaged, folder); err != nil {
		return false, err
	}
	moved, err := s.version(ctx, damaged)
	if err != nil || moved.is(verified) {
		return err == nil, err
	}
	if err := s.move(ctx, damaged, data, folder); err != nil {
		return false, err
	}
	// A manifest that depends on it may have been acknowledged, with the folder synced
	// before it was moved back.
	return false, s.lasting(ctx)
}

// copyAway copies the data and deletes it, unless it was written meanwhile. Move of an
// object store would also delete data that was pushed while it copied.
func (s *Store) copyAway(ctx context.Context, d digest.Digest, verified version) (bool, error) {
	if err := s.copyDamaged(ctx, d); err != nil {
		return false, err
	}
	data := blobPath(d)
	now, err := s.version(ctx, data)
	if err != nil || !now.is(verified) {
		return false, err
	}
	return true, s.remove(ctx, data)
}

// copyDamaged copies a blob's data by way of a file aside: RemoveAbandonedUploads removes
// it if the process is killed.
func (s *Store) copyDamaged(ctx context.Context, d digest.Digest) error {
	r, err := s.Open(ctx, d, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := s.newAside(ctx)
	if err != nil {
		return err
	}
	path := asidePath(f.id)
	if _, err := (receiver{to: f.writer, max: -1}).copy(ctx, r); err != nil {
		f.discard(ctx)
		return failure(err, "copying "+blobPath(d)+" to", path)
	}
	if err := f.writer.Commit(ctx); err != nil {
		f.discard(ctx)
		return failure(err, "writing", path)
	}
	err = errors.Join(failure(f.writer.Close(), "closing", path), s.move(ctx, path, damagedPath(d), blobFolder(d)))
	if err != nil {
		err = errors.Join(err, s.remove(ctx, path))
	}
	return errors.Join(err, f.forget(ctx))
}
