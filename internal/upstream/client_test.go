package upstream

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/registryrules"
)

func TestFetchFromRealRegistry(t *testing.T) {
	h, d := realRegistry(t)
	s := serve(t, h)
	c := newTestClient(t)
	r := open(t, c, s.host+"/team/app:latest")
	ctx := t.Context()

	head, err := r.Head(ctx, "latest")
	if err != nil {
		t.Fatal(err)
	}
	want := Descriptor{Digest: d, MediaType: ociManifest, Size: int64(len(manifestOf("latest"))), Source: s.host + "/team/app"}
	if diff := cmp.Diff(want, head); diff != "" {
		t.Errorf("head (-want +got):\n%s", diff)
	}
	for _, ref := range []string{"latest", "", d.String()} {
		m, err := r.Manifest(ctx, ref)
		if err != nil {
			t.Fatalf("manifest %q: %v", ref, err)
		}
		if m.Descriptor != want || !bytes.Equal(m.Bytes, manifestOf("latest")) {
			t.Errorf("manifest %q: got %+v", ref, m.Descriptor)
		}
	}
	blob, err := r.Blob(ctx, digest.FromString("{}"), 10)
	if err != nil || string(blob) != "{}" {
		t.Errorf("blob: %q, %v", blob, err)
	}
	if size, err := r.BlobSize(ctx, digest.FromString("{}")); err != nil || size != 2 {
		t.Errorf("blob size: %d, %v", size, err)
	}
	if tags, err := r.Tags(ctx); err != nil || !slices.Equal(tags, []string{"latest"}) {
		t.Errorf("tags: %v, %v", tags, err)
	}
	_, err = r.Manifest(ctx, "gone")
	e := wantCode(t, err, CodeManifestUnknown)
	if e.Ref != s.host+"/team/app:gone" || e.Source != s.host+"/team/app" || e.HTTPStatus != 404 {
		t.Errorf("error: %+v", e)
	}
	_, err = r.Head(ctx, "gone")
	wantCode(t, err, CodeManifestUnknown)
	_, err = open(t, c, s.host+"/no/such").Manifest(ctx, "latest")
	wantCode(t, err, CodeNameUnknown)
	_, err = open(t, c, s.host+"/no/such").Tags(ctx)
	wantCode(t, err, CodeNameUnknown)
	_, err = r.Blob(ctx, digest.FromString("absent"), 0)
	wantCode(t, err, CodeBlobUnknown)
}

func TestRecheckCostsOneHead(t *testing.T) {
	h, _ := realRegistry(t)
	s := serve(t, bearerAuth(t, h, "u", "p", time.Hour))
	c := newTestClient(t)
	for i := range 3 {
		// A new Repository each time, as for every request, and a wrong
		// credential in front of the right one.
		r := open(t, c, s.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "wrong"}, pullsecrets.Credential{Username: "u", Password: "p"})
		s.reset()
		if _, err := r.Head(t.Context(), "latest"); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if diff := cmp.Diff([]string{"HEAD /v2/team/app/manifests/latest"}, s.lines()); diff != "" {
				t.Errorf("round %d (-want +got):\n%s", i, diff)
			}
		}
	}
}

func TestRepositoryRefusesNames(t *testing.T) {
	c := newTestClient(t)
	for _, name := range []string{"foo.bar", "localhost:5000"} {
		_, err := c.Repository(parse(t, name), false, nil)
		e := wantCode(t, err, CodeName)
		if !strings.Contains(e.Text, "unable to parse docker reference") {
			t.Errorf("%s: %s", name, e.Text)
		}
	}
	r, err := c.Repository(parse(t, "example.test/a/b"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"../../x", "a b", "sha256:1234", "x?y", strings.Repeat("t", 129), "foo:bar"} {
		_, err := r.Manifest(t.Context(), bad)
		wantCode(t, err, CodeName)
	}
}

// The header is optional: a digest in it that cannot be used counts as absent, and content has the
// digest that is computed of it.
func TestAnnouncedDigestThatCannotBeUsed(t *testing.T) {
	good := manifestOf("x")
	for name, values := range map[string][]string{
		"no hex": {"sha256:zz"}, "unknown algorithm": {"md5:d41d8cd98f00b204e9800998ecf8427e"}, "empty": {""}, "no digest": {"latest"},
		"two": {digest.FromString("a").String(), digest.FromString("b").String()},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Docker-Content-Digest"] = values
				w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
				w.Write(good)
			}))
			r := open(t, newTestClient(t), s.host+"/team/app")
			m, err := r.Manifest(t.Context(), "1")
			if err != nil || m.Digest != digest.FromBytes(good) {
				t.Errorf("GET: %s, %v", m.Digest, err)
			}
			d, err := r.Head(t.Context(), "1")
			if err != nil || d.Digest != digest.FromBytes(good) {
				t.Errorf("HEAD: %s, %v", d.Digest, err)
			}
		})
	}
}

// hostile are servers that misbehave, and what comes of it.
func TestHostileAnswers(t *testing.T) {
	good := manifestOf("x")
	status := func(code int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if name, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(code)
			io.WriteString(w, body)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		ref     string
		code    Code
		text    string
		retry   time.Duration
	}{
		{name: "manifest unknown", handler: status(404, "", `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such thing"}]}`), code: CodeManifestUnknown, text: "manifest unknown: no such thing"},
		{name: "the same words twice", handler: status(404, "", `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"Manifest unknown"}]}`), code: CodeManifestUnknown, text: "manifest unknown"},
		{name: "name unknown", handler: status(404, "", `{"errors":[{"code":"NAME_UNKNOWN"}]}`), code: CodeNameUnknown, text: "name unknown"},
		{name: "denied", handler: status(403, "", `{"errors":[{"code":"DENIED","message":"no"}]}`), code: CodeDenied, text: "denied: no"},
		{name: "denied as HTML", handler: status(403, "Content-Type: text/html", "<html><body>go away</body></html>"), code: CodeDenied, text: "received unexpected HTTP status: 403 Forbidden"},
		{name: "unauthorized", handler: status(401, "", `{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}`), code: CodeUnauthorized, text: "unauthorized: who?"},
		{name: "basic and no credentials", handler: status(401, `Www-Authenticate: Basic realm="x"`, ""), code: CodeUnauthorized, text: "received unexpected HTTP status: 401 Unauthorized: no basic auth credentials"},
		{name: "long 429", handler: status(429, "Retry-After: 120", `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow"}]}`), code: CodeTooManyRequests, text: "toomanyrequests: slow", retry: 2 * time.Minute},
		{name: "429 for ever", handler: status(429, "Retry-After: 99999999999999999999", ""), code: CodeTooManyRequests, text: "received unexpected HTTP status: 429 Too Many Requests", retry: 5 * time.Minute},
		{name: "503", handler: status(503, "", "<html>"), code: CodeUnavailable, text: "received unexpected HTTP status: 503 Service Unavailable"},
		{name: "500 claiming unknown", handler: status(500, "", `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`), code: CodeUnavailable, text: "manifest unknown"},
		{name: "teapot", handler: status(418, "", "[1,2"), code: CodeProtocol, text: "received unexpected HTTP status: 418 I'm a teapot"},
		{name: "nothing modified", handler: status(304, "", ""), code: CodeProtocol, text: "received unexpected HTTP status: 304 Not Modified"},
		{name: "lying header", handler: status(200, "Docker-Content-Digest: "+digest.FromString("other").String(), string(good)), code: CodeIntegrity,
			text: "content has digest " + digest.FromBytes(good).String() + " instead of " + digest.FromString("other").String()},
		{name: "other content", handler: status(200, "", "{}"), ref: digest.FromBytes(good).String(), code: CodeIntegrity,
			text: "content has digest " + digest.FromString("{}").String() + " instead of " + digest.FromBytes(good).String()},
		{name: "100 MB by length", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "104857600")
			io.CopyN(w, zeros{}, 100<<20)
		}, code: CodeTooLarge, text: "manifest answer exceeds the limit of 8388608 bytes"},
		{name: "100 MB in chunks", handler: func(w http.ResponseWriter, r *http.Request) {
			io.CopyN(w, zeros{}, 100<<20)
		}, code: CodeTooLarge, text: "manifest answer exceeds the limit of 8388608 bytes"},
		{name: "gzip bomb", handler: gzipBomb, code: CodeTooLarge, text: "manifest answer exceeds the limit of 8388608 bytes"},
		{name: "truncated", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write(good[:50])
		}, code: CodeUnavailable, text: "the connection broke in the middle of the answer"},
		{name: "truncated cleanly", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Write(good[:50])
		}, ref: digest.FromBytes(good).String(), code: CodeIntegrity},
		{name: "reset", handler: func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, code: CodeUnavailable},
		{name: "huge headers", handler: func(w http.ResponseWriter, r *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 2000))
			}
		}, code: CodeTooLarge, text: "answer headers exceed the limit of 65536 bytes"},
		{name: "no content", handler: status(204, "", ""), code: CodeProtocol, text: "received unexpected HTTP status: 204 No Content"},
		{name: "partial content", handler: status(206, "", string(good)), code: CodeProtocol, text: "received unexpected HTTP status: 206 Partial Content"},
		{name: "endless redirects", handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		}, code: CodeProtocol, text: "redirect not followed: more than 5 redirects"},
		{name: "redirect to a file", handler: status(302, "Location: file:///etc/passwd", ""), code: CodeProtocol, text: "redirect not followed: unsupported scheme"},
		{name: "redirect to metadata", handler: status(302, "Location: http://169.254.169.254/latest/meta-data", ""), code: CodeForbiddenAddress,
			text: "the registry's address is not contacted: link-local (imports.addresses.allow in the server's configuration makes exceptions)"},
		{name: "huge error", handler: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			io.CopyN(w, zeros{}, 50<<20)
		}, code: CodeManifestUnknown, text: "received unexpected HTTP status: 404 Not Found"},
		{name: "control characters", handler: status(404, "", `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"a\u0000\u001b[31m\nb https://u:p@h/x?sig=secret c"}]}`),
			code: CodeManifestUnknown, text: "manifest unknown: a [31m b https://h/x c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, v2(tt.handler))
			c := newTestClient(t)
			ref := tt.ref
			if ref == "" {
				ref = "latest"
			}
			_, err := open(t, c, s.host+"/team/app").Manifest(t.Context(), ref)
			e := wantCode(t, err, tt.code)
			if tt.text != "" && e.Text != tt.text {
				t.Errorf("text:\n got %q\nwant %q", e.Text, tt.text)
			}
			if e.RetryAfter != tt.retry {
				t.Errorf("retry after %s, want %s", e.RetryAfter, tt.retry)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func gzipBomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	io.CopyN(z, zeros{}, 100<<20)
	z.Close()
}

func TestBlobLimits(t *testing.T) {
	body := []byte(strings.Repeat("x", 1000))
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	r := open(t, newTestClient(t), s.host+"/team/app")
	if got, err := r.Blob(t.Context(), digest.FromBytes(body), 1000); err != nil || !bytes.Equal(got, body) {
		t.Errorf("exactly at the limit: %v", err)
	}
	_, err := r.Blob(t.Context(), digest.FromBytes(body), 999)
	wantCode(t, err, CodeTooLarge)
	_, err = r.Blob(t.Context(), digest.FromString("else"), 1000)
	wantCode(t, err, CodeIntegrity)
}

// Too much is not read to its end to find out that it is too much.
func TestReadingStopsAtTheLimit(t *testing.T) {
	sent := make(chan int64, 1)
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.CopyN(w, zeros{}, 400<<20)
		sent <- n
	}))
	_, err := open(t, newTestClient(t), s.host+"/a/b").Manifest(t.Context(), "x")
	wantCode(t, err, CodeTooLarge)
	if n := <-sent; n > 100<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestRefusedConnectionsAreNotRepeated(t *testing.T) {
	s := serve(t, http.NotFoundHandler())
	s.Close()
	var tries atomic.Int32
	c := newTestClient(t, func(o *Options) {
		o.Observer = func(Observation) { tries.Add(1) }
	})
	_, err := openAs(t, c, s.host+"/a/b", false).Manifest(t.Context(), "x")
	wantCode(t, err, CodeUnavailable)
	if tries.Load() != 1 {
		t.Errorf("tried %d times", tries.Load())
	}
}

func TestRetries(t *testing.T) {
	tests := []struct {
		name   string
		fail   func(http.ResponseWriter)
		asked  int
		passes bool
	}{
		{"503", func(w http.ResponseWriter) { w.WriteHeader(503) }, 3, true},
		{"502", func(w http.ResponseWriter) { w.WriteHeader(502) }, 3, true},
		{"504", func(w http.ResponseWriter) { w.WriteHeader(504) }, 3, true},
		{"reset", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 3, true},
		{"500", func(w http.ResponseWriter) { w.WriteHeader(500) }, 1, false},
		{"404", func(w http.ResponseWriter) { w.WriteHeader(404) }, 1, false},
		{"503 for long", func(w http.ResponseWriter) { w.Header().Set("Retry-After", "60"); w.WriteHeader(503) }, 1, false},
		{"429 for long", func(w http.ResponseWriter) { w.Header().Set("Retry-After", "60"); w.WriteHeader(429) }, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) < 3 {
					tt.fail(w)
					return
				}
				w.Write(manifestOf("x"))
			}))
			_, err := open(t, newTestClient(t), s.host+"/a/b").Manifest(t.Context(), "x")
			if (err == nil) != tt.passes || int(asked.Load()) != tt.asked {
				t.Errorf("asked %d times, error %v; want %d times", asked.Load(), err, tt.asked)
			}
		})
	}
}

func TestShort429IsWaitedFor(t *testing.T) {
	var asked atomic.Int32
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
			return
		}
		w.Write(manifestOf("x"))
	}))
	start := time.Now()
	if _, err := open(t, newTestClient(t), s.host+"/a/b").Manifest(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if since := time.Since(start); since < 900*time.Millisecond {
		t.Errorf("came back after %s", since)
	}
}

func TestHangingServerIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer close(release)
	c := newTestClient(t, func(o *Options) { o.Timeouts.Call.Duration = 50 * time.Millisecond })
	_, err := open(t, c, s.host+"/a/b").Manifest(t.Context(), "x")
	e := wantCode(t, err, CodeUnavailable)
	if !errors.Is(e, context.DeadlineExceeded) || e.Text != "timed out" {
		t.Errorf("got %+v", e)
	}
}

func TestCallerGivesUpAlone(t *testing.T) {
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		w.Write(manifestOf("x"))
	}))
	c := newTestClient(t)
	r := open(t, c, s.host+"/a/b")
	impatient, giveUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := r.Manifest(impatient, "x"); first <- err }()
	<-arrived
	var others sync.WaitGroup
	var failed atomic.Int32
	for range 5 {
		others.Go(func() {
			if _, err := r.Manifest(t.Context(), "x"); err != nil {
				failed.Add(1)
			}
		})
	}
	eventually(t, "six wait for one answer", func() bool { return c.getFlights.waiting() == 6 })
	giveUp()
	wantCode(t, <-first, CodeCanceled)
	close(release)
	others.Wait()
	if failed.Load() != 0 || len(arrived) != 0 {
		t.Errorf("%d failed, %d more requests", failed.Load(), len(arrived))
	}
}

// waiting counts callers of all work in flight.
func (f *flights[V]) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, fl := range f.flying {
		n += fl.waiting
	}
	return n
}

func TestLastCallerCancelsTheWork(t *testing.T) {
	gone := make(chan struct{})
	arrived := make(chan struct{})
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(gone)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	r := open(t, newTestClient(t), s.host+"/a/b")
	done := make(chan error, 1)
	go func() { _, err := r.Manifest(ctx, "x"); done <- err }()
	<-arrived
	cancel()
	wantCode(t, <-done, CodeCanceled)
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the request goes on although nobody waits for it")
	}
}

func TestDifferentCredentialsDoNotShare(t *testing.T) {
	a := source{Source: registryrules.Source{Host: "h", Path: "p", Reference: "r"}, cred: pullsecrets.Credential{Username: "u", Password: "secret-one"}}
	b := a
	b.cred.Password = "secret-two"
	if a.flightKey("manifest") == b.flightKey("manifest") {
		t.Error("two credentials share work")
	}
	if strings.Contains(a.flightKey("manifest"), "secret") {
		t.Error("a cache key holds a password")
	}
	if (pullsecrets.Credential{Username: "a", Password: "bc"}).Identity() == (pullsecrets.Credential{Username: "ab", Password: "c"}).Identity() {
		t.Error("two credentials have one identity")
	}
}

func TestForbiddenAddressAfterResolution(t *testing.T) {
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) { w.Write(manifestOf("x")) }))
	_, port, _ := net.SplitHostPort(s.host)
	c := newTestClient(t, func(o *Options) { o.Addresses.DenyLoopback = new(true) })
	// A name, so that only the dialer can know.
	_, err := open(t, c, "localhost:"+port+"/a/b").Manifest(t.Context(), "x")
	wantCode(t, err, CodeForbiddenAddress)
	if len(s.all()) != 0 {
		t.Error("the server was contacted")
	}
}

func TestCloseEndsWork(t *testing.T) {
	arrived := make(chan struct{})
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	c := newTestClient(t)
	r := open(t, c, s.host+"/a/b")
	done := make(chan error, 1)
	go func() { _, err := r.Manifest(t.Context(), "x"); done <- err }()
	<-arrived
	c.Close()
	wantCode(t, <-done, CodeCanceled)
	_, err := r.Manifest(t.Context(), "x")
	wantCode(t, err, CodeCanceled)
}
