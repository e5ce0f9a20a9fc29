package pullthrough

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/upstream"
)

// fileServer serves files as the blobs of a registry, at most rate bytes per second (0
// for as fast as it goes).
func fileServer(b *testing.B, folder string, rate int) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		f, err := os.Open(filepath.Join(folder, r.URL.Path[strings.LastIndex(r.URL.Path, ":")+1:]))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		defer f.Close()
		if rate == 0 {
			http.ServeContent(w, r, "", time.Time{}, f)
			return
		}
		info, _ := f.Stat()
		w.Header().Set("Content-Length", fmt.Sprint(info.Size()))
		began, sent := time.Now(), int64(0)
		for sent < info.Size() {
			n, err := io.CopyN(w, f, min(info.Size()-sent, 64<<10))
			if sent += n; err != nil {
				return
			}
			<-time.After(time.Until(began.Add(time.Duration(float64(sent) / float64(rate) * float64(time.Second)))))
		}
	}))
	b.Cleanup(s.Close)
	return s
}

// registryOf serves a Mirror's blobs over HTTP, as the registry does.
func registryOf(b *testing.B, m *Mirror, o ociregistry.Wanted) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := digest.Digest(strings.TrimPrefix(r.URL.Path, "/"))
		blob, err := m.Blob(r.Context(), in(app, d, o))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		content, err := blob.Open(r.Context(), 0)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer content.Close()
		w.Header().Set("Content-Length", fmt.Sprint(blob.Size))
		if f, ok := content.(*os.File); ok {
			io.Copy(w, f)
			return
		}
		buffer := make([]byte, 128<<10)
		if n, err := io.CopyBuffer(struct{ io.Writer }{w}, content, buffer); err != nil || n != blob.Size {
			panic(http.ErrAbortHandler)
		}
	}))
	b.Cleanup(s.Close)
	return s
}

// fetchAndVerify is what a client does with a layer.
func fetchAndVerify(b *testing.B, url string, d digest.Digest) time.Duration {
	began := time.Now()
	resp, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, resp.Body, make([]byte, 128<<10)); err != nil {
		b.Fatal(err)
	}
	if got := digest.NewDigest(digest.SHA256, h); got != d {
		b.Fatalf("%s: got %s", resp.Status, got)
	}
	return time.Since(began)
}

// processor is the processor time that this process has had.
func processor(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkPullThrough pulls layers of 100 MB directly, through a cold mirror, and
// through a warm one, by turns. cold/direct and warm/direct are ratios of throughput: 1
// is as fast as without this registry between. cpu-ms are of processor time of this process, which is
// client, mirror and the registry elsewhere, and count on a busy machine. The registry elsewhere sends as fast as
// the loopback does, or as a line of a gigabit.
func BenchmarkPullThrough(b *testing.B) {
	const size = 100 << 20
	for name, rate := range map[string]int{"loopback": 0, "gigabit": 125_000_000} {
		b.Run(name, func(b *testing.B) {
			folder := b.TempDir()
			other := fileServer(b, folder, rate)
			client, err := upstream.NewClient(upstream.DefaultOptions())
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(client.Close)
			store, err := blobstore.New(blobstore.Options{Driver: onDisk(b.TempDir())})
			if err != nil {
				b.Fatal(err)
			}
			m, err := New(Options{Mirror: true, Upstream: client, Store: store, Credentials: func(context.Context, string) (pullsecrets.Credentials, error) {
				return pullsecrets.None, nil
			}})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(m.Close)
			host := strings.TrimPrefix(other.URL, "http://")
			here := registryOf(b, m, ociregistry.Wanted{Size: size, Sources: []ociregistry.Source{source(b, host+"/team/app")}})
			var direct, cold, warm, directCPU, coldCPU time.Duration
			content := make([]byte, size)
			b.SetBytes(size)
			b.ResetTimer()
			for i := range b.N {
				b.StopTimer()
				rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(rate >> 16)}).Read(content)
				d := digest.FromBytes(content)
				path := filepath.Join(folder, d.Encoded())
				if err := os.WriteFile(path, content, 0o600); err != nil {
					b.Fatal(err)
				}
				used := processor(b)
				direct += fetchAndVerify(b, other.URL+"/v2/team/app/blobs/"+d.String(), d)
				directCPU += processor(b) - used
				b.StartTimer()
				used = processor(b)
				cold += fetchAndVerify(b, here.URL+"/"+d.String(), d)
				b.StopTimer()
				coldCPU += processor(b) - used
				warm += fetchAndVerify(b, here.URL+"/"+d.String(), d)
				os.Remove(path)
				for _, err := store.Stat(b.Context(), d); err != nil; _, err = store.Stat(b.Context(), d) {
					<-time.After(time.Millisecond) // the end is sent before it is on the disk
				}
				if err := store.Delete(b.Context(), d); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(direct.Seconds()/cold.Seconds(), "cold/direct")
			b.ReportMetric(direct.Seconds()/warm.Seconds(), "warm/direct")
			b.ReportMetric(directCPU.Seconds()*1000/float64(b.N), "direct-cpu-ms")
			b.ReportMetric(coldCPU.Seconds()*1000/float64(b.N), "cold-cpu-ms")
		})
	}
}
