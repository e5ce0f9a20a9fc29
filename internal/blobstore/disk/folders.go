package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"golang.org/x/sync/errgroup"
)

// parallelSyncs is how many folders are synced at a time.
const parallelSyncs = 8

// SyncFolders returns when the names of all files that were put into the folders are on
// the disk, and the folders' own. A folder that is gone has nothing to lose.
func (d *Driver) SyncFolders(ctx context.Context, paths ...string) error {
	full := make([]string, len(paths))
	for i, path := range paths {
		if path != "" && !valid(path) {
			return storagedriver.InvalidPathError{Path: path, DriverName: d.Name()}
		}
		full[i] = d.root + path
	}
	return d.failed(strings.Join(paths, ", "), d.syncFolders(ctx, full...))
}

// syncFolders syncs folders, and above each as far up as is not known to be on the disk.
// A folder without others below it is not remembered: there are as many as blobs, and each
// is synced once.
func (d *Driver) syncFolders(ctx context.Context, folders ...string) error {
	unsynced := make(map[string]struct{}, 2*len(folders)+4)
	var above []string
	for _, folder := range folders {
		unsynced[folder] = struct{}{}
		for f := folder; f != d.root; {
			f = filepath.Dir(f)
			unsynced[f] = struct{}{}
			if f == d.root || d.durable.has(f) {
				break
			}
			above = append(above, f)
		}
	}
	// One after the other they would wait for the disk as often as there are folders.
	// Together, one write of the filesystem's journal or one flush serves several.
	var group errgroup.Group
	group.SetLimit(parallelSyncs)
	for folder := range unsynced {
		group.Go(func() error { return d.syncFolder(ctx, folder) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	d.durable.add(above)
	return nil
}

func (d *Driver) syncFolder(ctx context.Context, folder string) error {
	if err := d.acquire(ctx); err != nil {
		return err
	}
	defer d.release()
	f, err := os.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	err = d.fsync(f)
	// Some filesystems (CIFS, some of FUSE) have no sync of folders.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}

// inFolder makes a folder and does something in it, again when the folder was removed in
// between. After a few attempts it keeps this driver's removals away: removals that are
// faster than the making of a folder would win each time. What fails because something else is missing
// fails in the end, and so does a folder that another process goes on removing.
func (d *Driver) inFolder(folder string, do func() error) error {
	for range attempts {
		if err := d.tryInFolder(folder, do); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	d.removals.Lock()
	defer d.removals.Unlock()
	return d.tryInFolder(folder, do)
}

func (d *Driver) tryInFolder(folder string, do func() error) error {
	if err := d.makeFolder(folder); err != nil {
		return err
	}
	return do()
}

// makeFolder makes a folder and those above it that are missing.
func (d *Driver) makeFolder(folder string) error {
	err := os.Mkdir(folder, folderMode)
	for range attempts {
		if !errors.Is(err, fs.ErrNotExist) || folder == d.root {
			break
		}
		if err := d.makeFolder(filepath.Dir(folder)); err != nil {
			return err
		}
		err = os.Mkdir(folder, folderMode)
	}
	if err == nil {
		d.durable.forget(folder)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
