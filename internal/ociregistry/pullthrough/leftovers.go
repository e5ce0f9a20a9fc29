package pullthrough

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/klog/v2"
)

// tempPrefix is the prefix of the names of temporary files.
const tempPrefix = "weir-pullthrough-"

// entriesAtOnce is how many entries of the temporary folder are read at a time: it may be shared.
const entriesAtOnce = 1024

// removeLeftovers removes temporary files that killed processes left behind. It is safe while
// other processes use the folder: each removes the name of a file as soon as the file is open,
// and continues with a file whose name is gone already.
func removeLeftovers(folder string) {
	err := eachEntry(folder, func(e fs.DirEntry) error {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), tempPrefix) {
			return nil
		}
		err := os.Remove(filepath.Join(folder, e.Name()))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) { // of another user
			return nil
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		klog.ErrorS(err, "Removing temporary files of an earlier process failed", "folder", folder)
	}
}

// eachEntry calls do for every entry of a folder, and continues after errors.
func eachEntry(folder string, do func(fs.DirEntry) error) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	var failures []error
	for {
		entries, err := f.ReadDir(entriesAtOnce)
		for _, e := range entries {
			if err := do(e); err != nil {
				failures = append(failures, err)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return errors.Join(failures...)
		case err != nil:
			return errors.Join(append(failures, err)...)
		}
	}
}
