package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/pullsecrets"
)

// layer is content that looks like nothing else, and its digest.
func layer(size int) ([]byte, digest.Digest) {
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)})
	random.Read(content)
	return content, digest.FromBytes(content)
}

// blobs answers blob requests as a registry with ranges does.
func blobs(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// openBlob opens a blob at the first source that gives it, as an *Error.
func openBlob(ctx context.Context, r *Repository, d digest.Digest, offset int64) (*BlobStream, error) {
	candidates, err := r.Candidates(d)
	if err != nil {
		return nil, err
	}
	b, _, err := First(ctx, candidates, func(ctx context.Context, c *Candidate) (*BlobStream, error) { return c.OpenBlob(ctx, offset) })
	if failed := (*FailedError)(nil); errors.As(err, &failed) {
		return nil, summarize(failed.Sources)
	}
	return b, nil
}

// readStream opens and reads a blob to its end.
func readStream(t *testing.T, r *Repository, d digest.Digest, offset int64) (*BlobStream, []byte, error) {
	t.Helper()
	b, err := openBlob(t.Context(), r, d, offset)
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	content, err := io.ReadAll(b)
	return b, content, err
}

func TestBlobIsStreamedFromAnyOffset(t *testing.T) {
	content, d := layer(300_000)
	servers := map[string]http.HandlerFunc{
		"ranges": blobs(content),
		"no ranges": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content)
		},
		"no ranges, no length": func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			w.Write(content)
		},
		"ranges, no length": func(w http.ResponseWriter, r *http.Request) {
			var from int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			if from > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", from, len(content)-1))
				w.WriteHeader(http.StatusPartialContent)
			}
			w.(http.Flusher).Flush()
			w.Write(content[from:])
		},
		"ranges with an end only": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			blobs(content)(w, r)
		},
		"more than the range": func(w http.ResponseWriter, r *http.Request) {
			var from int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			if from > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
				w.WriteHeader(http.StatusPartialContent)
				w.(http.Flusher).Flush()
				w.Write(content[from:])
				w.Write([]byte("and more"))
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content)
		},
	}
	for name, h := range servers {
		t.Run(name, func(t *testing.T) {
			s := serve(t, v2(h))
			r := open(t, newTestClient(t), s.host+"/a/b")
			for _, offset := range []int64{0, 1, 65_535, 65_536, 299_999} {
				b, got, err := readStream(t, r, d, offset)
				if err != nil {
					t.Fatalf("from %d: %v", offset, err)
				}
				if !bytes.Equal(got, content[offset:]) {
					t.Errorf("from %d: other content, %d bytes", offset, len(got))
				}
				if b.Source != s.host+"/a/b" || b.Offset != offset {
					t.Errorf("from %d: %+v", offset, b)
				}
				if strings.Contains(name, "no length") == (b.Size == 300_000) {
					t.Errorf("from %d: size %d", offset, b.Size)
				}
			}
		})
	}
}

func TestStreamRefusesAnswersThatMakeNoSense(t *testing.T) {
	content, d := layer(1000)
	partial := func(contentRange string, length int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if contentRange != "" {
				w.Header().Set("Content-Range", contentRange)
			}
			w.WriteHeader(http.StatusPartialContent)
			w.Write(content[:length])
		}
	}
	cases := map[string]struct {
		handler http.HandlerFunc
		offset  int64
		code    Code
	}{
		"a part instead of the whole":  {partial("bytes 0-99/1000", 100), 0, CodeProtocol},
		"no word which part":           {partial("", 100), 10, CodeProtocol},
		"another part":                 {partial("bytes 9-99/1000", 91), 10, CodeProtocol},
		"parts in parts":               {partial("multipart", 91), 10, CodeProtocol},
		"two lengths":                  {partial("bytes 10-99/1000", 91), 10, CodeProtocol},
		"fewer bytes than there were":  {blobs(content[:5]), 10, CodeProtocol},
		"whole of fewer bytes":         {func(w http.ResponseWriter, r *http.Request) { w.Write(content[:5]) }, 10, CodeProtocol},
		"streamed whole, fewer bytes":  {func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); w.Write(content[:5]) }, 10, CodeProtocol},
		"no range at all":              {partial("bytes */1000", 0), 10, CodeProtocol},
		"nothing":                      {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, 0, CodeProtocol},
		"no such blob":                 {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, 0, CodeBlobUnknown},
		"broken":                       {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, 0, CodeUnavailable},
		"too many":                     {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", "99"); w.WriteHeader(429) }, 0, CodeTooManyRequests},
		"an offset that is none":       {blobs(content), -1, CodeName},
		"an error of unbounded length": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403); w.Write(make([]byte, 1<<20)) }, 0, CodeDenied},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, v2(c.handler))
			client := newTestClient(t)
			_, _, err := readStream(t, open(t, client, s.host+"/a/b"), d, c.offset)
			wantCode(t, err, c.code)
			wantNoDownloads(t, client)
		})
	}
}

// wantNoDownloads waits until every download has given its turn back.
func wantNoDownloads(t *testing.T, c *Client) {
	t.Helper()
	eventually(t, "no download is left", func() bool {
		for _, b := range c.Budgets() {
			if b.Downloads != 0 || b.WaitingDownloads != 0 || b.InFlight != 0 || b.Waiting != 0 {
				return false
			}
		}
		return true
	})
}

func TestTruncatedStreamIsAnError(t *testing.T) {
	content, d := layer(200_000)
	for _, length := range []int{0, 1, 65_536, 199_999} {
		s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "200000")
			w.Write(content[:length])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		c := newTestClient(t, func(o *Options) { o.Hosts.Retries = 0 })
		_, got, err := readStream(t, open(t, c, s.host+"/a/b"), d, 0)
		if wantCode(t, err, CodeUnavailable); !bytes.Equal(got, content[:length]) {
			t.Errorf("%d bytes of %d were kept", len(got), length)
		}
		wantNoDownloads(t, c)
	}
}

// serveHeld sends some bytes of a blob and then nothing until the client is gone.
func serveHeld(t *testing.T, content []byte, first int) *upstreamServer {
	return serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:first])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
}

func TestStalledStreamEnds(t *testing.T) {
	content, d := layer(100_000)
	s := serveHeld(t, content, 5000)
	var outcomes outcomeLog
	c := newTestClient(t, func(o *Options) { o.Downloads.Stall = 30 * time.Millisecond; o.Observer = outcomes.add })
	b, got, err := readStream(t, open(t, c, s.host+"/a/b"), d, 0)
	if b == nil || !bytes.Equal(got, content[:5000]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if e := wantCode(t, err, CodeUnavailable); e.Source != s.host+"/a/b" || !strings.Contains(e.Text, "sends nothing") {
		t.Errorf("%+v", e)
	}
	if _, again := b.Read(make([]byte, 1)); !errors.Is(again, err) {
		t.Errorf("reading on: %v", again)
	}
	wantNoDownloads(t, c)
	outcomes.want(t, KindBlob, "Unavailable")
}

// outcomeLog remembers the outcomes of requests.
type outcomeLog struct {
	mu   sync.Mutex
	seen map[Kind][]string
}

func (l *outcomeLog) add(o Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[Kind][]string{}
	}
	l.seen[o.Kind] = append(l.seen[o.Kind], o.Outcome)
}

func (l *outcomeLog) want(t *testing.T, kind Kind, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if fmt.Sprint(l.seen[kind]) != fmt.Sprint(want) {
		t.Errorf("outcomes of %s: %v, want %v", kind, l.seen[kind], want)
	}
}

func TestSlowStreamEnds(t *testing.T) {
	content, d := layer(100_000)
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		for i := 0; r.Context().Err() == nil && i < len(content); i++ {
			w.Write(content[i : i+1])
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}))
	c := newTestClient(t, func(o *Options) { o.Downloads.Window, o.Downloads.MinRate = 100*time.Millisecond, 1<<20 })
	_, got, err := readStream(t, open(t, c, s.host+"/a/b"), d, 0)
	if e := wantCode(t, err, CodeUnavailable); !strings.Contains(e.Text, "the download moved") || len(got) == 0 {
		t.Errorf("%d bytes, %+v", len(got), e)
	}
	wantNoDownloads(t, c)
}

// A caller that does not read on gives its turn up, and knows when it comes back.
func TestForgottenStreamGivesItsTurnBack(t *testing.T) {
	content, d := layer(1 << 20)
	s := serve(t, v2(blobs(content)))
	c := newTestClient(t, func(o *Options) { o.Downloads.Window = 30 * time.Millisecond })
	b, err := openBlob(t.Context(), open(t, c, s.host+"/a/b"), d, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	wantNoDownloads(t, c)
	_, err = io.ReadAll(b)
	wantCode(t, err, CodeUnavailable)
}

func TestDownloadsAreBoundedApartFromRequests(t *testing.T) {
	content, d := layer(100_000)
	var most, running atomic.Int32
	release := make(chan struct{})
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Write(manifestOf("x"))
			return
		}
		now := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.(http.Flusher).Flush()
		<-release
		w.Write(content)
	}))
	c := newTestClient(t, func(o *Options) { o.Downloads.Concurrency, o.Hosts.Concurrency = 3, 2 })
	r := open(t, c, s.host+"/a/b")
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			if _, got, err := readStream(t, r, d, 0); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	eventually(t, "three under way and five waiting", func() bool {
		for _, b := range c.Budgets() {
			if b.Host == s.host && b.Downloads == 3 && b.WaitingDownloads == 5 && b.DownloadLimit == 3 {
				return b.InFlight == 0 && b.Waiting == 0
			}
		}
		return false
	})
	// Imports of the same host go on.
	if _, err := r.Manifest(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	// A caller that gives up does not keep its place.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := openBlob(ctx, r, d, 0)
	wantCode(t, err, CodeCanceled)
	close(release)
	work.Wait()
	if most.Load() != 3 {
		t.Errorf("%d at once", most.Load())
	}
	wantNoDownloads(t, c)
}

func TestWaitingForADownloadIsBounded(t *testing.T) {
	content, d := layer(100_000)
	s := serveHeld(t, content, 1)
	c := newTestClient(t, func(o *Options) { o.Downloads.Concurrency, o.Downloads.MaxWait = 1, 20*time.Millisecond })
	r := open(t, c, s.host+"/a/b")
	first, err := openBlob(t.Context(), r, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openBlob(t.Context(), r, d, 0)
	if e := wantCode(t, err, CodeTooManyRequests); e.Text != "too many downloads from "+s.host+" are waiting" {
		t.Errorf("%+v", e)
	}
	first.Close()
	if _, err := first.Read(make([]byte, 1)); CodeOf(err) != CodeCanceled {
		t.Errorf("reading what was closed: %v", err)
	}
	if second, err := openBlob(t.Context(), r, d, 0); err != nil {
		t.Error(err)
	} else {
		second.Close()
	}
}

func TestStreamEndsWithItsContextAndItsClient(t *testing.T) {
	content, d := layer(100_000)
	s := serveHeld(t, content, 10)
	c := newTestClient(t)
	r := open(t, c, s.host+"/a/b")
	ctx, cancel := context.WithCancel(t.Context())
	b, err := openBlob(ctx, r, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(b, make([]byte, 10))
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = b.Read(make([]byte, 10))
	wantCode(t, err, CodeCanceled)
	wantNoDownloads(t, c) // although nobody closed it

	b, err = openBlob(t.Context(), r, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(b, make([]byte, 10))
	time.AfterFunc(10*time.Millisecond, c.Close)
	if _, err = b.Read(make([]byte, 10)); CodeOf(err) != CodeCanceled || !errors.Is(err, errClosed) {
		t.Errorf("%v", err)
	}
	_, err = openBlob(t.Context(), r, d, 0)
	wantCode(t, err, CodeCanceled)
	wantNoDownloads(t, c)
}

func TestHeaderOfAStreamIsBoundedInTime(t *testing.T) {
	_, d := layer(10)
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	c := newTestClient(t, func(o *Options) { o.Timeouts.Call.Duration = 50 * time.Millisecond })
	_, err := openBlob(t.Context(), open(t, c, s.host+"/a/b"), d, 0)
	if e := wantCode(t, err, CodeUnavailable); !strings.HasSuffix(e.Text, unreachable) || !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("%+v", e)
	}
	wantNoDownloads(t, c)
}

func TestHeaderOfAStreamIsRepeated(t *testing.T) {
	content, d := layer(1000)
	var asked atomic.Int32
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		blobs(content)(w, r)
	}))
	var outcomes outcomeLog
	c := newTestClient(t, func(o *Options) { o.Observer = outcomes.add })
	if _, got, err := readStream(t, open(t, c, s.host+"/a/b"), d, 7); err != nil || !bytes.Equal(got, content[7:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	outcomes.want(t, KindBlob, "Unavailable", "Unavailable", "Success")
}

// The token of a stream runs out between two parts of it.
func TestStreamLogsIn(t *testing.T) {
	content, d := layer(1000)
	s := serve(t, bearerAuth(t, v2(blobs(content)), "u", "p", time.Hour))
	c := newTestClient(t)
	r := open(t, c, s.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "wrong"}, pullsecrets.Credential{Username: "u", Password: "p"})
	for _, offset := range []int64{0, 500} {
		if _, got, err := readStream(t, r, d, offset); err != nil || !bytes.Equal(got, content[offset:]) {
			t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
		}
	}
	_, _, err := readStream(t, open(t, c, s.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "wrong"}), d, 0)
	wantCode(t, err, CodeBadCredentials)
	wantNoDownloads(t, c)
}

// What leaves for the host that keeps the blobs is the range and no secret.
func TestStreamIsRedirected(t *testing.T) {
	content, d := layer(1000)
	store := serve(t, blobs(content))
	s := serve(t, basicAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			http.Redirect(w, r, store.URL+"/signed?signature=xyz", http.StatusTemporaryRedirect)
		}
	}), "u", "secret"))
	c := newTestClient(t)
	r, err := c.Repository(parse(t, s.host+"/a/b"), true, fixed{{Username: "u", Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := openBlob(WithRequestURLs(t.Context(), nil), r, d, 600)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, content[600:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	asked := store.all()
	if len(asked) != 1 || asked[0].Header.Get("Range") != "bytes=600-" || asked[0].Header.Get("Accept-Encoding") != "identity" {
		t.Fatalf("asked %v", asked)
	}
	for _, name := range []string{"Authorization", RequestURLHeader, "Referer"} {
		if value := asked[0].Header.Get(name); value != "" {
			t.Errorf("%s went along: %q", name, value)
		}
	}
}

func TestStreamOfMirrorsAndTheirSource(t *testing.T) {
	content, d := layer(1000)
	mirror, source := serve(t, v2(blobs(content))), serve(t, v2(blobs(content)))
	rules := rulesOf(t, fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n",
		source.host+"/a", mirror.host+"/m"))
	c := newTestClient(t)
	c.SetRules(rules)
	r := open(t, c, source.host+"/a/b")
	from := func() string {
		b, err := openBlob(t.Context(), r, d, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		return b.Source
	}
	atMirror, atSource := mirror.host+"/m/b", source.host+"/a/b"
	if got := from(); got != atMirror {
		t.Errorf("from %s", got)
	}
	mirror.Server.Close()
	if got := from(); got != atSource {
		t.Errorf("without the mirror, from %s", got)
	}
	source.Server.Close()
	_, err := openBlob(t.Context(), r, d, 0)
	if e := wantCode(t, err, CodeUnavailable); e.Source != atSource || !strings.Contains(e.Text, "also tried: "+atMirror) {
		t.Errorf("%+v", e)
	}
}
