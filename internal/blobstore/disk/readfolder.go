package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// ReadFolder lists the files and folders in a folder, sorted by name, with the size and
// time of each file. It reads the folder once and each file's metadata once. It leaves out
// names that no driver's path can have, and files that are removed meanwhile.
func (d *Driver) ReadFolder(ctx context.Context, path string) ([]storagedriver.FileInfo, error) {
	full, err := d.enter(ctx, path)
	if err != nil {
		return nil, err
	}
	defer d.release()
	entries, err := os.ReadDir(full)
	if err != nil {
		return nil, d.failed(path, err)
	}
	found := make([]storagedriver.FileInfo, 0, len(entries))
	for _, entry := range entries {
		if !valid("/" + entry.Name()) {
			continue
		}
		fields, err := fieldsOf(entry, full)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, d.failed(path, err)
		}
		fields.Path = path + "/" + entry.Name()
		found = append(found, storagedriver.FileInfoInternal{FileInfoFields: fields})
	}
	return found, nil
}

// fieldsOf describes an entry of a folder, without its path. Pipes and other special files
// are fs.ErrNotExist. Symbolic links are followed, as everywhere in the drivers.
func fieldsOf(entry fs.DirEntry, folder string) (fields storagedriver.FileInfoFields, err error) {
	if entry.IsDir() {
		return storagedriver.FileInfoFields{IsDir: true}, nil
	}
	info, err := entry.Info()
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		info, err = os.Stat(folder + "/" + entry.Name())
	}
	switch {
	case err != nil:
		return fields, err
	case info.IsDir():
		return storagedriver.FileInfoFields{IsDir: true}, nil
	case !info.Mode().IsRegular():
		return fields, fs.ErrNotExist
	default:
		return storagedriver.FileInfoFields{Size: info.Size(), ModTime: info.ModTime()}, nil
	}
}
