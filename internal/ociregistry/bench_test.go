package ociregistry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
)

// nowhere takes an answer.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}

// warm is a handler with a manifest of ten layers, and requests for it.
func warm(t testing.TB) (*ociregistry.Handler, *http.Request, *http.Request) {
	r := startWith(t, newDisk(t))
	content := r.image("shop/web", "one", func(m *ocispec.Manifest) {
		for i := range 9 {
			withLayer(r, "shop/web", bytesOf(100, byte(i)))(m)
		}
	})
	r.push("shop/web", "v1", content)
	request := func(method, reference string) *http.Request {
		req := httptest.NewRequest(method, "/v2/shop/web/manifests/"+reference, nil)
		req.Header.Set("Authorization", "Bearer admin")
		req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
		return req
	}
	return r.handler, request("GET", "v1"), request("HEAD", digest.FromBytes(content).String())
}

// BenchmarkManifest is the handler alone, without net/http.
func BenchmarkManifest(b *testing.B) {
	handler, get, head := warm(b)
	for name, req := range map[string]*http.Request{"GET by tag": get, "HEAD by digest": head} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w := &nowhere{header: http.Header{}}
			for b.Loop() {
				clear(w.header)
				handler.ServeHTTP(w, req)
			}
		})
	}
}

// TestWarmManifestAllocates holds what a warm manifest costs, which is what makes it quick.
func TestWarmManifestAllocates(t *testing.T) {
	handler, get, head := warm(t)
	for _, req := range []*http.Request{get, head} {
		w := &nowhere{header: http.Header{}}
		n := testing.AllocsPerRun(200, func() {
			clear(w.header)
			handler.ServeHTTP(w, req)
		})
		// Of these the rights and the stream that tests keep in memory take a third.
		if n > 16 {
			t.Errorf("%s %s allocates %v times", req.Method, req.URL, n)
		}
	}
}

// BenchmarkManifestHTTP is a client and a server over loopback, one request at a time.
func BenchmarkManifestHTTP(b *testing.B) {
	r := startWith(b, newDisk(b))
	r.push("shop/web", "v1", r.image("shop/web", "one"))
	for _, method := range []string{"GET", "HEAD"} {
		b.Run(method, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := r.request(method, "/v2/shop/web/manifests/v1", nil)
				res, err := r.client.Do(req)
				if err != nil || res.StatusCode != 200 {
					b.Fatal(err, res)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}

// BenchmarkBlobHTTP reads 100 MB over loopback, one request at a time.
func BenchmarkBlobHTTP(b *testing.B) {
	r := startWith(b, newDisk(b))
	content := bytesOf(100<<20, 1)
	d := r.pushBlob("shop/web", content)
	b.SetBytes(int64(len(content)))
	buffer := make([]byte, 1<<20)
	for b.Loop() {
		res, err := r.client.Do(r.request("GET", "/v2/shop/web/blobs/"+d.String(), nil))
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, buffer)
		if err != nil || n != int64(len(content)) {
			b.Fatal(n, err)
		}
		res.Body.Close()
	}
}
