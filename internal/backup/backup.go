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
	// partial is the suffix of a folder that is being written. The folder gets its final name
	// when it is complete.
	partial = ".partial"
	// infoVersion is the version of the layout.
	infoVersion = 1
)

// info describes a backup. It is written last.
type info struct {
	Version int       `json:"version"`
	Began   time.Time `json:"began"`
	// Registry is true if the backup contains the files of the registry; content in an object
	// store is backed up there.
	Registry bool `json:"registry"`
}

// target is a folder that gets its final name once it is complete.
type target struct {
	name, building string
	// lock prevents another process from building the same folder.
	lock *os.File
}

// build creates the folder that becomes name, which must not exist or be an empty folder. It
// removes the files of an earlier attempt that was killed.
func build(name string) (target, error) {
	switch entries, err := os.ReadDir(name); {
	case err == nil && len(entries) > 0:
		return target{}, fmt.Errorf("the folder %s is not empty: name one that does not exist yet", name)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return target{}, fmt.Errorf("reading the folder %s: %w", name, err)
	}
	p := target{name: filepath.Clean(name), building: filepath.Clean(name) + partial}
	if err := os.MkdirAll(p.building, 0o700); err != nil {
		return target{}, fmt.Errorf("creating the folder: %w", err)
	}
	if err := p.acquire(); err != nil {
		p.release()
		return target{}, err
	}
	return p, nil
}

// acquire locks the folder until the process ends, and empties it. It removes only files of a
// folder with the mark of an earlier attempt.
func (p *target) acquire() (err error) {
	if p.lock, err = os.Open(p.building); err != nil {
		return fmt.Errorf("locking the folder: %w", err)
	}
	if err := syscall.Flock(int(p.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process writes to %s", p.building)
	}
	entries, err := os.ReadDir(p.building)
	if err != nil {
		return fmt.Errorf("reading the folder: %w", err)
	}
	if len(entries) > 0 && !exists(p.path(markFile)) {
		return fmt.Errorf("the folder %s exists and is not an incomplete backup: remove it", p.building)
	}
	for _, entry := range entries {
		if entry.Name() == markFile {
			continue
		}
		if err := os.RemoveAll(p.path(entry.Name())); err != nil {
			return fmt.Errorf("removing the files of an earlier attempt: %w", err)
		}
	}
	return os.WriteFile(p.path(markFile), nil, 0o600)
}

// path returns the path of a file or folder in the target.
func (p target) path(name string) string { return filepath.Join(p.building, name) }

// release releases the lock.
func (p target) release() {
	if p.lock != nil {
		_ = p.lock.Close() // nothing is written to it
	}
}

// done syncs the files to disk and gives the folder its final name.
func (p target) done() error {
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

// readInfo reads the description of a backup.
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
