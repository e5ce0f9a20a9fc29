// Package diskspace provides reserves of disk space: bytes kept free on the file system of a
// folder, so that essential writes still succeed when the disk fills up.
package diskspace

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// trustedFor is how long a measurement is used, minus the bytes admitted since.
	trustedFor = 100 * time.Millisecond
	// A file system with less than a hundredth of its inodes free is full as well; on a large
	// one some thousands are enough.
	inodeShare = 100
	maxInodes  = 4096
)

// Usage is the space of a file system, in bytes and inodes. TotalInodes is 0 if the number of
// files is not limited.
type Usage struct {
	Free, Total             int64
	FreeInodes, TotalInodes int64
}

// LowError means that a disk has less free space than its reserve.
type LowError struct {
	Folder string
	Usage  Usage
	// Reserve is in bytes.
	Reserve int64
}

// Error names the folder, the free space and the reserve.
func (e *LowError) Error() string {
	if e.Usage.Free < e.Reserve || !lowOnInodes(e.Usage) {
		return fmt.Sprintf("the disk of %s has %s free, and its reserve is %s", e.Folder, Bytes(e.Usage.Free), Bytes(e.Reserve))
	}
	return fmt.Sprintf("the disk of %s has %d of %d inodes free", e.Folder, e.Usage.FreeInodes, e.Usage.TotalInodes)
}

// Bytes formats a size, such as 1.5Gi.
func Bytes(n int64) string {
	const unit = 1 << 10
	switch {
	case n >= 100*unit*unit*unit:
		return fmt.Sprintf("%dGi", n/(unit*unit*unit))
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1fGi", float64(n)/(unit*unit*unit))
	case n >= unit*unit:
		return fmt.Sprintf("%dMi", n/(unit*unit))
	case n >= unit:
		return fmt.Sprintf("%dKi", n/unit)
	}
	return fmt.Sprint(n)
}

// Share returns a percentage of a file system's size within bounds, in bytes.
func Share(u Usage, percent, least, most int64) int64 {
	return min(max(u.Total/100*percent, least), most)
}

// Reserve keeps space free on the disk of a folder. It is safe for concurrent use.
type Reserve struct {
	folder  string
	reserve int64
	measure func(folder string) (Usage, error)
	now     func() time.Time

	mu       sync.Mutex
	last     Usage
	measured time.Time
	admitted int64 // since then
}

// NewReserve returns a Reserve of bytes on the disk of a folder, which must exist.
func NewReserve(folder string, bytes int64) *Reserve {
	return &Reserve{folder: folder, reserve: bytes, measure: Measure, now: time.Now}
}

// Folder returns the folder.
func (r *Reserve) Folder() string { return r.folder }

// Bytes returns the size of the reserve.
func (r *Reserve) Bytes() int64 { return r.reserve }

// Admit returns a *LowError if that many more bytes would leave less than the reserve, or there
// are hardly any inodes. If the disk cannot be measured it returns nil: a full disk fails the
// write itself.
func (r *Reserve) Admit(bytes int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now().Sub(r.measured) > trustedFor || r.short(bytes) {
		if err := r.update(); err != nil {
			return nil //nolint:nilerr // see above
		}
	}
	if r.short(bytes) {
		return &LowError{Folder: r.folder, Usage: r.last, Reserve: r.reserve}
	}
	r.admitted += bytes
	return nil
}

// Check measures the disk and returns a *LowError if it has less than the reserve.
func (r *Reserve) Check() (Usage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.update(); err != nil {
		return Usage{}, err
	}
	if r.short(0) {
		return r.last, &LowError{Folder: r.folder, Usage: r.last, Reserve: r.reserve}
	}
	return r.last, nil
}

func (r *Reserve) update() error {
	usage, err := r.measure(r.folder)
	if err != nil {
		return fmt.Errorf("measuring the disk of %s: %w", r.folder, err)
	}
	r.last, r.measured, r.admitted = usage, r.now(), 0
	return nil
}

// short reports whether that many more bytes exceed the last measurement.
func (r *Reserve) short(bytes int64) bool {
	return r.last.Free-r.admitted-bytes < r.reserve || lowOnInodes(r.last)
}

func lowOnInodes(u Usage) bool {
	return u.TotalInodes > 0 && u.FreeInodes < min(u.TotalInodes/inodeShare, maxInodes)
}

// IsLow reports whether an error is about a disk with too little space.
func IsLow(err error) bool {
	var low *LowError
	return errors.As(err, &low)
}
