package standalone

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	allRunning      = &running{servers: map[*Server]struct{}{}}
	registerRunning = sync.OnceFunc(func() { legacyregistry.CustomMustRegister(allRunning) })
)

// running are the servers of this process whose state is read when metrics are. Of several,
// which only tests have, one counts.
type running struct {
	metrics.BaseStableCollector
	mu      sync.Mutex
	servers map[*Server]struct{}
}

func (r *running) add(s *Server) {
	registerRunning()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers[s] = struct{}{}
}

func (r *running) remove(s *Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.servers, s)
}

// DescribeWithStability implements metrics.StableCollector.
func (*running) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range append(roomDescs[:len(roomDescs):len(roomDescs)], certificateDesc) {
		ch <- d
	}
}

// CollectWithStability implements metrics.StableCollector.
func (r *running) CollectWithStability(ch chan<- metrics.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.servers {
		s.collectRoom(ch)
		s.collectCertificates(ch)
		return
	}
}
