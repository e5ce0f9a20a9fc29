package ociregistry_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"

	"strings"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// TestHeaders holds the headers of content that the specification leaves open.
func TestHeaders(t *testing.T) {
	r := start(t)
	content := r.image("shop/web", "one")
	r.push("shop/web", "v1", content)
	const forever, always = "private, max-age=31536000, immutable", "no-cache"
	layer, m := digest.FromString("layer of one").String(), digestOf(content)
	for path, want := range map[string]struct{ digest, cached, ranges string }{
		"blobs/" + layer: {layer, forever, "bytes"},
		"manifests/" + m: {m, forever, ""},
		"manifests/v1":   {m, always, ""},
	} {
		for _, request := range []struct {
			method string
			status int
			option option
		}{
			{"GET", 200, header("Accept", "*/*")},
			{"HEAD", 200, header("Accept", "*/*")},
			{"GET", 304, header("If-None-Match", `"x", W/"`+want.digest+`"`)},
			{"HEAD", 304, header("If-None-Match", `"`+want.digest+`"`)},
		} {
			got := r.want(request.status, "", r.do(request.method, "/v2/shop/web/"+path, nil, request.option))
			for name, value := range map[string]string{
				"Docker-Content-Digest": want.digest, "Etag": `"` + want.digest + `"`, "Cache-Control": want.cached,
				"Docker-Distribution-Api-Version": "registry/2.0", "X-Registry-Supports-Signatures": "1",
			} {
				if got.header.Get(name) != value {
					t.Errorf("%s %s with status %d: %s is %q, want %q", request.method, path, got.status, name, got.header.Get(name), value)
				}
			}
			if request.status == 200 && got.header.Get("Accept-Ranges") != want.ranges {
				t.Errorf("%s %s: Accept-Ranges is %q", request.method, path, got.header.Get("Accept-Ranges"))
			}
		}
	}
}

func TestBlobUnknown(t *testing.T) {
	r := start(t)
	d := digest.FromString("nobody has it").String()
	for path, want := range map[string]struct {
		status int
		code   ociregistry.Code
	}{
		"/v2/shop/web/blobs/" + d:                                         {404, ociregistry.CodeBlobUnknown},
		"/v2/shop/web/blobs/sha256:abc":                                   {400, ociregistry.CodeDigestInvalid},
		"/v2/shop/web/blobs/latest":                                       {400, ociregistry.CodeDigestInvalid},
		"/v2/shop/web/blobs/sha256:" + strings.Repeat("A", 64):            {400, ociregistry.CodeDigestInvalid},
		"/v2/shop/web/blobs/" + strings.Replace(d, ":", "%3A", 1):         {404, ociregistry.CodeBlobUnknown},
		"/v2/shop%2Fweb/blobs/" + d:                                       {400, ociregistry.CodeNameInvalid},
		"/v2/shop/Web/blobs/" + d:                                         {400, ociregistry.CodeNameInvalid},
		"/v2/shop/../web/blobs/" + d:                                      {400, ociregistry.CodeNameInvalid},
		"/v2/shop//web/blobs/" + d:                                        {400, ociregistry.CodeNameInvalid},
		"/v2/web/blobs/" + d:                                              {400, ociregistry.CodeNameInvalid},
		"/v2/shop/" + strings.Repeat("a", 300) + "/blobs/" + d:            {400, ociregistry.CodeNameInvalid},
		"/v2/no.namespace/web/blobs/" + d:                                 {404, ociregistry.CodeNameUnknown},
		"/v2/shop/web/blob/" + d:                                          {404, ociregistry.CodeUnsupported},
		"/v2/shop/web/blobs/" + digest.SHA384.FromString("x").String():    {400, ociregistry.CodeDigestInvalid},
		"/v2/shop/web/blobs/" + digest.SHA512.FromString("none").String(): {404, ociregistry.CodeBlobUnknown},
	} {
		r.want(want.status, want.code, r.do("GET", path, nil))
		head := want.status
		if want.code == ociregistry.CodeNameInvalid && !strings.Contains(path, "%2F") {
			head = 404 // it has no body to say why
		}
		r.want(head, "", r.do("HEAD", path, nil))
	}
}

func TestStoredBlobDelete(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		m := r.image("shop/web", "one")
		r.push("shop/web", "latest", m)
		d := digest.FromBytes(m).String()
		r.want(200, "", r.do("GET", "/v2/shop/web/manifests/latest", nil))
		r.want(204, "", r.do("DELETE", "/admin/blobs/"+d, nil))
		r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/shop/web/manifests/latest", nil))
		r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/shop/web/manifests/"+d, nil))
		r.want(204, "", r.do("DELETE", "/admin/blobs/"+d, nil))
		r.want(400, ociregistry.CodeDigestInvalid, r.do("DELETE", "/admin/blobs/latest", nil))
		r.want(401, ociregistry.CodeUnauthorized, r.do("DELETE", "/admin/blobs/"+d, nil, as("guest")))
	})
}

// TestWhoReadsBlobs holds the rules of who may read what: that a digest is known opens
// nothing.
func TestWhoReadsBlobs(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		layer := []byte("secret layer")
		manifest := r.image("a/app", "one", withLayer(r, "a/app", layer))
		r.push("a/app", "v1", manifest)
		d, m := digest.FromBytes(layer), digest.FromBytes(manifest)
		read := func(repo string) int { return r.do("GET", "/v2/"+repo+"/blobs/"+d.String(), nil).status }

		if read("a/app") != 200 || read("b/app") != 404 {
			t.Fatal("the blob is readable elsewhere, or not where it was pushed")
		}
		// As tagging into another stream does.
		r.directory.copied(parse(t, "a/app"), parse(t, "b/app"), "copied", m)
		if read("b/app") != 200 {
			t.Error("a blob of an image of the stream is not readable")
		}
		if got := r.want(200, "", r.do("GET", "/v2/b/app/manifests/copied", nil)); !bytes.Equal(got.body, manifest) {
			t.Error("an image that was tagged into the stream has another manifest")
		}
		r.want(200, "", r.do("GET", "/v2/b/app/manifests/"+m.String(), nil))
		if got := r.want(200, "", r.do("GET", "/v2/b/app/blobs/"+m.String(), nil)); !bytes.Equal(got.body, manifest) {
			t.Error("a manifest of the stream is not readable as a blob")
		}
		r.want(404, ociregistry.CodeNameUnknown, r.do("GET", "/v2/c/app/manifests/"+m.String(), nil))
		r.want(202, "", r.do("DELETE", "/v2/b/app/manifests/copied", nil))
		if read("b/app") != 404 {
			t.Error("the blob is readable after the image is gone")
		}
		// The right to pull is asked for first, whatever the repository has.
		r.want(401, ociregistry.CodeUnauthorized, r.do("GET", "/v2/a/app/blobs/"+d.String(), nil, as("guest")))
		r.access.allow("guest", ociregistry.ActionPull, "b/app")
		r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", "/v2/b/app/blobs/"+d.String(), nil, as("guest")))
	})
}

// TestEmptyLayers holds that a manifest may name an empty layer that was not uploaded, and
// has it then.
func TestEmptyLayers(t *testing.T) {
	r := start(t)
	for d, size := range map[digest.Digest]int64{
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": 0,
		"sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4": 32,
	} {
		path := "/v2/a/app/blobs/" + d.String()
		r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", path, nil))
		m := r.image("a/app", "with "+d.String(), func(m *ocispec.Manifest) {
			m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: size})
		})
		r.push("a/app", "v1", m)
		got := r.want(200, "", r.do("GET", path, nil))
		if int64(len(got.body)) != size || digest.FromBytes(got.body) != d {
			t.Errorf("%s has %d bytes of %s", d, len(got.body), digest.FromBytes(got.body))
		}
		r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", "/v2/b/app/blobs/"+d.String(), nil))
		r.want(202, "", r.do("DELETE", path, nil))
		r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", path, nil))
	}
}

// TestDirectoryAway holds that what was pushed is readable by its links while nobody can
// be asked about streams, and that what is not known then is not said to be missing.
func TestDirectoryAway(t *testing.T) {
	r := start(t)
	m := r.image("a/app", "one")
	r.push("a/app", "v1", m)
	r.directory.failure = ociregistry.NewError(ociregistry.CodeUnavailable, "the API is away")
	r.want(200, "", r.do("GET", "/v2/a/app/manifests/"+digest.FromBytes(m).String(), nil))
	r.want(503, ociregistry.CodeUnavailable, r.do("GET", "/v2/a/app/manifests/v1", nil))
	r.want(503, ociregistry.CodeUnavailable, r.do("GET", "/v2/a/app/blobs/"+digest.FromString("x").String(), nil))
	r.directory.failure = errors.New("a secret of the directory's")
	got := r.want(500, ociregistry.CodeUnknown, r.do("GET", "/v2/a/app/manifests/v1", nil))
	if strings.Contains(string(got.body), "secret") || !strings.Contains(string(got.body), `"request":"`) {
		t.Errorf("an internal error shows %s", got.body)
	}
}

// TestSendfile holds that a blob of a plain filesystem is handed to the connection as the
// file that it is, in pieces after which a slow client's time is counted anew.
func TestSendfile(t *testing.T) {
	for _, open := range []func(testing.TB) storagedriver.StorageDriver{newDisk, newFilesystem} {
		r := startWith(t, open(t))
		content := bytesOf(5<<20, 3)
		d := r.pushBlob("shop/web", content)
		w := &fileTaker{ResponseRecorder: httptest.NewRecorder()}
		req := httptest.NewRequest("GET", "/v2/shop/web/blobs/"+d.String(), nil)
		req.Header.Set("Authorization", "Bearer admin")
		r.handler.ServeHTTP(w, req)
		if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), content) {
			t.Fatalf("status %d, %d bytes", w.Code, w.Body.Len())
		}
		if r.driver.Name() == "filesystem" && w.files < 2 {
			t.Errorf("%T: the connection got %d files", r.driver, w.files)
		}
	}
}

// fileTaker counts the plain files that it is given to send.
type fileTaker struct {
	*httptest.ResponseRecorder
	files int
}

func (f *fileTaker) ReadFrom(src io.Reader) (int64, error) {
	if limited, ok := src.(*io.LimitedReader); ok {
		if _, ok := limited.R.(*os.File); ok {
			f.files++
		}
	}
	return io.Copy(f.ResponseRecorder, struct{ io.Reader }{src})
}

func TestRedirect(t *testing.T) {
	driver := &redirecting{StorageDriver: newDisk(t)}
	r := startWith(t, driver, func(o *ociregistry.Options) { o.RedirectBlobs = true })
	d := r.pushBlob("shop/web", []byte("elsewhere"))
	path := "/v2/shop/web/blobs/" + d.String()
	got := r.want(307, "", r.do("GET", path, nil))
	if !strings.HasPrefix(got.header.Get("Location"), "https://storage.example/") || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer has %v", got.header)
	}
	if head := r.want(200, "", r.do("HEAD", path, nil)); head.header.Get("Content-Length") != "9" {
		t.Error("HEAD does not tell the size")
	}
	driver.none = true
	if got := r.want(200, "", r.do("GET", path, nil)); string(got.body) != "elsewhere" {
		t.Error("without a URL the blob is not sent")
	}
}

type redirecting struct {
	storagedriver.StorageDriver
	none bool
}

func (d *redirecting) RedirectURL(_ *http.Request, path string) (string, error) {
	if d.none {
		return "", nil
	}
	return "https://storage.example" + path, nil
}

// TestPullThrough holds that what only another registry has is served, and that what
// breaks off there breaks off here.
func TestPullThrough(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		layer := bytesOf(1<<20, 4)
		manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
			`"config":{"digest":"` + digest.FromString("c").String() + `"},"layers":[{"digest":"` + digest.FromBytes(layer).String() + `","size":1048576}]}`)
		d, m := digest.FromBytes(layer), digest.FromBytes(manifest)
		r.upstream.blobs[d], r.upstream.manifests[m] = layer, manifest
		path := "/v2/shop/web/blobs/" + d.String()

		r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", path, nil))
		r.imported(t, "shop/web", "v1", manifest)
		got := r.want(200, "", r.do("GET", "/v2/shop/web/manifests/v1", nil))
		if !bytes.Equal(got.body, manifest) || got.header.Get("Content-Type") != "application/vnd.oci.image.manifest.v1+json" {
			t.Errorf("the manifest is %s of %s", got.body, got.header.Get("Content-Type"))
		}
		if head := r.want(200, "", r.do("HEAD", path, nil)); head.header.Get("Content-Length") != "1048576" {
			t.Error("HEAD does not tell the size")
		}
		if got := r.want(200, "", r.do("GET", path, nil)); !bytes.Equal(got.body, layer) {
			t.Error("the blob is another one")
		}
		if got := r.want(206, "", r.do("GET", path, nil, header("Range", "bytes=1000-1999"))); !bytes.Equal(got.body, layer[1000:2000]) {
			t.Error("the part is another one")
		}
		r.upstream.breakAt = 5000
		if got := r.do("GET", path, nil); got.err == nil || len(got.body) >= len(layer) {
			t.Errorf("a blob that broke off looks whole: %d bytes, %v", len(got.body), got.err)
		}
		if got := r.do("GET", path, nil, header("Range", "bytes=10-")); got.err == nil {
			t.Error("a part that broke off looks whole")
		}
		for _, c := range []struct {
			code   ociregistry.Code
			status int
		}{{ociregistry.CodeTooManyRequests, 429}, {ociregistry.CodeUnavailable, 503}, {ociregistry.CodeBlobUnknown, 404}} {
			r.upstream.failure = ociregistry.NewError(c.code, "upstream says so")
			r.want(c.status, c.code, r.do("GET", path, nil))
		}
		// What the store has from there is not asked for, what it has from others is.
		r.upstream.failure, r.upstream.breakAt = ociregistry.NewError(ociregistry.CodeBlobUnknown, "it was made up"), 0
		if err := r.store.Put(t.Context(), d, layer); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "HEAD"} {
			r.want(404, "", r.do(method, path, nil))
		}
		r.upstream.failure = errors.New("nobody should ask")
		if err := r.store.AddProvenance(t.Context(), d, importedFrom.Provenance("")); err != nil {
			t.Fatal(err)
		}
		r.want(200, "", r.do("GET", path, nil))
	})
}

func TestPullThroughIsOff(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) { o.Upstream = nil })
	manifest := []byte(`{"schemaVersion":2,"layers":[{"digest":"` + digest.FromString("l").String() + `"}]}`)
	r.imported(t, "shop/web", "v1", manifest)
	r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/shop/web/manifests/v1", nil))
	r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", "/v2/shop/web/blobs/"+digest.FromString("l").String(), nil))
	// What came through while it was on is served, where it came through.
	m := digest.FromBytes(manifest)
	kept := func(source string) {
		t.Helper()
		if err := errors.Join(r.store.Put(t.Context(), m, manifest), r.store.AddProvenance(t.Context(), m, source)); err != nil {
			t.Fatal(err)
		}
	}
	kept(importedFrom.Provenance("other"))
	r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/shop/web/manifests/v1", nil))
	kept(importedFrom.Provenance(""))
	r.want(200, "", r.do("GET", "/v2/shop/web/manifests/v1", nil))
}

// setMirror changes whether what a stream imported may be kept.
func (r *registry) setMirror(repo string, mirror bool) {
	r.directory.mu.Lock()
	defer r.directory.mu.Unlock()
	for _, sources := range r.directory.streams[repo].sources {
		sources[0].Mirror = mirror
	}
}

func (r *registry) imported(t testing.TB, repo, tag string, manifest []byte) {
	r.place(t, repo, tag, manifest, []ociregistry.Source{importedFrom})
}

// importedFrom is where imported images come from.
var importedFrom = ociregistry.Source{Ref: reference.PullSpec{Registry: "quay.example", Namespace: "a", Name: "b"}, Mirror: true}

func (r *registry) place(t testing.TB, repo, tag string, manifest []byte, sources []ociregistry.Source) {
	t.Helper()
	r.directory.imported(parse(t, repo), tag, manifest, sources...)
}

func parse(t testing.TB, repo string) reference.Repository {
	t.Helper()
	name, err := reference.ParseRepository(repo)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestDownloads holds that many clients read one blob at a time.
func TestDownloads(t *testing.T) {
	r := startWith(t, newDisk(t))
	content := bytesOf(2<<20, 5)
	d := r.pushBlob("shop/web", content)
	results := make(chan error)
	for range 20 {
		go func() {
			got := r.do("GET", "/v2/shop/web/blobs/"+d.String(), nil)
			if got.err == nil && !bytes.Equal(got.body, content) {
				got.err = fmt.Errorf("got %d bytes", len(got.body))
			}
			results <- got.err
		}()
	}
	var errs []error
	for range 20 {
		errs = append(errs, <-results)
	}
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		t.Fatal(errs[i])
	}
}
