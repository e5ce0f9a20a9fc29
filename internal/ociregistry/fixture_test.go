package ociregistry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/disk"
	"weir.dev/weir/internal/ociregistry"
)

// registry is a Handler over a real store behind a real server, with a directory of
// streams, rights and an upstream that tests write.
type registry struct {
	t         testing.TB
	url       string
	handler   *ociregistry.Handler
	store     *blobstore.Store
	driver    storagedriver.StorageDriver
	directory *directory
	access    *access
	upstream  *outside
	client    *http.Client
	server    *httptest.Server
}

// drivers are those that every test of content runs with.
var drivers = map[string]func(t testing.TB) storagedriver.StorageDriver{
	"inmemory":   func(testing.TB) storagedriver.StorageDriver { return inmemory.New() },
	"filesystem": newFilesystem,
	"disk":       newDisk,
}

func newFilesystem(t testing.TB) storagedriver.StorageDriver {
	return filesystem.New(filesystem.DriverParameters{RootDirectory: t.TempDir(), MaxThreads: 100})
}

func newDisk(t testing.TB) storagedriver.StorageDriver {
	d, err := disk.Open(t.TempDir(), disk.DefaultMaxThreads)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// eachDriver runs a test with a registry over every kind of storage.
func eachDriver(t *testing.T, test func(t *testing.T, r *registry), changes ...func(*ociregistry.Options)) {
	for name, open := range drivers {
		t.Run(name, func(t *testing.T) { test(t, startWith(t, open(t), changes...)) })
	}
}

func start(t testing.TB, changes ...func(*ociregistry.Options)) *registry {
	return startWith(t, inmemory.New(), changes...)
}

func startWith(t testing.TB, driver storagedriver.StorageDriver, changes ...func(*ociregistry.Options)) *registry {
	t.Helper()
	store, err := blobstore.New(blobstore.Options{Driver: driver})
	if err != nil {
		t.Fatal(err)
	}
	r := &registry{t: t, store: store, driver: driver, directory: newDirectory(), access: newAccess(), upstream: newOutside()}
	o := ociregistry.Options{Store: store, Directory: r.directory, Access: r.access, Upstream: r.upstream}
	for _, change := range changes {
		change(&o)
	}
	if r.handler, err = ociregistry.New(o); err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(r.handler)
	r.url = r.server.URL
	r.client = &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.server.Close()
		if err := r.handler.Close(); err != nil {
			t.Errorf("closing the handler: %v", err)
		}
	})
	return r
}

// reply is an answer that was read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error // reading the body
}

// option changes a request.
type option func(*http.Request)

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func as(user string) option { return header("Authorization", "Bearer "+user) }

func chunked(r *http.Request) { r.ContentLength = -1 }

func (r *registry) request(method, path string, body []byte, options ...option) *http.Request {
	r.t.Helper()
	var src io.Reader
	if body != nil {
		src = bytes.NewReader(body)
	}
	req, err := http.NewRequest(method, r.url, src)
	if err != nil {
		r.t.Fatal(err)
	}
	if strings.HasPrefix(path, "/") {
		// The path is sent as it stands, escapes and all.
		rest, query, _ := strings.Cut(path, "?")
		req.URL.Opaque = strings.TrimPrefix(r.url, "http:") + rest
		req.URL.RawQuery = query
	}
	req.Header.Set("Authorization", "Bearer admin")
	for _, o := range options {
		o(req)
	}
	return req
}

func (r *registry) do(method, path string, body []byte, options ...option) reply {
	r.t.Helper()
	res, err := r.client.Do(r.request(method, path, body, options...))
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	return reply{status: res.StatusCode, header: res.Header, body: content, err: err}
}

// want fails unless the answer has the status, and for errors the code, and comes back.
func (r *registry) want(status int, code ociregistry.Code, got reply) reply {
	r.t.Helper()
	if got.status != status {
		r.t.Fatalf("status is %d, not %d: %s", got.status, status, got.body)
	}
	if code != "" && len(got.body) > 0 {
		if codes := errorCodes(r.t, got); !slices.Contains(codes, code) {
			r.t.Fatalf("error codes are %v, not %s: %s", codes, code, got.body)
		}
	}
	return got
}

// errorCodes are the codes of an error body, whose form is verified.
func errorCodes(t testing.TB, got reply) []ociregistry.Code {
	t.Helper()
	var body struct {
		Errors []struct {
			Code    ociregistry.Code `json:"code"`
			Message string           `json:"message"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Fatalf("the error body is no JSON: %v: %s", err, got.body)
	}
	if got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("the error body's type is %q", got.header.Get("Content-Type"))
	}
	var codes []ociregistry.Code
	for _, e := range body.Errors {
		if e.Code == "" || e.Message == "" {
			t.Fatalf("an error has no code or message: %s", got.body)
		}
		codes = append(codes, e.Code)
	}
	return codes
}

// pushBlob uploads content in one request.
func (r *registry) pushBlob(repo string, content []byte) digest.Digest {
	r.t.Helper()
	d := digest.FromBytes(content)
	r.want(201, "", r.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), content))
	return d
}

// image pushes blobs and returns a manifest of them, which is not pushed.
func (r *registry) image(repo, seed string, change ...func(*ocispec.Manifest)) []byte {
	r.t.Helper()
	config := []byte(`{"architecture":"amd64","os":"linux","seed":"` + seed + `"}`)
	layer := []byte("layer of " + seed)
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: r.pushBlob(repo, config), Size: int64(len(config))},
		Layers:    []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: r.pushBlob(repo, layer), Size: int64(len(layer))}},
	}
	m.SchemaVersion = 2
	for _, c := range change {
		c(&m)
	}
	return encode(r.t, m)
}

func index(t testing.TB, children ...[]byte) []byte {
	t.Helper()
	i := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	i.SchemaVersion = 2
	for _, c := range children {
		i.Manifests = append(i.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(c), Size: int64(len(c)),
		})
	}
	return encode(t, i)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// mediaTypeIn is the mediaType of a manifest.
func mediaTypeIn(content []byte) string {
	var m struct {
		MediaType string `json:"mediaType"`
	}
	_ = json.Unmarshal(content, &m)
	return m.MediaType
}

func (r *registry) put(repo, reference string, content []byte, options ...option) reply {
	r.t.Helper()
	options = append([]option{header("Content-Type", mediaTypeIn(content))}, options...)
	return r.do("PUT", "/v2/"+repo+"/manifests/"+reference, content, options...)
}

// push pushes a manifest that has to be accepted.
func (r *registry) push(repo, reference string, content []byte, options ...option) reply {
	r.t.Helper()
	return r.want(201, "", r.put(repo, reference, content, options...))
}

// wait waits until something is so.
func wait(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func bytesOf(n int, seed byte) []byte {
	content := make([]byte, n)
	state := uint32(seed) + 1
	for i := range content {
		state = state*1664525 + 1013904223
		content[i] = byte(state >> 24)
	}
	return content
}

func uploadSpan(n int) string { return fmt.Sprintf("0-%d", n-1) }

// withLayer pushes a layer and adds it to an image.
func withLayer(r *registry, repo string, layer []byte) func(*ocispec.Manifest) {
	return func(m *ocispec.Manifest) {
		m.Layers = append(m.Layers, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageLayerGzip, Digest: r.pushBlob(repo, layer), Size: int64(len(layer)),
		})
	}
}

func digestOf(content []byte) string { return digest.FromBytes(content).String() }
