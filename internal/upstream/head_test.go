package upstream

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/pullsecrets"
)

// headless are answers to HEAD that tell nothing. A GET of the same is answered well.
func headless() map[string]http.HandlerFunc {
	all := map[string]http.HandlerFunc{
		"200 and nothing else": func(http.ResponseWriter, *http.Request) {},
		"200 with garbage": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Docker-Content-Digest", "x")
			w.Header().Set("Content-Length", "0")
		},
		"a redirect to nowhere": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "ftp://x/", http.StatusFound) },
		"a broken connection":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a demand for another login": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
	}
	for _, status := range []int{204, 206, 304, 400, 401, 403, 404, 405, 406, 410, 429, 500, 501, 502, 503, 504} {
		all[strconv.Itoa(status)] = func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }
	}
	return all
}

// serveHeadless answers HEAD with head and GET with content.
func serveHeadless(t *testing.T, head http.HandlerFunc, content []byte) *upstreamServer {
	return serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			head(w, r)
			return
		}
		w.Header().Set("Content-Type", ociManifest+"; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content)
	}))
}

func shortPauses(o *Options) { o.Hosts.Retries, o.bounds.minRate = 0, 1000 }

func TestHeadDecidesNothing(t *testing.T) {
	m := manifestOf("x")
	d := digest.FromBytes(m)
	for name, head := range headless() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveHeadless(t, head, m)
			r := open(t, newTestClient(t, shortPauses), s.host+"/a/b", pullsecrets.Credential{Username: "u", Password: "p"})
			got, err := r.Head(t.Context(), "x")
			if err != nil || got.Digest != d || got.MediaType != ociManifest {
				t.Errorf("manifest: got %+v, %v", got, err)
			}
			if size, err := r.BlobSize(t.Context(), d); err != nil || size != int64(len(m)) {
				t.Errorf("blob: %d bytes, %v", size, err)
			}
		})
	}
	t.Run("another digest", func(t *testing.T) {
		s := serveHeadless(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Docker-Content-Digest", digest.FromString("other").String())
		}, m)
		if got, err := open(t, newTestClient(t), s.host+"/a/b").Head(t.Context(), d.String()); err != nil || got.Digest != d {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("another size", func(t *testing.T) {
		s := serveHeadless(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "7") }, m)
		candidates, err := open(t, newTestClient(t), s.host+"/a/b").Candidates(d)
		if err != nil {
			t.Fatal(err)
		}
		if size, err := candidates[0].BlobSize(t.Context(), int64(len(m))); err != nil || size != int64(len(m)) {
			t.Errorf("%d bytes, %v", size, err)
		}
	})
}

// A failure after a HEAD is that of the GET, and a host that is not reached gets no second try.
func TestFailureAfterHeadIsThatOfGet(t *testing.T) {
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"errors":[{"code":"DENIED","message":"not for you"}]}`)
	}))
	r := open(t, newTestClient(t), s.host+"/a/b")
	_, err := r.Head(t.Context(), "x")
	if e := wantCode(t, err, CodeDenied); e.Text != "denied: not for you" {
		t.Error(e.Text)
	}
	_, err = r.BlobSize(t.Context(), digest.FromString("x"))
	if e := wantCode(t, err, CodeDenied); e.Text != "denied: not for you" {
		t.Error(e.Text)
	}
	var seen []string
	c := newTestClient(t, func(o *Options) {
		o.Observer = func(ob Observation) { seen = append(seen, string(ob.Kind)) }
	})
	r = open(t, c, s.host+"/a/b")
	if _, err := r.Head(t.Context(), "x"); err == nil {
		t.Fatal("no failure")
	}
	s.Close()
	seen = nil
	_, err = r.Head(t.Context(), "x")
	wantCode(t, err, CodeUnavailable)
	if !slices.Equal(seen, []string{string(KindHead)}) {
		t.Errorf("requests to a host that is gone: %v", seen)
	}
}

// The size of a blob is found with the first byte, or from the header of all.
func TestBlobSizeByGet(t *testing.T) {
	body := []byte(strings.Repeat("x", 1000))
	for name, c := range map[string]struct {
		get  http.HandlerFunc
		want int64
	}{
		"by range": {func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "bytes=0-0" {
				t.Errorf("range %q", r.Header.Get("Range"))
			}
			w.Header().Set("Content-Range", "bytes 0-0/1000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(body[:1])
		}, 1000},
		"ranges are unknown": {func(w http.ResponseWriter, r *http.Request) { w.Write(body) }, 1000},
		"ranges are refused": {func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			w.Write(body)
		}, 1000},
		"untold": {func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); w.Write(body) }, -1},
		"untold of a range": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-0/*")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(body[:1])
		}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				c.get(w, r)
			}))
			size, err := open(t, newTestClient(t), s.host+"/a/b").BlobSize(t.Context(), digest.FromBytes(body))
			if c.want < 0 {
				wantCode(t, err, CodeProtocol)
			} else if err != nil || size != c.want {
				t.Errorf("%d, %v", size, err)
			}
		})
	}
}
