package inbound

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// Listener accepts TCP connections up to a bound.
type Listener struct {
	net.Listener
	name string
	max  int

	mu sync.Mutex
	// conns are the open connections by the address of the client, with its port.
	conns map[string]*conn
	// hosts counts them by host.
	hosts    map[string]int
	accepted uint64
}

// conn is an accepted connection. It embeds *net.TCPConn, so that the kernel sends files.
type conn struct {
	*net.TCPConn
	listener     *Listener
	remote, host string
	// The rest is guarded by the listener's lock.
	number   uint64 // in the order of acceptance
	running  int    // requests that are served
	answered bool   // a request was answered
}

// Limit bounds the connections of a listener to max. Its server must have the handler that
// Handler returns. name is for metrics.
func Limit(l net.Listener, name string, limit int) *Listener {
	registerMetrics()
	connectionsMax.WithLabelValues(name).Set(float64(limit))
	return &Listener{Listener: l, name: name, max: limit, conns: map[string]*conn{}, hosts: map[string]int{}}
}

// Accept waits for the next connection, and closes another one for it if necessary.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := accepted.(*net.TCPConn)
		if !ok {
			return accepted, nil
		}
		c := &conn{TCPConn: tcp, listener: l, remote: tcp.RemoteAddr().String(), host: hostOf(tcp.RemoteAddr())}
		closed, ok := l.admit(c)
		if closed != nil {
			_ = closed.TCPConn.Close() // the server gets a read error
			connectionsClosed.WithLabelValues(l.name).Inc()
		}
		if ok {
			return c, nil
		}
	}
}

// Close stops accepting, and closes connections without a first request, for which a server that
// shuts down would wait five seconds.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if !c.answered && c.running == 0 {
			l.forget(c)
			_ = c.TCPConn.Close() // the server gets a read error
		}
	}
	return err
}

// admit registers a connection. It returns the connection to close for it: another, c itself, or
// nil.
func (l *Listener) admit(c *conn) (closed *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= l.max {
		if closed = cmp.Or(l.leastNeeded(), l.crowding(c.host)); closed == nil {
			return c, false
		}
		l.forget(closed)
	}
	l.accepted++
	c.number = l.accepted
	l.conns[c.remote] = c
	l.hosts[c.host]++
	connections.WithLabelValues(l.name).Set(float64(len(l.conns)))
	return closed, true
}

// leastNeeded returns the connection to close first: of the host with the most connections, one
// without an answered request before one that is idle between requests, the oldest. It returns nil
// if all serve a request.
func (l *Listener) leastNeeded() *conn {
	var least *conn
	for _, c := range l.conns {
		if c.running == 0 && (least == nil || l.compare(c, least) < 0) {
			least = c
		}
	}
	return least
}

func (l *Listener) compare(a, b *conn) int {
	return cmp.Or(cmp.Compare(l.hosts[b.host], l.hosts[a.host]), compareFlags(a.answered, b.answered), cmp.Compare(a.number, b.number))
}

func compareFlags(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// crowding returns the oldest connection of the host with the most connections, all of which serve
// requests, if that host has more than twice as many as newcomer would have with one more. Loopback
// connections are never closed for others.
func (l *Listener) crowding(newcomer string) *conn {
	var oldest *conn
	for _, c := range l.conns {
		if oldest == nil || cmp.Or(cmp.Compare(l.hosts[c.host], l.hosts[oldest.host]), cmp.Compare(oldest.number, c.number)) > 0 {
			oldest = c
		}
	}
	if oldest == nil || isLoopback(oldest.host) || l.hosts[oldest.host] <= 2*(l.hosts[newcomer]+1) {
		return nil
	}
	return oldest
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// forget removes a connection, if it is registered. The caller holds the lock.
func (l *Listener) forget(c *conn) {
	if l.conns[c.remote] != c {
		return
	}
	delete(l.conns, c.remote)
	if l.hosts[c.host]--; l.hosts[c.host] == 0 {
		delete(l.hosts, c.host)
	}
	connections.WithLabelValues(l.name).Set(float64(len(l.conns)))
}

// Close closes the connection and frees its slot.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.forget(c)
	c.listener.mu.Unlock()
	return c.TCPConn.Close()
}

// Handler wraps next so that the listener can distinguish busy connections from idle ones.
func (l *Listener) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := l.begin(r.RemoteAddr); c != nil {
			defer l.end(c)
		}
		next.ServeHTTP(w, r)
	})
}

// begin counts a request. It returns the connection for end, nil for an unregistered one: an HTTP/2
// handler can outlive its connection, and another client can have its address by then.
// http.Server.ConnContext would provide the connection too, but the generic API server creates its
// own http.Server.
func (l *Listener) begin(remote string) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conns[remote]
	if c != nil {
		c.running++
		c.answered = true
	}
	return c
}

func (l *Listener) end(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.running--
}

// hostOf returns the host of an address; for IPv6, the network of a host.
func hostOf(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return a.String()
	}
	address, _ := netip.AddrFromSlice(tcp.IP)
	address = address.Unmap()
	if address.Is6() && !address.IsLoopback() {
		network, err := address.Prefix(64)
		if err == nil {
			return network.String()
		}
	}
	return address.String()
}
