package standalone

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// dataLock keeps a second process out of a data folder.
type dataLock struct{ file *os.File }

// lockData makes the folder if need be and takes its lock, which the kernel
// releases when the process ends, however it does.
func lockData(dir string) (*dataLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder (--data-dir): %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		closed := f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("the data folder %s is in use by another weir; stop that one or choose another --data-dir", dir)
		}
		return nil, fmt.Errorf("locking the data folder %s: %w", dir, errors.Join(err, closed))
	}
	return &dataLock{f}, nil
}

func (l *dataLock) release() { _ = l.file.Close() } // closing releases the lock
