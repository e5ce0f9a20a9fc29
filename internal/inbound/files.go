package inbound

import (
	"fmt"
	"syscall"
)

const (
	// reserved is the number of files that the process needs besides client connections: embedded
	// etcd and its clients use 90, the rest are for lists of streams, logs and imports.
	reserved = 128
	// filesPerConnection counts a connection and the file that serves it: a blob, or a
	// connection to another registry.
	filesPerConnection = 2
	// minConnections is the minimum for each listener.
	minConnections = 16
	// maxConnections bounds the memory of connections if files are not limited.
	maxConnections = 10000

	// EnoughFiles is a limit of open files that needs no warning.
	EnoughFiles = 4096
)

// Files is the number of files that the process may have open. Go raises the soft limit to the
// hard one when a program starts.
func Files() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("reading the limit of open files: %w", err)
	}
	return uint64(limit.Cur), nil //nolint:unconvert // it has a sign elsewhere
}

// PerListener returns how many connections each of several listeners may accept in a process with
// that limit of open files.
func PerListener(files uint64, listeners int) int {
	if files <= reserved {
		return minConnections
	}
	share := (files - reserved) / filesPerConnection / uint64(listeners)
	return int(min(max(share, minConnections), maxConnections))
}
