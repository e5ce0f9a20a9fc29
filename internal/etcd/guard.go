package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weir.dev/weir/internal/diskspace"
)

const (
	// writtenTwice: what is put is in the log and in the database.
	writtenTwice = 2
	// growth is the size that an update may add when there is no room: a deletion's time, a
	// finalizer's end, conditions of a namespace that is deleted.
	growth = 4 << 10
	// spareTime is the time in which updates may put spareBytes anew: the API server compacts
	// what they replace.
	spareTime = 5 * time.Minute
	// smallBytes is the size up to which updates are counted apart from those of large objects.
	smallBytes = 64 << 10
	// compactionKey is written before each compaction by the API server. It is not counted:
	// compacting makes room.
	compactionKey      = "compact_rev_key"
	compactionKeyBytes = 64
	// fullPrefix marks refusals among the errors of clients.
	fullPrefix = "weir: no room: "
)

// kind is a kind of updates that do not grow. Each has an allowance of its own, so that none takes
// that of another: of the objects of one tenant, the updates of all others, and the removal of tags.
type kind int

const (
	small     kind = iota // of small objects: finalizers, conditions, leases
	shrinking             // that make a large object smaller: a tag is removed
	steady                // others of large objects: a deletion's time
	kinds
)

// spareBytes are the bytes that updates of each kind may put at once, and again in spareTime.
var spareBytes = [kinds]int{small: 4 << 20, shrinking: 8 << 20, steady: 4 << 20}

// Texts for clients of the API, who need not learn where the disk is.
const (
	diskFullText  = "the disk of the server is almost full: what takes more room is refused, reading and deleting go on"
	quotaFullText = "the server's database has almost reached its limit: what takes more room is refused, reading and deleting go on"
	otherFullText = "etcd has reached its quota: what takes more room is refused until etcd is compacted, defragmented and its alarm disarmed"
)

// quotaError is a database that would become larger than it may be, in bytes.
type quotaError struct{ inUse, quota int64 }

func (e *quotaError) Error() string {
	return fmt.Sprintf("etcd's database has %s in use, and %s are allowed (etcd.quota)", diskspace.Bytes(e.inUse), diskspace.Bytes(e.quota))
}

// Cause is why an etcd, the embedded one or another, refused a client's request for want of
// room, in words for clients of the API; "" for other errors.
func Cause(err error) string {
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return otherFullText
	}
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.ResourceExhausted {
		return ""
	}
	if why, ours := strings.CutPrefix(s.Message(), fullPrefix); ours {
		return why
	}
	return ""
}

// Refusal is why what is new is refused at the moment, "" when it is not.
func (s *Server) Refusal() string {
	err := s.guard.full(putOverhead)
	if err == nil {
		return ""
	}
	return s.guard.refuse(err)
}

// guard refuses what the disk or the database has no room for, before it is in etcd's log:
// an etcd that cannot write ends the process. What deletes goes on, and so do updates that
// do not grow, since objects with finalizers are deleted and tags are removed by updates.
//
// It stands for etcd's own quota, which counts free pages of the database as used, and whose
// alarm has to be disarmed by hand.
type guard struct {
	reserve *diskspace.Reserve
	quota   int64
	spare   [kinds]*rate.Limiter // bytes
	server  atomic.Pointer[etcdserver.EtcdServer]
	refused atomic.Int64
}

func newGuard(reserve *diskspace.Reserve, quota int64) *guard {
	g := &guard{reserve: reserve, quota: quota}
	for k, bytes := range spareBytes {
		g.spare[k] = rate.NewLimiter(rate.Limit(float64(bytes)/spareTime.Seconds()), bytes)
	}
	return g
}

// intercept is a grpc.UnaryServerInterceptor.
func (g *guard) intercept(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := g.admit(ctx, writeOf(request)); err != nil {
		return nil, status.Error(codes.ResourceExhausted, fullPrefix+g.refuse(err))
	}
	return next(ctx, request)
}

// refuse counts a refusal, and says why.
func (g *guard) refuse(err error) string {
	g.refused.Add(1)
	var quota *quotaError
	if errors.As(err, &quota) {
		return quotaFullText
	}
	return diskFullText
}

func (g *guard) admit(ctx context.Context, w write) error {
	if w.bytes == 0 {
		return nil
	}
	full := g.full(w.bytes)
	if full == nil {
		return nil
	}
	if k, ok := g.replaces(ctx, w); ok && g.spare[k].AllowN(time.Now(), int(w.bytes)) {
		return nil
	}
	return full
}

// full is why so many bytes cannot be put, nil when they can.
func (g *guard) full(bytes int64) error {
	if err := g.reserve.Admit(writtenTwice * bytes); err != nil {
		return err
	}
	if inUse := g.inUse(); inUse+bytes > g.quota {
		return &quotaError{inUse, g.quota}
	}
	return nil
}

// inUse is the size of the database without free pages.
func (g *guard) inUse() int64 {
	if s := g.server.Load(); s != nil {
		return s.Backend().SizeInUse()
	}
	return 0
}

// replaces reports whether all that is put replaces as much, and of which kind such a write is.
func (g *guard) replaces(ctx context.Context, w write) (k kind, ok bool) {
	s := g.server.Load()
	if s == nil || w.lease {
		return 0, false
	}
	added := 0
	for _, p := range w.puts {
		found, err := s.KV().Range(ctx, p.GetKey(), nil, mvcc.RangeOptions{})
		if err != nil || len(found.KVs) == 0 {
			return 0, false
		}
		more := len(p.GetValue()) - len(found.KVs[0].GetValue())
		if more > growth {
			return 0, false
		}
		added += more
	}
	return kindOf(w.bytes, added), true
}

// kindOf is the kind of an update that puts some bytes, of which some are more than it replaces.
func kindOf(bytes int64, added int) kind {
	switch {
	case bytes <= smallBytes:
		return small
	case added < 0:
		return shrinking
	}
	return steady
}

// write describes the puts of a request.
type write struct {
	puts  []*pb.PutRequest
	lease bool
	// bytes is about what the puts take; 0 for requests that only read, delete or compact, or
	// prepare a compaction.
	bytes int64
}

// putOverhead is about what a key and a lease take beside their bytes, as etcd counts.
const putOverhead = 256

// writeOf looks at a request of any kind.
func writeOf(request any) (w write) {
	switch r := request.(type) {
	case *pb.PutRequest:
		w.add(r)
	case *pb.TxnRequest:
		w.addAll(r)
	case *pb.LeaseGrantRequest:
		w.lease, w.bytes = true, putOverhead
	}
	return w
}

func (w *write) add(p *pb.PutRequest) {
	if string(p.GetKey()) == compactionKey && len(p.GetValue()) <= compactionKeyBytes {
		return
	}
	w.puts = append(w.puts, p)
	w.bytes += putOverhead + int64(len(p.GetKey())+len(p.GetValue()))
}

func (w *write) addAll(t *pb.TxnRequest) {
	for _, branch := range [][]*pb.RequestOp{t.GetSuccess(), t.GetFailure()} {
		for _, op := range branch {
			if p := op.GetRequestPut(); p != nil {
				w.add(p)
			}
			if inner := op.GetRequestTxn(); inner != nil {
				w.addAll(inner)
			}
		}
	}
}
