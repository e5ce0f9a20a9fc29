package diskspace

import "syscall"

// Measure returns the space of a folder's file system that this process can use. The errors are
// the operating system's.
func Measure(folder string) (Usage, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return Usage{}, err
	}
	block := int64(s.Bsize) //nolint:unconvert // other systems have other types here
	return Usage{
		Free: int64(s.Bavail) * block, Total: int64(s.Blocks) * block,
		FreeInodes: int64(s.Ffree), TotalInodes: int64(s.Files),
	}, nil
}

// SameDisk reports whether two folders are on one file system. It returns false if one of them
// cannot be read.
func SameDisk(a, b string) bool {
	var one, other syscall.Stat_t
	return syscall.Stat(a, &one) == nil && syscall.Stat(b, &other) == nil && one.Dev == other.Dev
}
