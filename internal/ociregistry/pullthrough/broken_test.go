package pullthrough

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir.dev/weir/internal/ociregistry"
)

const layerSize = 300_000

// pieceBytes is how much of a layer is received and hashed at a time.
const pieceBytes = 256 << 10

// interesting are offsets at which a layer may break.
var interesting = []int{0, 1, 4095, heldBack - 1, heldBack, heldBack + 1, pieceBytes - 1, pieceBytes, pieceBytes + 1,
	layerSize - heldBack - 1, layerSize - heldBack, layerSize - heldBack + 1, layerSize - 1}

// A layer that breaks anywhere is gone on with, whatever the registry answers first.
func TestBrokenLayerIsGoneOnWith(t *testing.T) {
	content, d := random(layerSize)
	elsewhereStored := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serveRange(w, r, content, -1)
	}))
	defer elsewhereStored.Close()
	status := func(code int) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 2 {
				w.WriteHeader(code)
				return
			}
			serveRange(w, r, content, -1)
		}
	}
	ways := map[string]func(w http.ResponseWriter, r *http.Request, n int){
		"from there on": func(w http.ResponseWriter, r *http.Request, _ int) { serveRange(w, r, content, -1) },
		"whole once more": func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Length", fmt.Sprint(layerSize))
			w.Write(content)
		},
		"whole without a length": func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.(http.Flusher).Flush()
			w.Write(content)
		},
		"from another host": func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, elsewhereStored.URL+"/signed?key=1", http.StatusTemporaryRedirect)
		},
		"after a 401": status(http.StatusUnauthorized),
		"after a 403": status(http.StatusForbidden),
		"after a 404": status(http.StatusNotFound),
		"after a 429": func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 2 {
				w.Header().Set("Retry-After", "1")
			}
			status(http.StatusTooManyRequests)(w, r, n)
		},
		"after a 500": status(http.StatusInternalServerError),
		"after a 503": status(http.StatusServiceUnavailable),
		"after another break": func(w http.ResponseWriter, r *http.Request, n int) {
			stop := -1
			if n == 2 {
				stop = offsetOf(r) + 1000
				if stop >= layerSize {
					stop = layerSize - 1
				}
			}
			serveRange(w, r, content, stop)
		},
	}
	for name, way := range ways {
		offsets := interesting
		if name == "after a 429" { // which takes its time
			offsets = []int{100_000}
		}
		for _, offset := range offsets {
			t.Run(fmt.Sprint(name, " at ", offset), func(t *testing.T) {
				r, other := newRig(t), elsewhere(t, content)
				blobScript(other, d, func(w http.ResponseWriter, req *http.Request, n int) bool {
					if n == 1 {
						serveRange(w, req, content, offset)
					}
					way(w, req, n)
					return true
				})
				r.wantPull(d, from(t, layerSize, other), content)
				r.wantStored(d, content)
			})
		}
	}
}

// breaking answers every request with a few bytes more and a broken connection.
func breaking(content []byte, stop int) func(http.ResponseWriter, *http.Request, int) bool {
	return func(w http.ResponseWriter, r *http.Request, _ int) bool {
		serveRange(w, r, content, stop)
		return true
	}
}

// A layer that cannot be completed is an error for its readers, leaves nothing, and is
// begun anew by the next.
func TestLayerThatBreaksForGood(t *testing.T) {
	content, d := random(layerSize)
	for _, stop := range interesting[1:] {
		t.Run(fmt.Sprint(stop), func(t *testing.T) {
			r, other := newRig(t), elsewhere(t, content)
			blobScript(other, d, breaking(content, stop))
			o := from(t, layerSize, other)
			got, err := r.pull(d, o)
			wantError(t, err, ociregistry.CodeUnavailable, other.Host())
			if !bytes.HasPrefix(content, got) || len(got) > layerSize-heldBack {
				t.Errorf("%d bytes were given", len(got))
			}
			r.wantNotStored(d)
			// Requests are repeated by the client too, in each of the attempts.
			if n := gets(other, d); n < 4 || n > 20 {
				t.Errorf("asked %d times", n)
			}
			other.Off()
			r.wantPull(d, o, content)
			r.wantStored(d, content)
		})
	}
}

func TestStalledLayer(t *testing.T) {
	content, d := random(layerSize)
	r := newRig(t, func(s *setup) { s.upstream.Downloads.Stall = 20 * time.Millisecond })
	other := elsewhere(t, content)
	blobScript(other, d, func(w http.ResponseWriter, req *http.Request, n int) bool {
		if n > 1 {
			serveRange(w, req, content, -1)
			return true
		}
		w.Header().Set("Content-Length", fmt.Sprint(layerSize))
		w.Write(content[:200_000])
		w.(http.Flusher).Flush()
		<-req.Context().Done()
		return true
	})
	r.wantPull(d, from(t, layerSize, other), content)
	r.wantStored(d, content)
	if n := gets(other, d); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// sendWrong answers with content of the right size and another digest.
func sendWrong(content []byte, at int) func(http.ResponseWriter, *http.Request, int) bool {
	other := bytes.Clone(content)
	other[at] ^= 1
	return func(w http.ResponseWriter, r *http.Request, _ int) bool {
		serveRange(w, r, other, -1)
		return true
	}
}

// Wrong content is never given whole, and never stored.
func TestWrongContent(t *testing.T) {
	for _, size := range []int{1, heldBack, heldBack + 1, layerSize} {
		for _, at := range []int{0, size / 2, size - 1} {
			t.Run(fmt.Sprint(size, " at ", at), func(t *testing.T) {
				content, d := random(size)
				r, other := newRig(t), elsewhere(t, content)
				blobScript(other, d, sendWrong(content, at))
				o := from(t, size, other)
				got, err := r.pull(d, o)
				wantError(t, err, ociregistry.CodeUnavailable, other.Host())
				if len(got) > max(size-heldBack, 0) {
					t.Errorf("%d bytes of %d were given", len(got), size)
				}
				r.wantNotStored(d)
				other.Off()
				r.wantPull(d, o, content)
				r.wantStored(d, content)
			})
		}
	}
}

// Content of another length than announced, or than the stream knows.
func TestWrongLength(t *testing.T) {
	content, d := random(layerSize)
	chunked := func(body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			w.Write(body)
		}
	}
	announced := func(body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.Write(body)
		}
	}
	longer := append(bytes.Clone(content), "and more"...)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		known  bool
		served bool
	}{
		"announced longer":          {announced(longer), true, false},
		"announced shorter":         {announced(content[:layerSize-1]), true, false},
		"longer, not announced":     {chunked(longer), true, true}, // cut at the size, which is right
		"shorter, not announced":    {chunked(content[:layerSize-1]), true, false},
		"right, not announced":      {chunked(content), true, true},
		"longer of unknown size":    {announced(longer), false, false},
		"shorter of unknown size":   {announced(content[:layerSize-1]), false, false},
		"no size known, longer":     {chunked(longer), false, false},
		"no size known, shorter":    {chunked(content[:layerSize-1]), false, false},
		"no size known, all right":  {chunked(content), false, true},
		"no size known, and no end": {chunked(make([]byte, 2*layerSize)), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, other := newRig(t, func(s *setup) { s.MaxBlobBytes = layerSize + 1000 }), elsewhere(t, content)
			blobScript(other, d, func(w http.ResponseWriter, req *http.Request, _ int) bool { c.answer(w, req); return true })
			o := from(t, layerSize, other)
			if !c.known {
				o.Size = -1
			}
			got, err := r.pull(d, o)
			if c.served {
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				r.wantStored(d, content)
				return
			}
			wantError(t, err, ociregistry.CodeUnavailable, other.Host())
			if len(got) > len(longer)-heldBack {
				t.Errorf("%d bytes were given", len(got))
			}
			r.wantNotStored(d)
		})
	}
}

// No blob is larger than blobs may be, whoever says so.
func TestAnnouncedSizesAreBounded(t *testing.T) {
	const endless = 1_000_000_000_000_000
	content, d := random(layerSize)
	for _, mirror := range []bool{true, false} {
		r, other := newRig(t, func(s *setup) { s.Mirror = mirror }), elsewhere(t, content)
		other.On("/blobs/"+d.String(), func(w http.ResponseWriter, req *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(endless))
			if req.Method == http.MethodGet {
				w.Write(content)
			}
			return true
		})
		for _, size := range []int64{endless, -1} {
			o := from(t, layerSize, other)
			o.Size = size
			_, err := r.pull(d, o)
			wantError(t, err, ociregistry.CodeUnavailable, other.Host())
			if !strings.Contains(err.Error(), "larger than") {
				t.Errorf("%v does not say why", err)
			}
			_, err = r.Stat(t.Context(), in(app, d, o))
			wantError(t, err, ociregistry.CodeUnavailable, other.Host())
		}
		r.wantNotStored(d)
	}
}

// Where a stream has content from several registries, one that fails is no failure.
func TestNextSource(t *testing.T) {
	content, d := random(layerSize)
	small, ds := random(1000)
	announce := func(n int) func(http.ResponseWriter, *http.Request, int) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("Content-Length", fmt.Sprint(n))
			w.Write(make([]byte, n))
			return true
		}
	}
	status := func(code int) func(http.ResponseWriter, *http.Request, int) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int) bool { w.WriteHeader(code); return true }
	}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, int) bool{
		"breaks at the beginning":  breaking(content, 0),
		"breaks in the middle":     breaking(content, 100_000),
		"breaks at the end":        breaking(content, layerSize-1),
		"does not have it":         status(404),
		"refuses":                  status(401),
		"has had enough":           status(429),
		"is broken":                status(500),
		"announces something else": announce(7),
	} {
		t.Run(name, func(t *testing.T) {
			r, first, second := newRig(t), elsewhere(t, content), elsewhere(t, content)
			blobScript(first, d, answer)
			r.wantPull(d, from(t, layerSize, first, second), content)
			r.wantStored(d, content)
			if gets(first, d) == 0 || gets(second, d) == 0 {
				t.Errorf("asked %d and %d times", gets(first, d), gets(second, d))
			}
		})
	}
	t.Run("lies in a small blob", func(t *testing.T) {
		r, first, second := newRig(t), elsewhere(t, small), elsewhere(t, small)
		blobScript(first, ds, sendWrong(small, 0))
		r.wantPull(ds, from(t, 1000, first, second), small)
		r.wantStored(ds, small)
	})
	// A caller that has read wrong content gets an error; the next one is served.
	t.Run("lies in a layer", func(t *testing.T) {
		r, first, second := newRig(t), elsewhere(t, content), elsewhere(t, content)
		blobScript(first, d, func(w http.ResponseWriter, req *http.Request, n int) bool {
			w.Header().Set("Content-Length", fmt.Sprint(layerSize))
			w.Write(make([]byte, layerSize/2))
			w.(http.Flusher).Flush()
			r.eventually("a caller has read that", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				fetches := r.fetchesOf(d)
				if len(fetches) == 0 {
					return true
				}
				f := fetches[0]
				f.mu.Lock()
				defer f.mu.Unlock()
				return f.given
			})
			w.Write(make([]byte, layerSize/2))
			return true
		})
		o := from(t, layerSize, first, second)
		_, err := r.pull(d, o)
		wantError(t, err, ociregistry.CodeUnavailable, first.Host())
		r.wantNotStored(d)
		r.wantPull(d, o, content)
		r.wantStored(d, content)
	})
}

// A registry that sent wrong content for a digest is asked last for it, for a while.
func TestBadSourceIsAskedLast(t *testing.T) {
	content, d := random(layerSize)
	r := newRig(t, func(s *setup) { s.Mirror, s.AvoidFor = false, 200*time.Millisecond })
	first, second := elsewhere(t, content), elsewhere(t, content)
	blobScript(first, d, sendWrong(content, 0))
	w := from(t, layerSize, first, second)
	_, err := r.pull(d, w)
	wantError(t, err, ociregistry.CodeUnavailable, first.Host())
	asked := gets(first, d)
	r.wantPull(d, w, content)
	if n := gets(first, d) - asked; n != 0 {
		t.Errorf("the bad source was asked %d times", n)
	}
	// Where it is the only one left it is asked again.
	first.Off()
	r.wantPull(d, from(t, layerSize, first), content)
	asked = gets(first, d)
	r.eventually("it is asked first again", func() bool {
		r.wantPull(d, w, content)
		return gets(first, d) > asked
	})
}

// What a caller is told when no registry has it, or none can say.
func TestFailuresOfOtherRegistries(t *testing.T) {
	content, d := random(1000)
	manifest := putLayers(t, elsewhere(t, content), "team/app:1", content)
	answer := func(status int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, `{"errors":[{"code":"X","message":"because"}]}`)
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   ociregistry.Code // BLOB_UNKNOWN stands for MANIFEST_UNKNOWN too
		text   string
	}{
		"not there":        {answer(404), ociregistry.CodeBlobUnknown, "because"},
		"unauthorized":     {answer(401), ociregistry.CodeBlobUnknown, "add a pull secret for this registry to namespace shop"},
		"denied":           {answer(403), ociregistry.CodeBlobUnknown, "namespace shop"},
		"too many":         {answer(429, "Retry-After", "77"), ociregistry.CodeTooManyRequests, "because"},
		"broken":           {answer(500), ociregistry.CodeUnavailable, "because"},
		"down for a while": {answer(503, "Retry-After", "33"), ociregistry.CodeUnavailable, "because"},
		"senseless":        {answer(204), ociregistry.CodeUnavailable, "204"},
		"hangs up":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ociregistry.CodeUnavailable, "no answer"},
		"goes in a ring": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}, ociregistry.CodeUnavailable, "redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			r, other := newRig(t), elsewhere(t, content)
			other.On("/team/app/", func(w http.ResponseWriter, req *http.Request) bool { c.answer(w, req); return true })
			o := from(t, len(content), other)
			_, err := r.Blob(t.Context(), in(app, d, o))
			check := func(what string, err error, code ociregistry.Code) {
				t.Helper()
				e := wantError(t, err, code, other.Host())
				if !strings.Contains(e.Message, c.text) && what != "size" { // HEAD answers have no body
					t.Errorf("%s: %q does not say %q", what, e.Message, c.text)
				}
				if code == ociregistry.CodeTooManyRequests && (e.RetryAfter < 70*time.Second || e.HTTPStatus() != 429) {
					t.Errorf("%s: %+v", what, e)
				}
				if code == ociregistry.CodeBlobUnknown && e.HTTPStatus() != 404 || code == ociregistry.CodeUnavailable && e.HTTPStatus() != 503 {
					t.Errorf("%s: %d", what, e.HTTPStatus())
				}
			}
			check("blob", err, c.code)
			if name == "too many" { // the host is left alone now, whatever is asked
				return
			}
			_, err = r.Stat(t.Context(), in(app, d, o))
			check("size", err, c.code)
			code := c.code
			if code == ociregistry.CodeBlobUnknown {
				code = ociregistry.CodeManifestUnknown
			}
			_, _, err = r.Manifest(t.Context(), in(app, manifest, o))
			check("manifest", err, code)
			r.wantNotStored(d)
		})
	}
	t.Run("no server is there", func(t *testing.T) {
		gone := httptest.NewServer(nil)
		gone.Close()
		r := newRig(t)
		o := ociregistry.Wanted{Size: -1, Sources: []ociregistry.Source{source(t, strings.TrimPrefix(gone.URL, "http://")+"/team/app")}}
		_, err := r.Blob(t.Context(), in(app, d, o))
		e := wantError(t, err, ociregistry.CodeUnavailable, strings.TrimPrefix(gone.URL, "http://"))
		// The log has the same words once, and behind them what is for the log alone.
		if text := e.Error(); strings.Count(text, "no answer") != 1 || strings.Count(text, "connection refused") != 1 || strings.Contains(e.Message, "connection refused") {
			t.Errorf("the log has %q", text)
		}
	})
	t.Run("no source is named", func(t *testing.T) {
		r := newRig(t)
		o := ociregistry.Wanted{Size: -1}
		_, err := r.Blob(t.Context(), in(app, d, o))
		wantError(t, err, ociregistry.CodeBlobUnknown, "")
		_, err = r.Stat(t.Context(), in(app, d, o))
		wantError(t, err, ociregistry.CodeBlobUnknown, "")
		_, _, err = r.Manifest(t.Context(), in(app, manifest, o))
		wantError(t, err, ociregistry.CodeManifestUnknown, "")
	})
	t.Run("the caller leaves", func(t *testing.T) {
		other := elsewhere(t, content)
		r := newRig(t)
		arrived := make(chan struct{}, 3)
		other.On("/blobs/", func(_ http.ResponseWriter, req *http.Request) bool {
			arrived <- struct{}{}
			<-req.Context().Done()
			return true
		})
		ctx, leave := context.WithCancel(t.Context())
		go func() { <-arrived; leave() }()
		_, err := r.Blob(ctx, in(app, d, from(t, len(content), other)))
		wantError(t, err, ociregistry.CodeUnavailable, d.String())
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}
