package inbound

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPerListener(t *testing.T) {
	for _, test := range []struct {
		files     uint64
		listeners int
		want      int
	}{
		{0, 1, minConnections}, {128, 2, minConnections}, {256, 2, 32}, {512, 2, 96}, {1024, 2, 224}, {1024, 1, 448},
		{20000, 2, 4968}, {1 << 20, 2, maxConnections}, {1<<64 - 1, 1, maxConnections},
	} {
		if got := PerListener(test.files, test.listeners); got != test.want {
			t.Errorf("%d files, %d listeners: %d, want %d", test.files, test.listeners, got, test.want)
		}
		if all := test.want * test.listeners * filesPerConnection; test.files >= 256 && uint64(all)+reserved > test.files {
			t.Errorf("%d files are too few for %d", test.files, all)
		}
	}
}

func TestFiles(t *testing.T) {
	if files, err := Files(); err != nil || files == 0 {
		t.Errorf("%d, %v", files, err)
	}
}

// What is closed for a new connection, by what the others do.
func TestLeastNeeded(t *testing.T) {
	type open struct {
		host     string
		running  int
		answered bool
	}
	for name, test := range map[string]struct {
		open []open
		want int // index, -1 for none
	}{
		"the oldest":                             {[]open{{"a", 0, false}, {"a", 0, false}}, 0},
		"one without an answer":                  {[]open{{"a", 0, true}, {"a", 0, false}}, 1},
		"of the host with the most":              {[]open{{"a", 0, false}, {"b", 0, false}, {"b", 0, false}}, 1},
		"of many, though they had answers":       {[]open{{"a", 0, false}, {"b", 0, true}, {"b", 0, true}}, 1},
		"of a host that crowds others out":       {[]open{{"b", 1, true}, {"a", 1, true}, {"a", 1, true}, {"a", 1, true}}, 1},
		"none of the machine's own":              {[]open{{"127.0.0.1", 1, true}, {"127.0.0.1", 1, true}, {"127.0.0.1", 1, true}}, -1},
		"one at rest, if all had answers":        {[]open{{"a", 1, true}, {"b", 0, true}}, 1},
		"one at rest, of the host with the most": {[]open{{"a", 0, true}, {"b", 1, true}, {"b", 0, true}}, 2},
		"none of those at work":                  {[]open{{"a", 1, true}, {"a", 2, true}}, -1},
	} {
		l := Limit(nil, "test", 100)
		all := make([]*conn, len(test.open))
		for i, o := range test.open {
			all[i] = &conn{listener: l, remote: fmt.Sprint(i), host: o.host}
			if closed, ok := l.admit(all[i]); closed != nil || !ok {
				t.Fatalf("%s: there was room", name)
			}
			all[i].running, all[i].answered = o.running, o.answered
		}
		l.max = len(all)
		closed, ok := l.admit(&conn{listener: l, remote: "new", host: "c"})
		switch {
		case test.want < 0:
			if ok || closed == nil || closed.remote != "new" {
				t.Errorf("%s: %+v, %v", name, closed, ok)
			}
		case !ok || closed != all[test.want]:
			t.Errorf("%s: %+v, %v", name, closed, ok)
		}
		if len(l.conns) != len(all) {
			t.Errorf("%s: %d connections", name, len(l.conns))
		}
	}
}

func TestHostOf(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7", "[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64", "[::1]:1": "::1",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostOf(a); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := hostOf(&net.UnixAddr{Name: "x"}); got != "x" {
		t.Errorf("got %s", got)
	}
}

// A handler that outlives its connection leaves the next one from the same address as it is.
func TestHandlerOutlivesItsConnection(t *testing.T) {
	const remote = "192.0.2.7:1000"
	l := Limit(nil, "test", 2)
	first, second := &conn{listener: l, remote: remote, host: "a"}, &conn{listener: l, remote: remote, host: "a"}
	l.admit(first)
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.RemoteAddr = remote
	l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if first.running != 1 {
			t.Errorf("%d requests run on the connection", first.running)
		}
		l.forget(first)
		l.admit(second)
	})).ServeHTTP(httptest.NewRecorder(), request)
	if first.running != 0 || second.running != 0 || second.answered {
		t.Errorf("%d and %d requests run, and the new connection was answered: %t", first.running, second.running, second.answered)
	}
}

// Of more connections than there is room for, those that say nothing give way to one that
// asks, and one that is served stays.
func TestSilentConnectionsGiveWay(t *testing.T) {
	const most = 8
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Limit(tcp, "test", most)
	served, release := make(chan struct{}), make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(served)
			<-release
		}
		_, _ = io.WriteString(w, "yes")
	}))}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	get := func(path string) error {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
		answer, err := client.Get("http://" + tcp.Addr().String() + path)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if content, err := io.ReadAll(answer.Body); err != nil || string(content) != "yes" {
			return errors.Join(err, errors.New(string(content)))
		}
		return nil
	}
	slow := make(chan error, 1)
	go func() { slow <- get("/slow") }()
	<-served
	var silent []net.Conn
	for range 4 * most {
		c, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	for range most {
		if err := get("/"); err != nil {
			t.Errorf("among silent connections: %v", err)
		}
	}
	l.mu.Lock()
	if n := len(l.conns); n > most {
		t.Errorf("%d connections are open", n)
	}
	l.mu.Unlock()
	if _, err := silent[0].Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the oldest silent connection: %v", err)
	}
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the request that was served: %v", err)
	}
	for _, c := range silent {
		_ = c.Close()
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if len(l.conns) != 0 || len(l.hosts) != 0 {
		t.Errorf("%d connections of %d hosts are left on the books", len(l.conns), len(l.hosts))
	}
}

// A server that shuts down does not wait for connections that never sent a request.
func TestSilentConnectionsDoNotHoldUpAShutdown(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, began, release := Limit(tcp, "test", 8), make(chan struct{}), make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: l.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-release
		_, _ = io.WriteString(w, "yes")
	}))}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	silent, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	served := make(chan error, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
		answer, err := client.Get("http://" + tcp.Addr().String())
		if err == nil {
			err = answer.Body.Close()
		}
		served <- err
	}()
	<-began
	shut := make(chan error, 1)
	go func() { shut <- server.Shutdown(t.Context()) }()
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the silent connection: %v, want its end", err)
	}
	close(release)
	if err := errors.Join(<-served, <-shut); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
