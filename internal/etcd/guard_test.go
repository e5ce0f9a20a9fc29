package etcd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"weir.dev/weir/internal/diskspace"
)

func start(t *testing.T, o Options) (*Server, *clientv3.Client) {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c
}

func put(t *testing.T, c *clientv3.Client, key string, size int) error {
	t.Helper()
	_, err := c.Txn(t.Context()).Then(clientv3.OpPut(key, strings.Repeat("x", size))).Commit()
	return err
}

func wantFull(t *testing.T, what string, err error, text string) {
	t.Helper()
	if Cause(err) != text {
		t.Errorf("%s: %v, want the refusal %q", what, err, text)
	}
}

// On a disk with less than the reserve what takes room is refused, and all else goes on, in
// the same process and after a restart.
func TestLowDisk(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "d")}
	ctx := t.Context()
	t.Run("with room", func(t *testing.T) {
		s, c := start(t, o)
		for _, key := range []string{"kept", "updated", "deleted"} {
			if err := put(t, c, key, 10<<10); err != nil {
				t.Fatal(err)
			}
		}
		if room := s.Room(); room.Err != nil || room.Reserve < 64<<20 || room.Refused != 0 || room.InUse <= 0 || room.Disk.Total <= 0 {
			t.Errorf("%+v", room)
		}
	})
	o.Reserve = 1 << 60
	s, c := start(t, o)
	wantFull(t, "a new key", put(t, c, "new", 10), diskFullText)
	_, err := c.Put(ctx, "new", "x")
	wantFull(t, "a plain put", err, diskFullText)
	_, err = c.Grant(ctx, 100)
	wantFull(t, "a lease", err, diskFullText)
	wantFull(t, "an update that grows", put(t, c, "updated", 15<<10), diskFullText)
	_, err = c.Txn(ctx).Then(clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("new", "x")}, nil)).Commit()
	wantFull(t, "a put in a branch", err, diskFullText)

	if err := put(t, c, "updated", 10<<10+200); err != nil {
		t.Errorf("an update that does not grow: %v", err)
	}
	if _, err := c.Delete(ctx, "deleted"); err != nil {
		t.Errorf("deleting: %v", err)
	}
	got, err := c.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil || got.Count != 2 {
		t.Errorf("reading: %v, %v", got, err)
	}
	if _, err := c.Compact(ctx, got.Header.GetRevision()); err != nil {
		t.Errorf("compacting: %v", err)
	}
	if room := s.Room(); !diskspace.IsLow(room.Err) || room.Refused != 5 {
		t.Errorf("%+v", room)
	}
}

// Updates that do not grow take room too, until they are compacted: there is a bound. Those of large
// objects leave room to those that remove something of them, and both to those of small ones.
func TestSpareIsBounded(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "d")}
	t.Run("with room", func(t *testing.T) {
		_, c := start(t, o)
		for key, size := range map[string]int{"large": 1 << 20, "removed-from": 1 << 20, "small": 1 << 10} {
			if err := put(t, c, key, size); err != nil {
				t.Fatal(err)
			}
		}
	})
	o.Reserve = 1 << 60
	_, c := start(t, o)
	// until counts the updates until one is refused.
	until := func(key string, size func(n int) int) (n int) {
		for n < 20 {
			if err := put(t, c, key, size(n)); err != nil {
				wantFull(t, fmt.Sprintf("update %d of %s", n, key), err, diskFullText)
				return n
			}
			n++
		}
		t.Errorf("nothing bounds the updates of %s", key)
		return n
	}
	if n := until("large", func(int) int { return 1 << 20 }); n < 3 || n > 4 {
		t.Errorf("%d updates of a large key", n)
	}
	if n := until("removed-from", func(n int) int { return 1<<20 - 1 - n }); n < 7 || n > 8 {
		t.Errorf("%d removals from a large key", n)
	}
	if err := put(t, c, "small", 1<<10); err != nil {
		t.Errorf("an update of a small key: %v", err)
	}
}

// The key of the API server's compactions is written without room, or room would never come.
func TestCompactionKeyIsExempt(t *testing.T) {
	_, c := start(t, Options{Dir: filepath.Join(t.TempDir(), "d"), Settings: Settings{Reserve: 1 << 60}})
	for _, value := range []string{"1", "17"} {
		if _, err := c.Txn(t.Context()).Then(clientv3.OpPut("compact_rev_key", value)).Commit(); err != nil {
			t.Errorf("compacting at %s: %v", value, err)
		}
	}
	wantFull(t, "a long value", put(t, c, "compact_rev_key", 10<<10), diskFullText)
}

// Writes beyond the quota are refused, without an alarm; what is deleted makes room once it
// is compacted, which the keeper does.
func TestQuota(t *testing.T) {
	const quota = 8 << 20
	s, c := start(t, Options{Dir: filepath.Join(t.TempDir(), "d"), Settings: Settings{Quota: quota}})
	ctx := t.Context()
	var err error
	n := 0
	for ; err == nil && n < 50; n++ {
		err = put(t, c, fmt.Sprint("key-", n), 400<<10)
	}
	wantFull(t, "a write beyond the quota", err, quotaFullText)
	if room := s.Room(); n < 10 || room.Err == nil || !strings.Contains(room.Err.Error(), "8Mi are allowed (etcd.quota)") || diskspace.IsLow(room.Err) {
		t.Errorf("after %d writes: %+v", n, room)
	}
	if alarms, err := c.AlarmList(ctx); err != nil || len(alarms.Alarms) != 0 {
		t.Errorf("alarms: %v, %v", alarms, err)
	}
	if _, err := c.Delete(ctx, "key-", clientv3.WithPrefix()); err != nil {
		t.Fatalf("deleting: %v", err)
	}
	k := &keeper{guard: s.guard, server: s.member.Server}
	now := time.Now()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for put(t, c, "key-again", 400<<10) != nil || s.Room().Err != nil {
		now = now.Add(compactInterval)
		k.compact(ctx, now)
		select {
		case <-ticks.C:
		case <-deadline.C:
			t.Fatalf("no room after deleting and compacting: %+v", s.Room())
		}
	}
}

// An alarm that an earlier version raised does not outlive the start.
func TestFormerAlarm(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "d")}
	t.Run("raised", func(t *testing.T) {
		s, _ := start(t, o)
		_, err := s.member.Server.Alarm(t.Context(), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: uint64(s.member.Server.MemberID()), Alarm: pb.AlarmType_NOSPACE})
		if err != nil {
			t.Fatal(err)
		}
	})
	s, c := start(t, o)
	k := &keeper{guard: s.guard, server: s.member.Server}
	k.disarm(t.Context())
	if err := put(t, c, "key", 10); err != nil {
		t.Error(err)
	}
}

func TestCause(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("writing: %w", rpctypes.ErrNoSpace), otherFullText},
		{rpctypes.ErrTooManyRequests, ""},
		{errors.New("weir: no room: "), ""},
		{context.Canceled, ""},
		{nil, ""},
	} {
		if why := Cause(test.err); why != test.want {
			t.Errorf("Cause(%v) = %q, want %q", test.err, why, test.want)
		}
	}
}

func TestBallast(t *testing.T) {
	b := newBallast(t.TempDir(), diskspace.Usage{Total: 200 << 20})
	if b.bytes != 10<<20 {
		t.Errorf("%d bytes of 200 MiB", b.bytes)
	}
	for range 2 {
		if err := b.make(); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []bool{true, false} {
		if released, err := b.release(); err != nil || released != want {
			t.Errorf("released %t, %v; want %t", released, err, want)
		}
	}
}
