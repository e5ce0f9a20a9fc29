package ociregistry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// hold occupies a slot for writing with an upload, until end is called.
func (r *registry) hold() (end func()) {
	r.t.Helper()
	location := r.begin("shop/web", "")
	src, dst := io.Pipe()
	req := r.request("PATCH", location, nil)
	req.Body, req.ContentLength = src, -1
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := r.client.Do(req); err == nil {
			res.Body.Close()
		}
	}()
	if _, err := dst.Write([]byte("x")); err != nil {
		r.t.Fatal(err)
	}
	r.inUse(location)
	return func() { dst.Close(); <-done }
}

// answers reports whether there is an answer before the request's context ends.
func (r *registry) answers(req *http.Request) bool {
	res, err := r.client.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return true
}

func TestLimits(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) {
		o.Writes = ociregistry.Limit{MaxRunning: 1, MaxInQueue: 1, MaxWaitInQueue: 50 * time.Millisecond}
	})
	end := r.hold()
	// One waits and is refused when it has waited long enough.
	got := r.want(429, ociregistry.CodeTooManyRequests, r.do("POST", "/v2/shop/web/blobs/uploads/", nil))
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("the answer has %v", got.header)
	}
	// Reading has a limit of its own, here none.
	r.want(200, "", r.do("GET", "/v2/", nil))
	r.want(200, "", r.do("GET", "/healthz", nil))
	end()
	r.want(202, "", r.do("POST", "/v2/shop/web/blobs/uploads/", nil))
}

func TestLimitsQueue(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) { o.Writes = ociregistry.Limit{MaxRunning: 1, MaxInQueue: 1} })
	end := r.hold()
	waiting := make(chan reply)
	for range 2 {
		go func() { waiting <- r.do("POST", "/v2/shop/web/blobs/uploads/", nil) }()
	}
	// Of two, one finds the queue full.
	r.want(429, ociregistry.CodeTooManyRequests, <-waiting)
	end()
	r.want(202, "", <-waiting)
	// A client that goes away leaves the queue.
	end = r.hold()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if r.answers(r.request("POST", "/v2/shop/web/blobs/uploads/", nil).WithContext(ctx)) {
		t.Error("a request that should wait was answered")
	}
	wait(t, "the queue has room", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		// It waits; with the queue full it would have been answered.
		return !r.answers(r.request("POST", "/v2/shop/web/blobs/uploads/", nil).WithContext(ctx))
	})
	end()
}

// TestPanic holds that a panic is an answer, or a broken connection, and nothing more.
func TestPanic(t *testing.T) {
	bad := &panicking{directory: newDirectory()}
	r := start(t, func(o *ociregistry.Options) { o.Directory = bad })
	got := r.want(500, ociregistry.CodeUnknown, r.do("GET", "/v2/shop/web/tags/list", nil))
	if strings.Contains(string(got.body), "secret") {
		t.Errorf("the answer is %s", got.body)
	}
	r.want(200, "", r.do("GET", "/v2/", nil))
}

type panicking struct{ *directory }

func (p *panicking) Tags(context.Context, reference.Repository, string, int) ([]string, bool, error) {
	panic("a secret")
}

// TestAbort holds that net/http's way to cut a connection passes through.
func TestAbort(t *testing.T) {
	r := start(t)
	r.imported(t, "shop/web", "v1", []byte(`{"layers":[{"digest":"`+digest.FromString("x").String()+`"}]}`))
	r.upstream.blobs[digest.FromString("x")] = []byte("xxxxxxxxxx")
	r.upstream.breakAt = 3
	req := httptest.NewRequest("GET", "/v2/shop/web/blobs/"+digest.FromString("x").String(), nil)
	req.Header.Set("Authorization", "Bearer admin")
	defer func() {
		if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http compares it
			t.Errorf("the handler ended with %v", p)
		}
	}()
	r.handler.ServeHTTP(httptest.NewRecorder(), req)
}

// TestFull holds that a full disk is said to be one, and that it is over when it is.
func TestFull(t *testing.T) {
	driver := &full{StorageDriver: newFilesystem(t)}
	r := startWith(t, driver)
	content := bytesOf(600_000, 1)
	d := digest.FromBytes(content)
	driver.is.Store(true)
	post := "/v2/shop/web/blobs/uploads/?digest=" + d.String()
	r.want(507, ociregistry.CodeUnavailable, r.do("POST", post, content))
	r.want(507, ociregistry.CodeUnavailable, r.do("POST", "/v2/shop/web/blobs/uploads/", nil))
	driver.is.Store(false)
	r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", "/v2/shop/web/blobs/"+d.String(), nil))
	location := r.begin("shop/web", "")
	driver.is.Store(true)
	r.want(507, ociregistry.CodeUnavailable, r.do("PATCH", location, content))
	driver.is.Store(false)
	image := r.image("shop/web", "one")
	driver.is.Store(true)
	r.want(507, ociregistry.CodeUnavailable, r.put("shop/web", "v1", image))
	driver.is.Store(false)
	r.want(404, "", r.do("GET", "/v2/shop/web/manifests/v1", nil))
	r.push("shop/web", "v1", image)
	r.want(201, "", r.do("POST", post, content))
}

// full is a disk without space, while it is.
type full struct {
	storagedriver.StorageDriver
	is atomic.Bool
}

func (f *full) PutContent(ctx context.Context, path string, content []byte) error {
	if f.is.Load() {
		return storagedriver.Error{DriverName: "full", Detail: syscall.ENOSPC}
	}
	return f.StorageDriver.PutContent(ctx, path, content)
}

func (f *full) Writer(ctx context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	w, err := f.StorageDriver.Writer(ctx, path, appending)
	return &fullWriter{w, f}, err
}

type fullWriter struct {
	storagedriver.FileWriter
	disk *full
}

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.disk.is.Load() {
		return 0, storagedriver.Error{DriverName: "full", Detail: syscall.ENOSPC}
	}
	return w.FileWriter.Write(p)
}

// TestStorageAway holds that storage which fails is nothing that a client is told about.
func TestStorageAway(t *testing.T) {
	driver := &failing{StorageDriver: newFilesystem(t)}
	r := startWith(t, driver)
	d := r.pushBlob("shop/web", []byte("x"))
	driver.is.Store(true)
	for _, got := range []reply{
		r.do("GET", "/v2/shop/web/blobs/"+d.String(), nil),
		r.do("GET", "/v2/shop/web/blobs/"+digest.FromString("y").String(), nil),
		r.do("GET", "/v2/shop/web/manifests/"+digest.FromString("y").String(), nil),
		r.do("GET", "/v2/shop/web/referrers/"+d.String(), nil),
		r.do("POST", "/v2/shop/web/blobs/uploads/", nil),
		r.do("DELETE", "/v2/shop/web/blobs/"+d.String(), nil),
	} {
		r.want(503, ociregistry.CodeUnavailable, got)
		if strings.Contains(string(got.body), "secret") {
			t.Errorf("the answer is %s", got.body)
		}
	}
}

type failing struct {
	storagedriver.StorageDriver
	is atomic.Bool
}

var errAway = errors.New("a secret of the storage's")

func (f *failing) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	if f.is.Load() {
		return nil, errAway
	}
	return f.StorageDriver.Stat(ctx, path)
}

func (f *failing) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if f.is.Load() {
		return nil, errAway
	}
	return f.StorageDriver.Reader(ctx, path, offset)
}

func (f *failing) List(ctx context.Context, path string) ([]string, error) {
	if f.is.Load() {
		return nil, errAway
	}
	return f.StorageDriver.List(ctx, path)
}

func (f *failing) PutContent(ctx context.Context, path string, content []byte) error {
	if f.is.Load() {
		return errAway
	}
	return f.StorageDriver.PutContent(ctx, path, content)
}

func (f *failing) Delete(ctx context.Context, path string) error {
	if f.is.Load() {
		return errAway
	}
	return f.StorageDriver.Delete(ctx, path)
}

// TestWarmManifests holds that a manifest that was pushed or read a moment ago is answered
// without storage, and without anybody being asked about what no tag leads to.
func TestWarmManifests(t *testing.T) {
	driver := &failing{StorageDriver: newFilesystem(t)}
	r := startWith(t, driver)
	tagged, plain := r.image("shop/web", "one"), r.image("shop/web", "two")
	r.push("shop/web", "v1", tagged)
	r.push("shop/web", digest.FromBytes(plain).String(), plain)
	driver.is.Store(true)
	for range 2 {
		for _, method := range []string{"GET", "HEAD"} {
			r.want(200, "", r.do(method, "/v2/shop/web/manifests/v1", nil))
			r.want(200, "", r.do(method, "/v2/shop/web/manifests/"+digest.FromBytes(tagged).String(), nil))
		}
	}
	calls := r.directory.calls()
	r.want(200, "", r.do("GET", "/v2/shop/web/manifests/"+digest.FromBytes(plain).String(), nil))
	if n := r.directory.calls() - calls; n != 0 {
		t.Errorf("for a manifest without tags the directory was asked %d times", n)
	}
}

// TestRottenManifest holds that a manifest whose file was damaged is not served.
func TestRottenManifest(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) { o.ManifestCacheBytes = 1 })
	content := r.image("shop/web", "one")
	r.push("shop/web", "v1", content)
	d := digest.FromBytes(content)
	r.want(200, "", r.do("GET", "/v2/shop/web/manifests/v1", nil))
	path := "/docker/registry/v2/blobs/sha256/" + d.Encoded()[:2] + "/" + d.Encoded() + "/data"
	if err := r.driver.PutContent(t.Context(), path, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	r.want(500, ociregistry.CodeUnknown, r.do("GET", "/v2/shop/web/manifests/v1", nil))
}

// TestStillDownload holds that a client which takes nothing of a file is given up.
func TestStillDownload(t *testing.T) {
	r := startWith(t, newDisk(t), func(o *ociregistry.Options) { o.ClientTimeout = time.Second })
	d := r.pushBlob("shop/web", bytesOf(24<<20, 1))
	aborted := `weir_registry_requests_total{code="aborted",method="GET",route="blob"} `
	count := func() string {
		text := string(r.want(200, "", r.do("GET", "/extensions/v2/metrics", nil)).body)
		_, rest, _ := strings.Cut(text, aborted)
		number, _, _ := strings.Cut(rest, "\n")
		return number
	}
	before := count()
	conn := r.dial()
	fmt.Fprintf(conn, "GET /v2/shop/web/blobs/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n", d)
	wait(t, "the client that takes nothing is given up", func() bool { return count() != before })
}
