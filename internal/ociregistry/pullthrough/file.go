package pullthrough

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
)

// errTempFull is the error for temporary files that would exceed Options.MaxTempBytes.
var errTempFull = errors.New("temporary files have reached their size limit")

// file has the received bytes for readers. Its last user closes it; that deletes the content
// unless the file has a name by then.
type file struct {
	*os.File
	users atomic.Int64
	// temp counts the bytes of temporary files; nil for a file of storage.
	temp *atomic.Int64
	size int64
}

// newFile returns a file with one user.
func newFile(f *os.File) *file {
	shared := &file{File: f}
	shared.users.Store(1)
	return shared
}

// newTempFile returns a file without a name, so that it does not outlive the process. A process
// killed before the name is removed leaves it behind, see removeLeftovers.
func (m *Mirror) newTempFile() (*file, error) {
	f, err := os.CreateTemp(m.opts.TempDir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("creating a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.Close()
		return nil, fmt.Errorf("creating a temporary file: %w", err)
	}
	shared := newFile(f)
	shared.temp = &m.temp
	return shared, nil
}

// add appends to a temporary file, up to a bound for all temporary files together.
func (f *file) add(p []byte, bound int64) error {
	n := int64(len(p))
	if f.temp.Add(n) > bound {
		f.temp.Add(-n)
		return errTempFull
	}
	f.size += n
	if _, err := f.Write(p); err != nil {
		return fmt.Errorf("writing a temporary file: %w", err)
	}
	return nil
}

// acquire adds a user. It returns false if the last user has released the file.
func (f *file) acquire() bool {
	for {
		n := f.users.Load()
		if n == 0 {
			return false
		}
		if f.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends one use. Only the writer calls add, before its release, so the size is final
// at the last release.
func (f *file) release() {
	if f.users.Add(-1) > 0 {
		return
	}
	f.Close()
	if f.temp != nil {
		f.temp.Add(-f.size)
	}
}
