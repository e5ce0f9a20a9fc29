package ociregistry_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
)

// These tests run on a clock that goes on when everybody waits, over connections in
// memory that know deadlines: a minute takes no time, and a slow machine is not a slow
// client.

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// bubble serves a registry until the returned function is called.
func bubble(t *testing.T, change func(*ociregistry.Options)) (dial func() net.Conn, end func()) {
	t.Helper()
	store, err := blobstore.New(blobstore.Options{Driver: inmemory.New()})
	if err != nil {
		t.Fatal(err)
	}
	o := ociregistry.Options{Store: store, Directory: newDirectory(), Access: newAccess(), ClientTimeout: time.Minute}
	change(&o)
	handler, err := ociregistry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	var conns []net.Conn
	dial = func() net.Conn {
		ours, theirs := net.Pipe()
		listener.conns <- theirs
		conns = append(conns, ours)
		return ours
	}
	return dial, func() {
		for _, c := range conns {
			c.Close()
		}
		server.Close()
		<-done
		synctest.Wait()
	}
}

// send sends a request.
func send(t *testing.T, conn net.Conn, method, path string, body []byte) {
	t.Helper()
	req, err := http.NewRequest(method, "http://registry"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin")
	if mediaType := mediaTypeIn(body); mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
}

// receive reads an answer.
func receive(t *testing.T, conn net.Conn) reply {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	return reply{status: res.StatusCode, header: res.Header, body: content, err: err}
}

func exchangeOn(t *testing.T, conn net.Conn, method, path string, body []byte) reply {
	t.Helper()
	send(t, conn, method, path, body)
	return receive(t, conn)
}

// TestSlowUpload holds that a client which sends nothing, or next to nothing, is given
// up, that one which is merely slow is not, and that what arrived counts in any case.
func TestSlowUpload(t *testing.T) {
	for name, c := range map[string]struct {
		piece  int
		every  time.Duration
		pieces int
		status int
	}{
		"nothing":          {1, 61 * time.Second, 2, 408},
		"next to nothing":  {1, 10 * time.Second, 100, 408},
		"slow":             {1 << 10, 50 * time.Second, 100, 202},
		"slow, and bursts": {300 << 10, 59 * time.Second, 20, 202},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, end := bubble(t, func(*ociregistry.Options) {})
				defer end()
				begun := exchangeOn(t, dial(), "POST", "/v2/shop/web/blobs/uploads/", nil)
				location := begun.header.Get("Location")
				conn := dial()
				fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: %d\r\n\r\n", location, c.piece*c.pieces)
				sent := make(chan int, 1)
				go func() {
					n := 0
					for range c.pieces {
						m, err := conn.Write(make([]byte, c.piece))
						n += m
						if err != nil {
							break
						}
						time.Sleep(c.every)
					}
					sent <- n
				}()
				if res := receive(t, conn); res.status != c.status {
					t.Errorf("the answer is %d", res.status)
				}
				conn.Close()
				n := <-sent
				status := exchangeOn(t, dial(), "GET", location, nil)
				if status.status != 204 {
					t.Fatalf("the upload is %d", status.status)
				}
				if c.status == 202 && status.header.Get("Range") != uploadSpan(n) {
					t.Errorf("of %d bytes that were sent there are %s", n, status.header.Get("Range"))
				}
			})
		})
	}
}

// TestSlowDownload holds that a client which takes nothing is given up, and that one
// which is merely slow is not.
func TestSlowDownload(t *testing.T) {
	content := bytesOf(4<<20, 1)
	for name, c := range map[string]struct {
		every time.Duration
		whole bool
	}{
		"slow":          {50 * time.Second, true},
		"stands still":  {2 * time.Minute, false},
		"does not wait": {0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, end := bubble(t, func(*ociregistry.Options) {})
				defer end()
				made := exchangeOn(t, dial(), "POST", "/v2/shop/web/blobs/uploads/?digest="+digestOf(content), content)
				conn := dial()
				send(t, conn, "GET", made.header.Get("Location"), nil)
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				var got bytes.Buffer
				for err == nil {
					time.Sleep(c.every)
					_, err = io.CopyN(&got, res.Body, 256<<10)
				}
				if whole := bytes.Equal(got.Bytes(), content); whole != c.whole {
					t.Errorf("got %d bytes, %v", got.Len(), err)
				}
			})
		})
	}
}

// TestTimeAfterBody holds that the time for sending ends with the body, what takes longer
// after it being the registry's own, and that an answer's time does not end later ones.
func TestTimeAfterBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowDirectory{directory: newDirectory()}
		dial, end := bubble(t, func(o *ociregistry.Options) { o.Directory = slow })
		defer end()
		conn := dial()
		content := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
		for range 2 {
			if res := exchangeOn(t, conn, "PUT", "/v2/shop/web/manifests/v1", content); res.status != 201 {
				t.Fatalf("the answer is %d", res.status)
			}
			time.Sleep(5 * time.Minute)
		}
		// On a connection that was idle for longer than an answer may take.
		fmt.Fprintf(conn, "PUT /v2/shop/web/manifests/v1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nExpect: 100-continue\r\n"+
			"Content-Type: application/vnd.oci.image.index.v1+json\r\nContent-Length: %d\r\n\r\n", len(content))
		if res := receive(t, conn); res.status != 100 {
			t.Fatalf("the answer is %d", res.status)
		}
		if _, err := conn.Write(content); err != nil {
			t.Fatal(err)
		}
		if res := receive(t, conn); res.status != 201 {
			t.Fatalf("the answer is %d", res.status)
		}
	})
}

// slowDirectory takes its time to record.
type slowDirectory struct{ *directory }

func (d *slowDirectory) Record(ctx context.Context, p ociregistry.Push) (ociregistry.Stream, error) {
	select {
	case <-time.After(3 * time.Minute):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return d.directory.Record(ctx, p)
}

// TestUnreadBody holds that a client which sends a body that nobody reads, slowly, does
// not keep its connection.
func TestUnreadBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, end := bubble(t, func(*ociregistry.Options) {})
		defer end()
		conn := dial()
		fmt.Fprint(conn, "PUT /v2/shop/web/manifests/-x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 1000\r\n\r\n")
		began := time.Now()
		rest, err := io.ReadAll(conn)
		if err != nil || !bytes.Contains(rest, []byte("TAG_INVALID")) {
			t.Errorf("%s, %v", rest, err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}
