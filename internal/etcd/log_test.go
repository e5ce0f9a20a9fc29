package etcd_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// TestARestartReadsFewEntries: an entry may be a stream of 2 MiB, and a start reads all entries
// since the last snapshot into memory.
func TestARestartReadsFewEntries(t *testing.T) {
	dir := t.TempDir()
	withMember(t, dir, func(c *clientv3.Client) {
		writers, ctx := errgroup.WithContext(t.Context())
		for w := range 50 {
			writers.Go(func() error {
				for i := range 60 {
					if _, err := c.Put(ctx, fmt.Sprintf("k-%d-%d", w, i), "v"); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := writers.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	folder := filepath.Join(dir, "member", "member", "wal")
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), folder)
	if err != nil {
		t.Fatal(err)
	}
	log, err := wal.OpenForRead(zap.NewNop(), folder, snapshots[len(snapshots)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	_, _, entries, err := log.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 1100 {
		t.Errorf("after 3,000 writes a start reads %d entries, want about 1,000 at most", len(entries))
	}
	withMember(t, dir, func(c *clientv3.Client) {
		got, err := c.Get(context.Background(), "k-", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil || got.Count != 3000 {
			t.Errorf("after the restart: %v, %v", got, err)
		}
	})
}

// TestAppliedEntriesLeaveMemory: the log in memory holds the last hundred or so entries, not the
// 5,000 of etcd's default.
func TestAppliedEntriesLeaveMemory(t *testing.T) {
	const writes, size, most = 500, 256 << 10, 64 << 20 // 125 MiB are written
	value := make([]byte, size)
	_, _ = rand.Read(value)
	withMember(t, t.TempDir(), func(c *clientv3.Client) {
		before := heap()
		for i := range writes {
			if _, err := c.Put(t.Context(), fmt.Sprint("k", i%3), string(value)); err != nil {
				t.Fatal(err)
			}
		}
		if grown := heap() - before; grown > most {
			t.Errorf("%d writes of %d KiB leave %d MiB in memory, want %d at most", writes, size>>10, grown>>20, most>>20)
		}
	})
}

func heap() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
