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

// conn is an accepted connection. It is a *net.TCPConn, so that files are sent by the kernel.
type conn struct {
	*net.TCPConn
	listener     *Listener
	remote, host string
	// The rest is guarded by the listener's lock.
	number   uint64 // in the order of acceptance
	running  int    // requests that are served
	answered bool   // one was
}

// Limit bounds the connections of a listener to max. Its server must have the handler that
// Handler returns. name is for metrics.
func Limit(l net.Listener, name string, limit int) *Listener {
	registerMetrics()
	connectionsMax.WithLabelValues(name).Set(float64(limit))
	return &Listener{Listener: l, name: name, max: limit, conns: map[string]*conn{}, hosts: map[string]int{}}
}

// Accept waits for the next connection, and makes room for it.
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
			_ = closed.TCPConn.Close() // its server finds out
			connectionsClosed.WithLabelValues(l.name).Inc()
		}
		if ok {
			return c, nil
		}
	}
}

// Close stops accepting, and closes connections on which no request ever came. A server that shuts
// down gives them five seconds for their first one.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if !c.answered && c.running == 0 {
			l.forget(c)
			_ = c.TCPConn.Close() // its server finds out
		}
	}
	return err
}

// admit takes a connection. The one that has to be closed for it is another, itself, or nil.
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

// leastNeeded is the connection to close first: of the host with the most connections, one that
// never had an answer before one that rests between requests, the oldest. It is nil if all serve
// a request.
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

// crowding is the oldest connection of the host with the most, all of which serve, if that host has
// more than twice as many as another one would have with one more. The machine itself is never
// crowded out by others.
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

// forget takes a connection off the books; it may be off already. The caller holds the lock.
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

// Close closes the connection and makes its place free.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.forget(c)
	c.listener.mu.Unlock()
	return c.TCPConn.Close()
}

// Handler has the listener tell connections that serve requests from others.
func (l *Listener) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := l.begin(r.RemoteAddr); c != nil {
			defer l.end(c)
		}
		next.ServeHTTP(w, r)
	})
}

// begin counts a request. It returns the connection for end, nil for one that is off the books: a
// handler of HTTP/2 can outlive its connection, and another client can have its address by then.
// http.Server.ConnContext would hand over the connection too, but the generic API server makes its
// http.Server itself.
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

// hostOf is the host that an address belongs to: of IPv6, the network that one host has.
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
