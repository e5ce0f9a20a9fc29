package chaos_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/s3server"
	"weir.dev/weir/internal/testenv/testimage"
)

const (
	bucketed = namespace + "/bucketed"
	imported = namespace + "/imported"
)

// objectStorage is a registry that keeps its blobs in an object store.
type objectStorage struct {
	store     *s3server.Server
	elsewhere *testenv.Registry
	dataDir   string
	p         *process
	c         registryClient
	images    map[string]testimage.Raw // by their tags in bucketed
}

// boot starts the registry over what the last one left.
func (o *objectStorage) boot(t *testing.T, redirect bool) {
	t.Helper()
	settings := map[string]any{"registry": map[string]any{"storage": map[string]any{
		"driver": "s3", "parameters": o.store.Parameters("/weir"), "redirect": redirect,
	}}}
	content, err := yaml.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	o.p = boot(t, o.dataDir, "--config", testenv.ConfigFile(t, string(content)))
	o.c = administrator(t, o.p)
}

// TestRegistryInObjectStore uses a registry whose blobs are in an S3-compatible store, in
// all ways; stops it, kills it in the middle of a push, and has it send clients to the
// store itself. Each time all is there that was before.
func TestRegistryInObjectStore(t *testing.T) {
	t.Parallel()
	o := &objectStorage{store: s3server.Start(t, t.TempDir()), elsewhere: testenv.NewRegistry(t), dataDir: t.TempDir(), images: map[string]testimage.Raw{}}
	o.boot(t, false)
	prepare(t, o.p)
	o.pushes(t)
	o.readsParts(t)
	o.mounts(t)
	o.deletes(t)
	o.passesThrough(t)
	o.p.terminate(t, 20*time.Second)

	o.boot(t, true)
	o.redirects(t)
	interrupted := o.killedInMidPush(t)

	o.boot(t, false)
	if _, err := o.c.want(t.Context(), http.StatusNotFound, http.MethodGet, blobOf(bucketed, digest.FromBytes(interrupted.Layers[1])), nil); err != nil {
		t.Errorf("it was not uploaded: %v", err)
	}
	if err := o.c.push(t.Context(), chunked, bucketed, "interrupted", interrupted); err != nil {
		t.Errorf("pushing again what was interrupted: %v", err)
	}
	o.images["interrupted"] = interrupted
	o.wantAll(t)
	o.p.terminate(t, 20*time.Second)
}

// pushes pushes in every way, layers that take several parts in the store among them.
func (o *objectStorage) pushes(t *testing.T) {
	t.Helper()
	shared := testimage.Noise(2 << 20)
	for n, how := range ways {
		i := testimage.NewRaw(shared, testimage.Noise(6<<20), testimage.Noise(100))
		if err := o.c.push(t.Context(), how, bucketed, fmt.Sprint("t", n), i); err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		o.images[fmt.Sprint("t", n)] = i
	}
	o.wantAll(t)
}

// wantAll pulls everything.
func (o *objectStorage) wantAll(t *testing.T) {
	t.Helper()
	for tag, i := range o.images {
		o.wantManifest(t, tag, i)
		o.wantManifest(t, i.Digest.String(), i)
	}
	s, err := o.p.images.ImageV1().ImageStreams(namespace).Get(t.Context(), "bucketed", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantSameTags(t, o.c, s)
	if o.elsewhere == nil { // it is gone, and its image is here
		if _, err := o.c.pull(t.Context(), imported, "1"); err != nil {
			t.Errorf("pulling what passed through before: %v", err)
		}
	}
}

// readsParts reads ranges of a blob.
func (o *objectStorage) readsParts(t *testing.T) {
	t.Helper()
	layer := o.images["t2"].Layers[1]
	path, size := blobOf(bucketed, digest.FromBytes(layer)), len(layer)
	for asked, want := range map[string][2]int{
		"0-0": {0, 1}, "100-4999": {100, 5000}, "5242870-5242889": {5<<20 - 10, 5<<20 + 10}, fmt.Sprint(size-1, "-"): {size - 1, size}, "-7": {size - 7, size},
	} {
		asked = strings.ReplaceAll(asked, " ", "")
		reply, err := o.c.want(t.Context(), http.StatusPartialContent, http.MethodGet, path, nil, "Range", "bytes="+asked)
		at := fmt.Sprintf("bytes %d-%d/%d", want[0], want[1]-1, size)
		if err != nil || !bytes.Equal(reply.body, layer[want[0]:want[1]]) || reply.header.Get("Content-Range") != at {
			t.Errorf("range %s: %d bytes at %s, %v", asked, len(reply.body), reply.header.Get("Content-Range"), err)
		}
	}
	if reply, err := o.c.send(t.Context(), http.MethodGet, path, nil, "Range", fmt.Sprintf("bytes=%d-", size)); err != nil || reply.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range behind the end: %d, %v", reply.status, err)
	}
}

// mounts makes an image in another repository without uploading anything.
func (o *objectStorage) mounts(t *testing.T) {
	t.Helper()
	i := o.images["t1"]
	for _, blob := range i.Blobs() {
		mount := fmt.Sprintf("?mount=%s&from=%s", digest.FromBytes(blob), bucketed)
		if _, err := o.c.want(t.Context(), http.StatusCreated, http.MethodPost, uploadsOf(namespace+"/mounted")+mount, nil); err != nil {
			t.Error(err)
		}
	}
	if err := o.c.putManifest(t.Context(), namespace+"/mounted", "m", i); err != nil {
		t.Error(err)
	}
	o.c.wantImage(t, namespace+"/mounted", "m", i)
}

// deletes deletes an image, a blob and an upload.
func (o *objectStorage) deletes(t *testing.T) {
	t.Helper()
	ctx, i, blob := t.Context(), o.images["t0"], testimage.Noise(1000)
	delete(o.images, "t0")
	d := digest.FromBytes(blob)
	upload, err := o.c.begin(ctx, bucketed)
	if err == nil {
		err = o.c.patch(ctx, upload, testimage.Noise(6<<20), 0)
	}
	if err == nil {
		err = o.c.upload(ctx, atOnce, bucketed, blob)
	}
	if err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{manifestOf(bucketed, i.Digest.String()): 202, blobOf(bucketed, d): 202, upload: 204} {
		if _, err := o.c.want(ctx, status, http.MethodDelete, path, nil); err != nil {
			t.Error(err)
		}
		if _, err := o.c.want(ctx, http.StatusNotFound, http.MethodGet, path, nil); err != nil {
			t.Errorf("it was deleted: %v", err)
		}
	}
	if _, err := o.c.want(ctx, http.StatusNotFound, http.MethodGet, manifestOf(bucketed, "t0"), nil); err != nil {
		t.Errorf("its image was deleted: %v", err)
	}
	if n, err := o.store.Unfinished(); err != nil || n != 0 {
		t.Errorf("%d unfinished uploads are left in the store, %v", n, err)
	}
}

// passesThrough pulls somebody else's image until all of it is kept, and ends the other
// registry.
func (o *objectStorage) passesThrough(t *testing.T) {
	t.Helper()
	o.elsewhere.Push(t, "team/app:1", testimage.Image(t, "linux/amd64"))
	isi := importOf("imported", imageImport("1", o.elsewhere.Ref("team/app:1")))
	if _, err := o.p.images.ImageV1().ImageStreamImports(namespace).Create(t.Context(), isi, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "what passes through to be kept", func() error {
		o.elsewhere.Reset()
		if _, err := o.c.pull(t.Context(), imported, "1"); err != nil {
			return err
		}
		if n := o.elsewhere.Count("GET "); n > 0 {
			return fmt.Errorf("%d requests to the other registry", n)
		}
		return nil
	})
	o.elsewhere.Close()
	o.elsewhere = nil
}

// killedInMidPush kills the server in the middle of a push and returns what was pushed.
func (o *objectStorage) killedInMidPush(t *testing.T) testimage.Raw {
	t.Helper()
	i := testimage.NewRaw(testimage.Noise(1<<20), testimage.Noise(8<<20))
	if err := o.c.upload(t.Context(), chunked, bucketed, i.Layers[0]); err != nil {
		t.Fatal(err)
	}
	body := &killingReader{content: i.Layers[1], kill: o.p.kill}
	_, err := o.c.want(t.Context(), http.StatusCreated, http.MethodPost, uploadsOf(bucketed)+"?digest="+digest.FromBytes(i.Layers[1]).String(), body)
	if refused := (*refusal)(nil); err == nil || errors.As(err, &refused) {
		t.Errorf("the server was killed, and answers %v", err)
	}
	return i
}

// killingReader kills a server once most of it was read.
type killingReader struct {
	content []byte
	read    int
	kill    func()
}

// Read implements io.Reader.
func (r *killingReader) Read(p []byte) (int, error) {
	if r.read > len(r.content)*2/3 {
		r.kill()
	}
	n := copy(p[:min(len(p), chunkBytes)], r.content[r.read:])
	if n == 0 {
		return 0, io.EOF
	}
	r.read += n
	return n, nil
}

// redirects checks that clients are sent to the store for blobs, which serves them
// without a login, whole and in part.
func (o *objectStorage) redirects(t *testing.T) {
	t.Helper()
	for tag, i := range o.images {
		o.wantManifest(t, tag, i)
		for _, blob := range i.Blobs() {
			d := digest.FromBytes(blob)
			reply, err := o.c.want(t.Context(), http.StatusTemporaryRedirect, http.MethodGet, blobOf(bucketed, d), nil)
			if err != nil {
				t.Error(err)
				continue
			}
			path, ok := strings.CutPrefix(reply.header.Get("Location"), "http://"+o.store.Endpoint)
			there := registryClient{host: o.store.Endpoint}
			all, err := there.want(t.Context(), http.StatusOK, http.MethodGet, path, nil)
			if !ok || err != nil || !bytes.Equal(all.body, blob) {
				t.Errorf("blob %s is at %s: %d bytes, %v", d, reply.header.Get("Location"), len(all.body), err)
			}
			part, err := there.want(t.Context(), http.StatusPartialContent, http.MethodGet, path, nil, "Range", "bytes=1-9")
			if err != nil || !bytes.Equal(part.body, blob[1:10]) {
				t.Errorf("a range of blob %s: %d bytes, %v", d, len(part.body), err)
			}
		}
	}
	// Whoever may not pull is sent nowhere.
	d := digest.FromBytes(o.images["t1"].Layers[0])
	reply, err := o.c.as("Bearer anonymous").send(t.Context(), http.MethodGet, blobOf(bucketed, d), nil)
	if err != nil || reply.status != http.StatusUnauthorized || reply.header.Get("Location") != "" {
		t.Errorf("nobody is sent to %q: %d, %v", reply.header.Get("Location"), reply.status, err)
	}
}

// wantManifest gets a manifest, which comes from the registry itself.
func (o *objectStorage) wantManifest(t *testing.T, reference string, i testimage.Raw) {
	t.Helper()
	if _, err := o.c.content(t.Context(), manifestOf(bucketed, reference), i.Digest); err != nil {
		t.Error(err)
	}
}
