// Package disk provides the storage driver for a plain filesystem: distribution's, with
// the same files in the same places, made to survive a power cut and to cost less.
//
// Distribution's driver renames a file without syncing the folder that then names it,
// makes folders and checks files that exist already, and writes through a buffer of
// 4 KiB. Here a move returns when the file's new name is on the disk, a folder is made
// when it turns out to be missing, and small files whose loss is harmless can be written
// without waiting for the disk (PutUnsynced, SyncFolders). A file that is being written is
// locked (flock), so that processes which share the folder keep out of each other's
// uploads.
package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

const (
	// DefaultMaxThreads bounds calls of the filesystem at one time. Each takes a thread
	// of the operating system while the disk works, and Go ends a process that needs
	// 10,000: a network filesystem that hangs must not get there. 256 keeps the queue
	// of a fast disk full and costs a few megabytes when it hangs.
	DefaultMaxThreads = 256
	// MinThreads is the least that can be configured: distribution's driver takes less
	// than 25 for 25.
	MinThreads = 25
	// MaxThreads is the most that can be configured.
	MaxThreads = 5000

	// The umask decides who may read, as with distribution's driver: replicas that run
	// under different users share a group.
	folderMode = 0o777
	fileMode   = 0o666
	// attempts at what a deletion of the same folder can come between.
	attempts = 5
)

// Driver is a storagedriver.StorageDriver over the files below a root folder. It is safe
// for concurrent use. Errors are PathNotFoundError, InvalidPathError and
// InvalidOffsetError as with every driver, and otherwise wrap the operating system's
// (errors.Is with a syscall.Errno); a Writer of a file that another one has open is
// syscall.EWOULDBLOCK.
type Driver struct {
	*filesystem.Driver // lists, walks, has no redirects
	root               string
	slots              chan struct{}
	durable            folderSet
	// removals is read-locked while folders are removed, and locked to make one that others
	// keep removing.
	removals sync.RWMutex
	// fsync is (*os.File).Sync; tests look at what is synced.
	fsync func(*os.File) error
}

// Open makes the root folder where it is missing, closed to other users, and returns its
// driver. maxThreads is at least MinThreads and at most MaxThreads.
func Open(root string, maxThreads int) (*Driver, error) {
	if maxThreads < MinThreads || maxThreads > MaxThreads {
		return nil, fmt.Errorf("opening the registry's folder %s: the number of threads, %d, must be between %d and %d",
			root, maxThreads, MinThreads, MaxThreads)
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("finding the registry's folder %s: %w", root, err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, fmt.Errorf("creating the registry's folder: %w", err)
	}
	return &Driver{
		Driver: filesystem.New(filesystem.DriverParameters{RootDirectory: abs, MaxThreads: uint64(maxThreads)}),
		root:   abs,
		slots:  make(chan struct{}, maxThreads),
		fsync:  (*os.File).Sync,
	}, nil
}

// Root is the absolute path of the folder.
func (d *Driver) Root() string { return d.root }

// GetContent reads a whole file.
func (d *Driver) GetContent(ctx context.Context, path string) ([]byte, error) {
	full, err := d.enter(ctx, path)
	if err != nil {
		return nil, err
	}
	defer d.release()
	content, err := os.ReadFile(full)
	if errors.Is(err, syscall.EISDIR) {
		err = fs.ErrNotExist
	}
	return content, d.failed(path, err)
}

// Reader opens a file from an offset on. The reader is an *os.File.
func (d *Driver) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, storagedriver.InvalidOffsetError{Path: path, Offset: offset, DriverName: d.Name()}
	}
	full, err := d.enter(ctx, path)
	if err != nil {
		return nil, err
	}
	defer d.release()
	f, err := os.Open(full)
	if err != nil {
		return nil, d.failed(path, err)
	}
	// A folder can be opened too, and fails at the first read only.
	if info, err := f.Stat(); err != nil || info.IsDir() {
		f.Close()
		return nil, d.failed(path, cmpErr(err, fs.ErrNotExist))
	}
	if offset > 0 {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			f.Close()
			return nil, d.failed(path, err)
		}
	}
	return f, nil
}

// Stat returns a file's size and the time of its last write.
func (d *Driver) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	if path == "/" {
		return d.Driver.Stat(ctx, path)
	}
	full, err := d.enter(ctx, path)
	if err != nil {
		return nil, err
	}
	defer d.release()
	info, err := os.Stat(full)
	if err != nil {
		return nil, d.failed(path, err)
	}
	fields := storagedriver.FileInfoFields{Path: path, ModTime: info.ModTime(), IsDir: info.IsDir()}
	if !fields.IsDir {
		fields.Size = info.Size()
	}
	return storagedriver.FileInfoInternal{FileInfoFields: fields}, nil
}

// PutContent writes a file that is complete or absent, also after a power cut: when it
// returns, the file is on the disk under its name.
func (d *Driver) PutContent(ctx context.Context, path string, content []byte) error {
	full, err := d.enter(ctx, path)
	if err != nil {
		return err
	}
	err = d.put(full, content, true)
	d.release()
	if err != nil {
		return d.failed(path, err)
	}
	return d.failed(path, d.syncFolders(ctx, filepath.Dir(full)))
}

// PutUnsynced writes a file that is complete or absent for every reader, without
// waiting for the disk: a power cut may take it away or leave it empty. SyncFolders makes
// its name last.
func (d *Driver) PutUnsynced(ctx context.Context, path string, content []byte) error {
	full, err := d.enter(ctx, path)
	if err != nil {
		return err
	}
	defer d.release()
	if len(content) == 0 {
		return d.failed(path, d.putEmpty(full))
	}
	return d.failed(path, d.put(full, content, false))
}

// putEmpty makes an empty file. It is complete once it is there, so that it needs no other
// file and no rename. One that is there is emptied and gets a new time.
func (d *Driver) putEmpty(full string) error {
	return d.inFolder(filepath.Dir(full), func() error {
		f, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
		if err != nil {
			return err
		}
		return f.Close()
	})
}

// put writes beside the file and renames.
func (d *Driver) put(full string, content []byte, synced bool) error {
	beside := full + "." + rand.Text() + ".tmp"
	return d.inFolder(filepath.Dir(full), func() error {
		f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		if err == nil && synced {
			err = d.fsync(f)
		}
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(beside, full)
		}
		if err != nil {
			os.Remove(beside)
		}
		return err
	})
}

// Move renames a file, over one that is there, and returns when the new name is on the
// disk.
func (d *Driver) Move(ctx context.Context, from, to string) error {
	if err := d.MoveUnsynced(ctx, from, to); err != nil {
		return err
	}
	return d.SyncFolders(ctx, to[:strings.LastIndexByte(to, '/')])
}

// MoveUnsynced is Move without waiting for the disk: a power cut may take the new name
// away. SyncFolders makes it last.
func (d *Driver) MoveUnsynced(ctx context.Context, from, to string) error {
	fullFrom, err := d.enter(ctx, from)
	if err != nil {
		return err
	}
	defer d.release()
	if !valid(to) {
		return storagedriver.InvalidPathError{Path: to, DriverName: d.Name()}
	}
	fullTo := d.root + to
	var missing error
	err = d.inFolder(filepath.Dir(fullTo), func() error {
		err := os.Rename(fullFrom, fullTo)
		if errors.Is(err, fs.ErrNotExist) {
			if _, missing = os.Lstat(fullFrom); missing != nil {
				return nil
			}
		}
		return err
	})
	if missing != nil {
		return d.failed(from, missing)
	}
	return d.failed(to, err)
}

// Delete removes a file, or a folder with all that is in it.
func (d *Driver) Delete(ctx context.Context, path string) error {
	full, err := d.enter(ctx, path)
	if err != nil {
		return err
	}
	defer d.release()
	d.durable.forget(full)
	d.removals.RLock()
	defer d.removals.RUnlock()
	err = os.Remove(full)
	// Another process may put a file into the folder while it is emptied.
	for range attempts {
		if !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
			break
		}
		err = os.RemoveAll(full)
	}
	return d.failed(path, err)
}

// List lists what is in a folder.
func (d *Driver) List(ctx context.Context, path string) ([]string, error) {
	if path != "/" && !valid(path) {
		return nil, storagedriver.InvalidPathError{Path: path, DriverName: d.Name()}
	}
	return d.Driver.List(ctx, path)
}

// enter checks a path and waits for the turn to ask the filesystem, which ends with
// release.
func (d *Driver) enter(ctx context.Context, path string) (full string, err error) {
	if !valid(path) {
		return "", storagedriver.InvalidPathError{Path: path, DriverName: d.Name()}
	}
	return d.root + path, d.acquire(ctx)
}

func (d *Driver) acquire(ctx context.Context) error {
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("filesystem: waiting for a free thread: %w", ctx.Err())
	}
}

func (d *Driver) release() { <-d.slots }

// Name is that of distribution's driver. (Its own waits for a turn to say so.)
func (d *Driver) Name() string { return "filesystem" }

// failed gives an error of the operating system its place among the drivers' errors.
func (d *Driver) failed(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return storagedriver.PathNotFoundError{Path: path, DriverName: d.Name()}
	default:
		return fmt.Errorf("filesystem: %w", err)
	}
}

// cmpErr is the first error that there is.
func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// valid reports whether a path has the drivers' form: /a/b, of letters, digits, ".", "_"
// and "-". Unlike distribution's rule it allows no "." and ".." components: nothing leads
// out of the root.
func valid(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	length, dots := 0, 0
	for i := 1; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			if length == 0 || (dots == length && dots <= 2) {
				return false
			}
			length, dots = 0, 0
			continue
		}
		switch c := path[i]; {
		case c == '.':
			dots++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
		length++
	}
	return true
}
