package etcd

import "go.etcd.io/etcd/server/v3/embed"

// etcd's defaults are for members that catch up with each other over a network. This one is
// alone, so that an entry of the log that is applied serves nothing but a restart. An entry is
// up to 2 MiB large: a whole image stream.
const (
	// snapshotCount is after how many entries the log begins anew. A restart reads at most as
	// many into memory; the default are 10,000.
	snapshotCount = 1000
	// catchUpEntries is how many applied entries stay in memory; the default are 5,000.
	catchUpEntries = 50
)

// boundLog bounds the write-ahead log, on disk and in memory.
func boundLog(cfg *embed.Config) {
	cfg.SnapshotCount = snapshotCount
	cfg.SnapshotCatchUpEntries = catchUpEntries
}
