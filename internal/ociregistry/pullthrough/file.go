package pullthrough

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
)

// errTempFull is a temporary file that would exceed Options.MaxTempBytes.
var errTempFull = errors.New("temporary files take as much space as they may")

// file is where readers find what has arrived. It is closed with the last of its users,
// and its content goes with it unless it has a name by then.
type file struct {
	*os.File
	users atomic.Int64
	// temp is where the bytes of a temporary file are counted, nil for one of storage.
	temp *atomic.Int64
	size int64
}

// newFile has one user.
func newFile(f *os.File) *file {
	shared := &file{File: f}
	shared.users.Store(1)
	return shared
}

// newTempFile makes a file without a name, so that nothing of it outlives the process. A process that
// is killed in between leaves the name, see removeLeftovers.
func (m *Mirror) newTempFile() (*file, error) {
	f, err := os.CreateTemp(m.opts.TempDir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.Close()
		return nil, fmt.Errorf("making a temporary file: %w", err)
	}
	shared := newFile(f)
	shared.temp = &m.temp
	return shared, nil
}

// add appends to a temporary file whose bytes together are bounded.
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

// acquire adds a user; false when the last one has left already.
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

// release is the end of one use. Only the writer adds, and it does so before it releases,
// so the size is final when the last user leaves.
func (f *file) release() {
	if f.users.Add(-1) > 0 {
		return
	}
	f.Close()
	if f.temp != nil {
		f.temp.Add(-f.size)
	}
}
