package standalone

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/diskspace"
	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/etcdroom"
)

const (
	// roomCheck is the name of the check of /readyz that fails while there is too little room.
	roomCheck = "weir-disk"
	// roomInterval is the time between two looks at the room that there is, for the log.
	roomInterval = 2 * time.Second
)

// leastReserve keeps uploads from filling the disk of the embedded etcd: they end well before etcd's
// writes do.
func (o *Options) leastReserve(folder string, u diskspace.Usage) int64 {
	if !o.embedsEtcd() || !diskspace.SameDisk(folder, o.DataDir) {
		return 0
	}
	return 2 * o.Config.Etcd.ReserveOn(u)
}

// hostRoom is the host's view of the room that etcd has.
func (s *Server) hostRoom() etcdroom.Room {
	room := etcdroom.Room{Cause: etcd.Cause}
	if s.etcd != nil {
		room.Refusal = s.etcd.Refusal
	}
	return room
}

// room is why etcd or the registry refuse what takes room, nil when they do not.
func (s *Server) room() error {
	var errs []error
	if s.etcd != nil {
		errs = append(errs, s.etcd.Room().Err)
	}
	if s.registry != nil && s.registry.Reserve() != nil {
		_, err := s.registry.Reserve().Check()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// roomHealth is the room as a check of /readyz.
type roomHealth struct{ server *Server }

// Name implements healthz.HealthChecker.
func (roomHealth) Name() string { return roomCheck }

// Check implements healthz.HealthChecker.
func (h roomHealth) Check(*http.Request) error { return h.server.room() }

// watchRoom logs when there begins to be too little room, and when there is enough again,
// until ctx ends.
func (s *Server) watchRoom(ctx context.Context) error {
	ticks := time.NewTicker(roomInterval)
	defer ticks.Stop()
	full := false
	for {
		switch err := s.room(); {
		case err != nil && !full:
			klog.FromContext(ctx).Error(err, "There is too little room: what takes more is refused with 507, reading and deleting go on. "+
				"Free space on the disk, or delete images; see /readyz/"+roomCheck)
			full = true
		case err == nil && full:
			klog.FromContext(ctx).Info("There is room again: nothing is refused for want of it any more")
			full = false
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

var (
	diskFreeDesc    = metrics.NewDesc("weir_disk_free_bytes", "Bytes that are free on the disk of the data folder's etcd and of the registry's storage.", []string{"of"}, nil, metrics.ALPHA, "")
	diskReserveDesc = metrics.NewDesc("weir_disk_reserve_bytes", "Bytes that are kept free there: with less, what takes room is refused.", []string{"of"}, nil, metrics.ALPHA, "")
	etcdInUseDesc   = metrics.NewDesc("weir_etcd_in_use_bytes", "Bytes that the embedded etcd's database holds, without free pages of its file.", nil, nil, metrics.ALPHA, "")
	etcdQuotaDesc   = metrics.NewDesc("weir_etcd_quota_bytes", "Bytes that it may hold.", nil, nil, metrics.ALPHA, "")
	etcdRefusedDesc = metrics.NewDesc("weir_etcd_refused_total", "Writes that the embedded etcd refused because the disk or the database had no room for them.", nil, nil, metrics.ALPHA, "")
)

// roomDescs are the metrics of collectRoom.
var roomDescs = []*metrics.Desc{diskFreeDesc, diskReserveDesc, etcdInUseDesc, etcdQuotaDesc, etcdRefusedDesc}

func (s *Server) collectRoom(ch chan<- metrics.Metric) {
	gauge := func(d *metrics.Desc, value int64, of ...string) {
		ch <- metrics.NewLazyConstMetric(d, metrics.GaugeValue, float64(value), of...)
	}
	if s.etcd != nil {
		room := s.etcd.Room()
		gauge(diskFreeDesc, room.Disk.Free, "etcd")
		gauge(diskReserveDesc, room.Reserve, "etcd")
		gauge(etcdInUseDesc, room.InUse)
		gauge(etcdQuotaDesc, room.Quota)
		ch <- metrics.NewLazyConstMetric(etcdRefusedDesc, metrics.CounterValue, float64(room.Refused))
	}
	if s.registry != nil && s.registry.Reserve() != nil {
		usage, err := s.registry.Reserve().Check()
		if err == nil || diskspace.IsLow(err) {
			gauge(diskFreeDesc, usage.Free, "registry")
			gauge(diskReserveDesc, s.registry.Reserve().Bytes(), "registry")
		}
	}
}

// etcdFolder is where the embedded etcd keeps its data.
func (o *Options) etcdFolder() string { return filepath.Join(o.DataDir, "etcd") }
