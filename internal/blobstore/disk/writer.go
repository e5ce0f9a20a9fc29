package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// writer writes one file, which is locked meanwhile.
type writer struct {
	driver *Driver
	ctx    context.Context
	path   string
	file   *os.File
	size   int64
	// synced is the size up to which the file is known to be on the disk, -1 for unknown.
	synced int64
	ended  string // "", "committed", "cancelled", "closed"
}

// Writer opens a file for writing, from its end on if it appends, and locks it
// until the writer is closed or cancelled. Commit returns when all of it is on the disk;
// Close does not wait for that.
func (d *Driver) Writer(ctx context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	full, err := d.enter(ctx, path)
	if err != nil {
		return nil, err
	}
	defer d.release()
	w := &writer{driver: d, ctx: ctx, path: path, synced: -1}
	if w.file, err = d.openLocked(full, appending); err != nil {
		return nil, d.failed(path, err)
	}
	if appending {
		if w.size, err = w.file.Seek(0, 2); err != nil {
			w.file.Close()
			return nil, d.failed(path, err)
		}
	}
	return w, nil
}

// openLocked opens a file and locks it. A file that was renamed or removed between the
// two is let go: it may be a stored blob by now.
func (d *Driver) openLocked(full string, appending bool) (*os.File, error) {
	if !appending { // most likely it is new, and takes no more looking at
		f, err := d.openFile(full, os.O_EXCL)
		if !errors.Is(err, os.ErrExist) {
			return locked(f, err)
		}
	}
	for range attempts {
		f, err := locked(d.openFile(full, 0))
		if err != nil {
			return nil, err
		}
		if same(f, full) {
			if appending {
				return f, nil
			}
			if err = f.Truncate(0); err == nil {
				return f, nil
			}
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("locking %s: %w", full, syscall.EWOULDBLOCK)
}

func (d *Driver) openFile(full string, flag int) (f *os.File, err error) {
	open := func() error {
		f, err = os.OpenFile(full, os.O_WRONLY|os.O_CREATE|flag, fileMode)
		return err
	}
	if err = open(); !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	err = d.inFolder(filepath.Dir(full), open)
	return f, err
}

// locked is an opened file with its lock.
func locked(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lock takes the file's lock or fails at once. Filesystems without locks are for one
// process; within it, uploads are kept apart by the blob store.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil, errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOSYS),
		errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.EINVAL):
		return nil
	default:
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
}

// same reports whether an open file is still the one of that name.
func same(f *os.File, full string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(full)
	return err == nil && os.SameFile(opened, named)
}

// Write appends to the file.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.open(); err != nil {
		return 0, err
	}
	if err := w.driver.acquire(w.ctx); err != nil {
		return 0, err
	}
	defer w.driver.release()
	n, err := w.file.Write(p)
	w.size += int64(n)
	if err != nil {
		err = fmt.Errorf("filesystem: %w", err)
	}
	return n, err
}

// Size is the number of bytes in the file.
func (w *writer) Size() int64 { return w.size }

// Sync returns when all that was written is on the disk.
func (w *writer) Sync() error {
	if err := w.open(); err != nil {
		return err
	}
	if w.synced == w.size {
		return nil
	}
	if err := w.driver.acquire(w.ctx); err != nil {
		return err
	}
	defer w.driver.release()
	if err := w.driver.fsync(w.file); err != nil {
		return fmt.Errorf("filesystem: %w", err)
	}
	w.synced = w.size
	return nil
}

// MarkSynced records that the file, as it was opened, is on the disk already.
func (w *writer) MarkSynced() { w.synced = w.size }

// Commit returns when the whole file is on the disk. It stays locked until Close, so
// that no process writes to it while it is moved.
func (w *writer) Commit(context.Context) error {
	err := w.Sync()
	if err == nil {
		w.ended = "committed"
	}
	return err
}

// Close unlocks the file and leaves it where it is.
func (w *writer) Close() error {
	if w.ended == "closed" || w.ended == "cancelled" {
		return fmt.Errorf("filesystem: closing %s: already %s", w.path, w.ended)
	}
	w.ended = "closed"
	return w.file.Close()
}

// Cancel removes the file.
func (w *writer) Cancel(context.Context) error {
	if err := w.open(); err != nil {
		return err
	}
	w.ended = "cancelled"
	err := os.Remove(w.file.Name())
	return errors.Join(err, w.file.Close())
}

func (w *writer) open() error {
	if w.ended != "" {
		return fmt.Errorf("filesystem: writing %s: already %s", w.path, w.ended)
	}
	return nil
}
