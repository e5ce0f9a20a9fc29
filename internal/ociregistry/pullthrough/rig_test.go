package pullthrough

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	digest "github.com/opencontainers/go-digest"
	"go.uber.org/goleak"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/disk"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/registryrules"
	"weir.dev/weir/internal/testenv/testimage"
	"weir.dev/weir/internal/testenv/upstreamregistry"
	"weir.dev/weir/internal/upstream"
)

func TestMain(m *testing.M) {
	quiet := flag.NewFlagSet("", flag.PanicOnError)
	klog.InitFlags(quiet)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL"} {
		if err := quiet.Set(name, value); err != nil {
			panic(err)
		}
	}
	klog.SetOutput(io.Discard) // what other registries do wrong is said here often
	goleak.VerifyTestMain(m)
}

// rig is a Mirror between a store and registries of other people.
type rig struct {
	*Mirror
	t     *testing.T
	store *blobstore.Store
	// folder is where the disk driver keeps its files.
	folder string
}

// setup is what a test may change of a rig.
type setup struct {
	Options
	upstream upstream.Options
	driver   func(folder string) storagedriver.StorageDriver
}

func onDisk(folder string) storagedriver.StorageDriver {
	d, err := disk.Open(folder, disk.DefaultMaxThreads)
	if err != nil {
		panic(err)
	}
	return d
}

// inMemory is a driver whose unfinished files cannot be read, as those of object stores.
func inMemory(string) storagedriver.StorageDriver { return inmemory.New() }

func newRig(t *testing.T, change ...func(*setup)) *rig {
	t.Helper()
	folder := t.TempDir()
	s := setup{driver: onDisk, upstream: upstream.DefaultOptions(), Options: Options{
		Mirror: true, RetryBase: time.Millisecond, RetryMax: 5 * time.Millisecond, TempDir: t.TempDir(),
		Credentials: func(context.Context, string) (pullsecrets.Credentials, error) { return pullsecrets.None, nil },
	}}
	s.upstream.RetryBase = time.Millisecond
	s.upstream.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	for _, f := range change {
		f(&s)
	}
	var err error
	if s.Store, err = blobstore.New(blobstore.Options{Driver: s.driver(folder)}); err != nil {
		t.Fatal(err)
	}
	if s.Upstream, err = upstream.NewClient(s.upstream); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Upstream.Close)
	m, err := New(s.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return &rig{Mirror: m, t: t, store: s.Store, folder: folder}
}

// app is a namespace.
const app = "shop"

// in is what a namespace wants of a digest.
func in(namespace string, d digest.Digest, w ociregistry.Wanted) ociregistry.Wanted {
	w.Digest, w.Namespace, w.Scope = d, namespace, "uid of "+namespace
	return w
}

// random is content that looks like nothing else, and its digest.
func random(size int) ([]byte, digest.Digest) {
	content := testimage.Noise(size)
	return content, digest.FromBytes(content)
}

// elsewhere is a registry with an image team/app:1 of these layers.
func elsewhere(t *testing.T, layers ...[]byte) *upstreamregistry.Registry {
	t.Helper()
	r := upstreamregistry.Start(t)
	putLayers(t, r, "team/app:1", layers...)
	return r
}

func putLayers(t *testing.T, r *upstreamregistry.Registry, name string, layers ...[]byte) digest.Digest {
	t.Helper()
	return digest.Digest(r.Put(t, testimage.Of(t, layers...), name))
}

// source is a repository as a stream names it.
func source(t testing.TB, spec string) ociregistry.Source {
	t.Helper()
	ref, err := reference.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return ociregistry.Source{Ref: ref, Insecure: true, Mirror: true}
}

// from is content of a size that comes from team/app of registries.
func from(t *testing.T, size int, registries ...*upstreamregistry.Registry) ociregistry.Wanted {
	t.Helper()
	o := ociregistry.Wanted{Size: int64(size)}
	for _, r := range registries {
		o.Sources = append(o.Sources, source(t, r.Host()+"/team/app"))
	}
	return o
}

// pull reads a blob whole, as a request does.
func (r *rig) pull(d digest.Digest, o ociregistry.Wanted) ([]byte, error) {
	r.t.Helper()
	return r.pullFrom(app, d, o, 0)
}

func (r *rig) pullFrom(namespace string, d digest.Digest, o ociregistry.Wanted, offset int64) ([]byte, error) {
	return r.pullWith(r.t.Context(), namespace, d, o, offset)
}

func (r *rig) pullWith(ctx context.Context, namespace string, d digest.Digest, o ociregistry.Wanted, offset int64) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := r.Blob(ctx, in(namespace, d, o))
	if err != nil {
		return nil, err
	}
	content, err := b.Open(ctx, offset)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	got := make([]byte, b.Size-offset)
	n, err := io.ReadFull(content, got)
	return got[:n], err
}

// wantPull pulls and compares.
func (r *rig) wantPull(d digest.Digest, o ociregistry.Wanted, want []byte) {
	r.t.Helper()
	if got, err := r.pull(d, o); err != nil || !bytes.Equal(got, want) {
		r.t.Fatalf("pulled %d bytes of %d, equal %v, %v", len(got), len(want), bytes.Equal(got, want), err)
	}
}

// pullAgain pulls, and once more if storage failed meanwhile, as clients do: what came
// before the failure was right, and the second attempt does without storage.
func (r *rig) pullAgain(d digest.Digest, o ociregistry.Wanted, offset int64, want []byte) {
	r.t.Helper()
	got, err := r.pullFrom(app, d, o, offset)
	if isNotStored(err) {
		wantError(r.t, err, ociregistry.CodeUnavailable, d.String())
		if !bytes.HasPrefix(want[offset:], got) || int64(len(got)) > max(int64(len(want))-heldBack-offset, 0) {
			r.t.Errorf("from %d: %d bytes were given before storage failed", offset, len(got))
		}
		got, err = r.pullFrom(app, d, o, offset)
	}
	if err != nil || !bytes.Equal(got, want[offset:]) {
		r.t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
	}
}

// wantStored waits until the store has a blob, whole.
func (r *rig) wantStored(d digest.Digest, want []byte) {
	r.t.Helper()
	r.eventually("the blob is stored", func() bool {
		got, err := r.store.Read(r.t.Context(), d, int64(len(want)))
		return err == nil && bytes.Equal(got, want)
	})
	r.wantIdle()
}

// wantNotStored waits until nothing is being fetched and checks that nothing is left.
func (r *rig) wantNotStored(d digest.Digest) {
	r.t.Helper()
	r.wantIdle()
	if _, err := r.store.Confirm(r.t.Context(), d); !errors.Is(err, blobstore.ErrUnknown) {
		r.t.Errorf("the store has %s: %v", d, err)
	}
	r.wantNothingAside()
}

func (r *rig) wantIdle() {
	r.t.Helper()
	r.eventually("nothing is being fetched", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.fetches) == 0 && r.background == 0
	})
	r.eventually("no temporary byte is left", func() bool { return r.temp.Load() == 0 })
}

// wantNothingAside waits until there is no file aside: a fetch that its last caller has left is
// forgotten before its file is removed.
func (r *rig) wantNothingAside() {
	r.t.Helper()
	r.eventually("no file is left aside", func() bool {
		none := true
		filepath.WalkDir(r.folder, func(path string, e fs.DirEntry, err error) error {
			none = none && (err != nil || e.IsDir() || !strings.Contains(path, "/aside/"))
			return nil
		})
		left, _ := os.ReadDir(r.opts.TempDir)
		return none && len(left) == 0
	})
}

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			r.t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// wantError checks the code of an error and that its text names a host.
func wantError(t *testing.T, err error, code ociregistry.Code, host string) *ociregistry.Error {
	t.Helper()
	var e *ociregistry.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	if !strings.Contains(e.Message, host) {
		t.Errorf("%q does not name %s", e.Message, host)
	}
	return e
}

// blobScript answers the requests for a blob's content by their number, beginning at 1,
// in a registry's place.
func blobScript(r *upstreamregistry.Registry, d digest.Digest, answer func(w http.ResponseWriter, r *http.Request, n int) bool) {
	var mu sync.Mutex
	n := 0
	r.On("/blobs/"+d.String(), func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet {
			return false
		}
		mu.Lock()
		n++
		now := n
		mu.Unlock()
		return answer(w, req, now)
	})
}

// offsetOf is where a request wants to begin.
func offsetOf(r *http.Request) int {
	var from int
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
	return from
}

// serveRange answers as a registry with ranges does, up to an offset at which the
// connection breaks; stop < 0 for all of it.
func serveRange(w http.ResponseWriter, r *http.Request, content []byte, stop int) {
	begin := offsetOf(r)
	w.Header().Set("Content-Length", fmt.Sprint(len(content)-begin))
	if begin > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", begin, len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	if stop < 0 {
		w.Write(content[begin:])
		return
	}
	if begin < stop {
		w.Write(content[begin:stop])
	}
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// gets are the requests for a blob's content.
func gets(r *upstreamregistry.Registry, d digest.Digest) int {
	return r.Count(http.MethodGet, "/blobs/"+d.String())
}

// registriesConf reads rules as a node has them.
func registriesConf(t *testing.T, text string) *registryrules.Conf {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registries.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := registryrules.ReadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
