package etcd

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/diskspace"
)

const (
	keepInterval = time.Second
	// compactInterval is the time between two compactions of a database that is almost full,
	// and the age of what is compacted: who reads a list in pages is to come to its end.
	compactInterval = 10 * time.Second
	// almostFull is the part of the quota from which on the database is compacted sooner than
	// the API server does.
	almostFull = 0.9
)

// keeper looks after the room that etcd has: it gives the ballast free and makes it again,
// and compacts a database that is almost full.
type keeper struct {
	guard   *guard
	ballast ballast
	server  *etcdserver.EtcdServer

	revision int64 // at the last look, compactInterval ago
	looked   time.Time
}

// prepare gives the ballast free if etcd could not start without it.
func (k *keeper) prepare() error {
	usage, err := k.guard.reserve.Check()
	if err != nil && !diskspace.IsLow(err) {
		return err
	}
	if usage.Free >= floor {
		return nil
	}
	_, err = k.ballast.release()
	return err
}

// run keeps until ctx ends.
func (k *keeper) run(ctx context.Context) {
	k.disarm(ctx)
	ticks := time.NewTicker(keepInterval)
	defer ticks.Stop()
	for {
		k.keepBallast(ctx)
		k.compact(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// disarm ends the alarm of a quota that an earlier version had: the guard stands for it.
func (k *keeper) disarm(ctx context.Context) {
	for _, alarm := range k.server.Alarms() {
		if alarm.GetAlarm() != pb.AlarmType_NOSPACE {
			continue
		}
		_, err := k.server.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: alarm.GetMemberID(), Alarm: pb.AlarmType_NOSPACE})
		if err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "etcd's alarm about its former quota could not be disarmed")
		}
	}
}

func (k *keeper) keepBallast(ctx context.Context) {
	usage, err := k.guard.reserve.Check()
	if err != nil && !diskspace.IsLow(err) {
		return // what cannot be measured is left as it is
	}
	switch {
	case usage.Free < floor:
		var released bool
		if released, err = k.ballast.release(); released {
			klog.FromContext(ctx).Info("The disk of the data folder is full: room that was held for that was given to etcd", "bytes", k.ballast.bytes)
		}
	case usage.Free >= k.guard.reserve.Bytes()+writtenTwice*k.ballast.bytes:
		err = k.ballast.make()
	default:
		return
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Room on the disk could not be held, or not be given free")
	}
}

// compact drops old revisions of a database that is almost full. What was deleted takes
// room until then.
func (k *keeper) compact(ctx context.Context, now time.Time) {
	if now.Sub(k.looked) < compactInterval {
		return
	}
	last := k.revision
	k.revision, k.looked = k.server.KV().Rev(), now
	if last == 0 || float64(k.guard.inUse()) < almostFull*float64(k.guard.quota) {
		return
	}
	var err error
	if last > k.server.KV().FirstRev() {
		_, err = k.server.Compact(ctx, &pb.CompactionRequest{Revision: last})
	}
	if err == nil || errors.Is(err, mvcc.ErrCompacted) { // by the API server, meanwhile
		err = k.touch(ctx)
	}
	if err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "The database is almost full, and compacting it failed", "revision", last)
	}
}

// touch writes something and takes it away: pages that a transaction gave free are counted,
// and used again, from the next transaction on, and where all is refused there is none.
func (k *keeper) touch(ctx context.Context) error {
	lease, err := k.server.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(compactInterval.Seconds())})
	if err != nil {
		return err
	}
	_, err = k.server.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: lease.GetID()})
	return err
}
