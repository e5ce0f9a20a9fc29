package etcd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"weir.dev/weir/internal/diskspace"
)

// ballastName is a file without meaning in etcd's folder.
const ballastName = "ballast"

// ballast takes room on the disk that is given to etcd when others have filled it: a reserve
// that is only not used would be used by them. With it, etcd's next segment of its log can be
// made, objects can be deleted, and the process starts.
type ballast struct {
	path  string
	bytes int64
}

func newBallast(dir string, usage diskspace.Usage) ballast {
	return ballast{path: filepath.Join(dir, ballastName), bytes: diskspace.Share(usage, 5, 8<<20, 32<<20)}
}

// make puts the file in place, unless it is there, with bytes that no file system makes
// smaller.
func (b ballast) make() error {
	if info, err := os.Stat(b.path); err == nil && info.Size() >= b.bytes {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("making the ballast of the disk: %w", err)
	}
	_, err = io.CopyN(f, rand.Reader, b.bytes)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(b.path)
		return fmt.Errorf("making the ballast of the disk: %w", err)
	}
	return nil
}

// release gives the room free and reports whether there was any.
func (b ballast) release() (bool, error) {
	err := os.Remove(b.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("releasing the ballast of the disk: %w", err)
	}
	return true, nil
}
