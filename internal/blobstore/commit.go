package blobstore

import (
	"context"
	"fmt"

	digest "github.com/opencontainers/go-digest"
)

// Commit verifies the upload's content, makes it the blob of that digest, of any algorithm,
// links it in r, which has the upload's repository, and removes the upload. It returns the
// blob's size. After a *DigestMismatch and after ErrFull the upload is removed too. After
// any other error a new request may try again, unless it finds the upload empty: then the
// data was stored, but not linked, and has to be sent again.
func (u *Upload) Commit(ctx context.Context, r Repository, d digest.Digest) (size int64, err error) {
	if u.ended {
		return 0, u.over("committing")
	}
	if r.Name != u.repo {
		return 0, fmt.Errorf("committing upload %s of %s to %s: %w", u.id, u.repo, r.Name, ErrInvalid)
	}
	if err := checkLink(r, d); err != nil {
		return 0, err
	}
	u.lookForHash(ctx)
	expected := u.size
	if err := u.openWriter(ctx); err != nil {
		return 0, err
	}
	if u.size != expected {
		return 0, &OffsetMismatch{Want: u.size, Got: expected}
	}
	verified, err := u.verifyHash(ctx, d)
	if err != nil {
		return 0, err
	}
	// From here on the client is not needed any more.
	return u.size, u.commit(context.WithoutCancel(ctx), r, d, verified)
}

// commit does what Commit says with data that all has arrived.
func (u *Upload) commit(ctx context.Context, r Repository, d digest.Digest, verified bool) error {
	err := u.completeFile(ctx)
	if err == nil && !verified {
		err = u.verifyContent(ctx, d)
	}
	if err == nil {
		err = u.settle(ctx, d)
	}
	if err == nil {
		err = u.store.LinkBlob(ctx, r, d)
	}
	if err != nil {
		if u.ended { // a mismatch has cancelled it
			return err
		}
		return u.broken(ctx, err)
	}
	u.ended = true
	defer u.store.uploads.release(u.id)
	return u.remove(ctx)
}

// verifyHash compares the hash that ran along. verified is false when there is none of
// the algorithm.
func (u *Upload) verifyHash(ctx context.Context, d digest.Digest) (verified bool, err error) {
	if u.hash == nil || u.hash.algorithm != d.Algorithm() {
		return false, nil
	}
	if got := u.hash.digest(); got != d {
		return false, u.mismatch(ctx, d, got)
	}
	return true, nil
}

// completeFile makes the data a file that can be read and moved, and is on the disk.
func (u *Upload) completeFile(ctx context.Context) error {
	if u.complete {
		return nil
	}
	if f, ok := u.writer.(fileSyncer); ok && u.synced {
		f.MarkSynced()
	}
	return failure(u.writer.Commit(ctx), "completing", u.path(dataFile))
}

// verifyContent reads the data again: with the hash that ran along being lost or of
// another algorithm, it is the only way.
func (u *Upload) verifyContent(ctx context.Context, d digest.Digest) error {
	path := u.path(dataFile)
	r, err := u.store.driver.Reader(ctx, path, 0)
	if err != nil {
		return failure(err, "reading", path)
	}
	defer r.Close()
	h := newRunningHash(d.Algorithm())
	size, err := receiver{to: h, max: -1}.copy(ctx, r)
	if err != nil {
		return failure(err, "reading", path)
	}
	if size != u.size {
		return fmt.Errorf("reading %s: it has %d bytes, not %d", path, size, u.size)
	}
	if got := h.digest(); got != d {
		return u.mismatch(ctx, d, got)
	}
	return nil
}

// mismatch removes the upload, which has another content than announced.
func (u *Upload) mismatch(ctx context.Context, want, got digest.Digest) error {
	err := &DigestMismatch{Want: want, Got: got}
	if cancelErr := u.Cancel(ctx); cancelErr != nil {
		return fmt.Errorf("%w; removing the upload failed too: %w", err, cancelErr)
	}
	return err
}

// settle moves the completed file.
func (u *Upload) settle(ctx context.Context, d digest.Digest) error {
	w := u.writer
	u.writer, u.complete = nil, u.store.object
	return u.store.settle(ctx, w, u.path(dataFile), d, u.size)
}
