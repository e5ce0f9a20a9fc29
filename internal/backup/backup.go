package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// The files of a backup.
const (
	infoFile     = "backup.json"
	etcdFile     = "etcd.db"
	keysName     = "pki"
	registryName = "registry"
	// markFile marks a folder that is being written.
	markFile = ".weir-partial"
	// partial ends the name of a folder that is being written. It gets its own name when it
	// is complete.
	partial = ".partial"
	// infoVersion is the version of the layout.
	infoVersion = 1
)

// info describes a backup. It is written last.
type info struct {
	Version int       `json:"version"`
	Began   time.Time `json:"began"`
	// Registry is true when the files of the registry are in the backup; in an object store
	// they are backed up there.
	Registry bool `json:"registry"`
}

// place is a folder that appears under its name once it is complete.
type place struct {
	name, building string
	// lock keeps another process from building the same.
	lock *os.File
}

// build makes the folder that becomes name, which must not exist, or be an empty folder.
// What an attempt that was killed left there is removed.
func build(name string) (place, error) {
	switch entries, err := os.ReadDir(name); {
	case err == nil && len(entries) > 0:
		return place{}, fmt.Errorf("the folder %s is not empty: name one that does not exist yet", name)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return place{}, fmt.Errorf("looking into the folder %s: %w", name, err)
	}
	p := place{name: filepath.Clean(name), building: filepath.Clean(name) + partial}
	if err := os.MkdirAll(p.building, 0o700); err != nil {
		return place{}, fmt.Errorf("creating the folder: %w", err)
	}
	if err := p.take(); err != nil {
		p.release()
		return place{}, err
	}
	return p, nil
}

// take locks the folder, which the kernel does until the process ends, and empties it. Only what
// has the mark of an earlier attempt is removed.
func (p *place) take() (err error) {
	if p.lock, err = os.Open(p.building); err != nil {
		return fmt.Errorf("locking the folder: %w", err)
	}
	if err := syscall.Flock(int(p.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process writes to %s", p.building)
	}
	entries, err := os.ReadDir(p.building)
	if err != nil {
		return fmt.Errorf("looking into the folder: %w", err)
	}
	if len(entries) > 0 && !exists(p.path(markFile)) {
		return fmt.Errorf("the folder %s is in the way", p.building)
	}
	for _, entry := range entries {
		if entry.Name() == markFile {
			continue
		}
		if err := os.RemoveAll(p.path(entry.Name())); err != nil {
			return fmt.Errorf("removing files of an earlier attempt: %w", err)
		}
	}
	return os.WriteFile(p.path(markFile), nil, 0o600)
}

// path is a file or folder in it.
func (p place) path(name string) string { return filepath.Join(p.building, name) }

// release ends the lock.
func (p place) release() {
	if p.lock != nil {
		_ = p.lock.Close() // nothing is written to it
	}
}

// done gives the folder its name, after its files are on the disk.
func (p place) done() error {
	if err := os.Remove(p.path(markFile)); err != nil {
		return fmt.Errorf("finishing %s: %w", p.name, err)
	}
	syscall.Sync()
	if err := os.Rename(p.building, p.name); err != nil {
		return fmt.Errorf("finishing %s: %w", p.name, err)
	}
	syscall.Sync()
	return nil
}

func writeInfo(path string, i info) error {
	content, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o600)
}

// readInfo reads what a backup has.
func readInfo(folder string) (info, error) {
	var i info
	content, err := os.ReadFile(filepath.Join(folder, infoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return info{}, fmt.Errorf("%s is not a backup of Weir: it has no file %s", folder, infoFile)
	}
	if err == nil {
		err = json.Unmarshal(content, &i)
	}
	switch {
	case err != nil:
		return info{}, fmt.Errorf("reading the backup %s: %w", folder, err)
	case i.Version != infoVersion:
		return info{}, fmt.Errorf("the backup %s has version %d, which this Weir cannot read", folder, i.Version)
	}
	return i, nil
}
