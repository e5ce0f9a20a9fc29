package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// RemoveEmpty removes a folder and those below it as far as they are empty. Folders that have a
// file stay, with those above them. A file that is written meanwhile is safe: its folder is made
// again.
func (d *Driver) RemoveEmpty(ctx context.Context, path string) error {
	full, err := d.enter(ctx, path)
	if err != nil {
		return err
	}
	defer d.release()
	_, err = d.removeEmpty(ctx, full)
	return d.failed(path, err)
}

// removeEmpty reports whether the folder is gone.
func (d *Driver) removeEmpty(ctx context.Context, folder string) (gone bool, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist), err
	}
	empty := true
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if !entry.IsDir() {
			empty = false
			continue
		}
		below, err := d.removeEmpty(ctx, filepath.Join(folder, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		empty = empty && below
	}
	if !empty {
		return false, nil
	}
	return d.removeFolder(folder)
}

// RemoveFolder removes a folder if it is empty; it does not read it.
func (d *Driver) RemoveFolder(ctx context.Context, path string) error {
	full, err := d.enter(ctx, path)
	if err != nil {
		return err
	}
	defer d.release()
	_, err = d.removeFolder(full)
	return d.failed(path, err)
}

// removeFolder reports whether the folder is gone. It is forgotten afterwards: what needs it in
// between makes it again, which forgets it too.
func (d *Driver) removeFolder(folder string) (gone bool, err error) {
	d.removals.RLock()
	err = os.Remove(folder)
	d.removals.RUnlock()
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return false, nil
	}
	if err == nil {
		d.durable.forget(folder)
	}
	return err == nil, err
}
