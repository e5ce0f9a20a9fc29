// Package etcd runs the embedded etcd of a standalone Weir: one member, inside
// the process, reachable only through a Unix socket that its owner alone may
// open. It is not for clusters: there, Weir is pointed at an etcd of its own
// with --etcd-servers and this package stays unused.
package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"weir.dev/weir/internal/diskspace"
)

const (
	// maxSocketPath is the longest path in sockaddr_un on every Unix, without its closing zero.
	maxSocketPath = 103
	socketName    = "etcd.sock"
	// defaultQuota is the most that the database may hold: 50,000 images with their metadata
	// are about 1 GiB with history between compactions.
	defaultQuota = 8 << 30
	// segmentBytes is the size of an empty segment of the log. There are two
	// at the least, and the next is made when one is full: it has to find room on a disk that
	// is almost full, which etcd's own 64 MB may not.
	segmentBytes = 16 << 20
	// largestPut is about what the API server writes at once at most.
	largestPut = 4 << 20
	// floor is the room that etcd needs to go on: a segment, and what is written at once.
	floor = segmentBytes + 8<<20
)

func init() { wal.SegmentSizeBytes = segmentBytes }

// Options say where the member keeps its data.
type Options struct {
	// Dir holds the member's write-ahead log and database; made when missing.
	Dir string
	// StartTimeout bounds the time from start to a served client; default 60 s,
	// because replaying a long log on a slow disk takes its time.
	StartTimeout time.Duration
	// Settings are the settings of the configuration file.
	Settings
}

// Server is a running member.
type Server struct {
	member    *embed.Etcd
	endpoint  string
	socketDir string // removed at Close when it is not below Dir

	guard  *guard
	stop   context.CancelFunc // ends the keeper
	keeper sync.WaitGroup
}

// Start starts the member and returns when it serves clients.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.StartTimeout == 0 {
		o.StartTimeout = time.Minute
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making etcd's folder: %w", err)
	}
	s := &Server{stop: func() {}}
	keeper, err := s.newKeeper(o)
	if err != nil {
		return nil, err
	}
	socket, err := s.socketPath(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the socket of an earlier run: %w", err)
	}
	s.endpoint = "unix://" + socket
	if s.member, err = embed.StartEtcd(s.config(o.Dir, socket)); err != nil {
		s.removeSocketDir()
		return nil, fmt.Errorf("starting etcd in %s: %w", o.Dir, err)
	}
	if err := s.waitReady(ctx, o); err != nil {
		return nil, err
	}
	keeper.server = s.member.Server
	s.guard.server.Store(s.member.Server)
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.keeper.Go(func() { keeper.run(ctx) })
	return s, nil
}

// newKeeper measures the disk and makes sure that etcd has room to start, if it can.
func (s *Server) newKeeper(o Options) (*keeper, error) {
	usage, err := diskspace.Measure(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("measuring the disk of %s: %w", o.Dir, err)
	}
	reserve := diskspace.NewReserve(o.Dir, o.ReserveOn(usage))
	s.guard = newGuard(reserve, int64(cmp.Or(o.Quota, defaultQuota)))
	k := &keeper{guard: s.guard, ballast: newBallast(o.Dir, usage)}
	return k, k.prepare()
}

// Room is how much room the member has.
type Room struct {
	// Disk is the usage of the disk; InUse is the content of the database, Size that of its file,
	// and Quota what it may hold, all in bytes.
	Disk               diskspace.Usage
	Reserve            int64
	InUse, Size, Quota int64
	// Refused is how many requests were refused for want of room since the start.
	Refused int64
	// Err is why requests are refused, nil when they are not: a *diskspace.LowError, a full
	// database, or a disk that cannot be measured.
	Err error
}

// Room measures.
func (s *Server) Room() Room {
	backend := s.member.Server.Backend()
	r := Room{
		Reserve: s.guard.reserve.Bytes(),
		InUse:   backend.SizeInUse(), Size: backend.Size(), Quota: s.guard.quota,
		Refused: s.guard.refused.Load(),
	}
	r.Disk, r.Err = s.guard.reserve.Check()
	if r.Err == nil && r.InUse+largestPut > r.Quota {
		r.Err = &quotaError{r.InUse, r.Quota}
	}
	return r
}

// Endpoint is the client URL, for --etcd-servers.
func (s *Server) Endpoint() string { return s.endpoint }

// Err delivers an error that ended the member by itself.
func (s *Server) Err() <-chan error { return s.member.Err() }

// Close stops the member after its clients are done and releases its files.
func (s *Server) Close() {
	s.stop()
	s.keeper.Wait()
	s.member.Close()
	s.removeSocketDir()
}

func (s *Server) waitReady(ctx context.Context, o Options) error {
	timeout := time.NewTimer(o.StartTimeout)
	defer timeout.Stop()
	var err error
	select { // what ends badly is closed here: a member must not be closed twice
	case <-s.member.Server.ReadyNotify():
		return nil
	case err = <-s.member.Err():
	case <-ctx.Done():
		err = ctx.Err()
	case <-timeout.C:
		err = fmt.Errorf("not ready after %s", o.StartTimeout)
	}
	s.Close()
	return fmt.Errorf("starting etcd in %s: %w", o.Dir, err)
}

// socketPath keeps the socket beside the data, or, where that path is too long
// for a socket address, in a short folder of its own.
func (s *Server) socketPath(dir string) (string, error) {
	abs, err := filepath.Abs(filepath.Join(dir, socketName))
	if err != nil {
		return "", fmt.Errorf("finding etcd's socket path: %w", err)
	}
	if err := removeFormerSocketDir(dir); err != nil {
		return "", err
	}
	if len(abs) <= maxSocketPath {
		return abs, nil
	}
	if s.socketDir, err = os.MkdirTemp("", socketDirPrefix); err != nil {
		return "", fmt.Errorf("making a folder for etcd's socket: %w", err)
	}
	socket := filepath.Join(s.socketDir, socketName)
	if err := os.WriteFile(filepath.Join(dir, socketPointer), []byte(socket), 0o600); err != nil {
		return "", fmt.Errorf("writing down where etcd's socket is: %w", err)
	}
	return socket, nil
}

func (s *Server) removeSocketDir() {
	if s.socketDir != "" {
		_ = os.RemoveAll(s.socketDir) // an empty folder that stays does no harm
	}
}

// config is a single member without peers: no TCP port is opened at all.
func (s *Server) config(dir, socket string) *embed.Config {
	cfg, member := embed.NewConfig(), Member(dir)
	cfg.Name = member.Name
	cfg.Dir = member.Dir
	cfg.InitialClusterToken = member.Token
	cfg.ListenPeerUrls = nil
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: peerHost}}
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: socket}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.QuotaBackendBytes = -1 // the guard has its own
	cfg.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainUnaryInterceptor(s.guard.intercept)}
	cfg.MaxRequestBytes = 4 << 20 // above the API server's 3 MiB body limit: it decides, not etcd
	boundLog(cfg)
	cfg.LogLevel = "warn"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger())
	return cfg
}

// logger writes what ends the member; the errors of its sockets at an orderly
// stop, which etcd logs as errors too, have no meaning for operators. What goes wrong with
// requests reaches their callers, and Err returns the error of a member that ended by itself.
func logger() *zap.Logger {
	c := zap.NewProductionConfig()
	c.Level = zap.NewAtomicLevelAt(zap.DPanicLevel)
	c.Encoding = "console"
	l, err := c.Build()
	if err != nil {
		return zap.NewNop()
	}
	return l.Named("etcd")
}
