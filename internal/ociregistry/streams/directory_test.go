package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/stream"
)

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no client":   {Hosts: testHosts},
		"no hostname": {Config: &rest.Config{Host: "localhost"}, Hosts: stream.Registries{Public: "x.test"}},
		"bad client":  {Config: &rest.Config{Host: "localhost", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("x")}}, Hosts: testHosts},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: made a directory", name)
		}
	}
}

// directory is over an API that a test plays.
func directory(t testing.TB, api http.HandlerFunc, change ...func(*Options)) *Directory {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		server.CloseClientConnections() // what hangs is given up
		server.Close()
	})
	o := Options{Config: &rest.Config{Host: server.URL}, Hosts: testHosts, PullThrough: true, Mirror: true}
	for _, c := range change {
		c(&o)
	}
	d, err := New(o)
	fatal(t, err)
	return d
}

// calls are all methods that ask the API.
func calls(d *Directory) map[string]func(context.Context) error {
	push := pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig), imageConfig)
	push.User = &user.DefaultInfo{Name: "ann"}
	pushTag := push
	pushTag.Tags = []string{"1"}
	return map[string]func(context.Context) error{
		"Resolve":        func(ctx context.Context) error { _, err := d.Resolve(ctx, repository, "1"); return err },
		"Tags":           func(ctx context.Context) error { _, _, err := d.Tags(ctx, repository, "", -1); return err },
		"Stream":         func(ctx context.Context) error { _, err := d.Stream(ctx, repository, false); return err },
		"Stream, live":   func(ctx context.Context) error { _, err := d.Stream(ctx, repository, true); return err },
		"Fresh":          func(ctx context.Context) error { _, err := d.Fresh(ctx, repository); return err },
		"Image":          func(ctx context.Context) error { _, err := d.Image(ctx, id("x")); return err },
		"Record":         func(ctx context.Context) error { _, err := d.Record(ctx, push); return err },
		"Record a tag":   func(ctx context.Context) error { _, err := d.Record(ctx, pushTag); return err },
		"DeleteTag":      func(ctx context.Context) error { return d.DeleteTag(ctx, repository, "1") },
		"DeleteManifest": func(ctx context.Context) error { _, err := d.DeleteManifest(ctx, repository, id("x")); return err },
		"Repositories": func(ctx context.Context) error {
			_, _, err := d.Repositories(ctx, &user.DefaultInfo{Name: "ann"}, "", 1)
			return err
		},
		"Signatures": func(ctx context.Context) error { _, err := d.Signatures(ctx, repository, id("x")); return err },
		"AddSignature": func(ctx context.Context) error {
			return d.AddSignature(ctx, &user.DefaultInfo{Name: "ann"}, &imagev1.ImageSignature{ObjectMeta: metav1.ObjectMeta{Name: "i@s"}})
		},
	}
}

// TestTheAPIInTrouble: whatever is wrong with the API, clients are told to come back, and
// never that something is not there.
func TestTheAPIInTrouble(t *testing.T) {
	status := func(code int, reason metav1.StatusReason, seconds int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"m","reason":%q,"code":%d,"details":{"retryAfterSeconds":%d}}`, reason, code, seconds)
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
		<-r.Context().Done()
	}
	for name, test := range map[string]struct {
		api   http.HandlerFunc
		code  ociregistry.Code
		retry time.Duration
	}{
		"too many requests": {status(429, metav1.StatusReasonTooManyRequests, 3), ociregistry.CodeTooManyRequests, 3 * time.Second},
		"unavailable":       {status(503, metav1.StatusReasonServiceUnavailable, 2), ociregistry.CodeUnavailable, 2 * time.Second},
		"not synced":        {status(500, metav1.StatusReasonServerTimeout, 2), ociregistry.CodeUnavailable, 2 * time.Second},
		"group not served":  {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, ociregistry.CodeUnavailable, time.Second},
		"text":              {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oops", http.StatusBadGateway) }, ociregistry.CodeUnavailable, time.Second},
		"garbage":           {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{") }, ociregistry.CodeUnavailable, time.Second},
		"broken off":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ociregistry.CodeUnavailable, time.Second},
		"hangs":             {hang, ociregistry.CodeUnavailable, time.Second},
		"asks for patience": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "1"); w.WriteHeader(429) }, ociregistry.CodeUnavailable, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			for call, do := range calls(directory(t, test.api)) {
				if name == "garbage" && call == "DeleteTag" {
					continue // nobody reads what is said to a deletion that succeeded
				}
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				err := do(ctx)
				cancel()
				var e *ociregistry.Error
				if !errors.As(err, &e) || e.Code != test.code || e.RetryAfter != test.retry {
					t.Errorf("%s: got %v", call, err)
				}
			}
		})
	}
}

// TestRecordMakesAStreamAsTheUser follows the conversation with the API.
func TestRecordMakesAStreamAsTheUser(t *testing.T) {
	var said []string
	d := directory(t, func(w http.ResponseWriter, r *http.Request) {
		line := r.Method + " " + r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		if r.Header.Get("Impersonate-User") != "" {
			line += fmt.Sprint(" as ", r.Header["Impersonate-User"], r.Header["Impersonate-Uid"], r.Header["Impersonate-Group"], r.Header["Impersonate-Extra-Some%2fkey"])
		}
		said = append(said, line)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case len(said) == 1: // the stream is missing
			w.WriteHeader(404)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"details":{"kind":"imagestreammappings","name":"a.x2f.b"}}`)
		case len(said) == 2: // somebody made it meanwhile
			w.WriteHeader(409)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"AlreadyExists","code":409}`)
		case len(said) == 3: // a race is lost
			w.WriteHeader(409)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409}`)
		case r.Method == http.MethodGet:
			fmt.Fprint(w, `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"namespace":"ns","name":"a.x2f.b","uid":"made","resourceVersion":"7"}}`)
		default:
			w.WriteHeader(201)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
		}
	})
	p := pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig), imageConfig)
	p.Repository.Path, p.Repository.Stream, p.Tags = "a/b", "a.x2f.b", []string{"1", "2"}
	p.User = &user.DefaultInfo{Name: "ann", UID: "17", Groups: []string{"g", "h"}, Extra: map[string][]string{"some/key": {"v"}}}
	putNamespace(t, d, "ns", "namespace", at(0))
	recorded, err := d.Record(t.Context(), p)
	fatal(t, err)
	if got, want := recorded.Repository(), (blobstore.Repository{Name: "ns/a.x2f.b", Stream: "made", Namespace: "namespace"}); got != want {
		t.Errorf("recorded in %+v, want %+v", got, want)
	}
	want := []string{
		"POST imagestreammappings",
		"POST imagestreams as [ann] [17] [g h] [v]",
		"POST imagestreammappings",
		"POST imagestreammappings", // of both tags
		"GET a.x2f.b",
	}
	if !slices.Equal(said, want) {
		t.Errorf("said %q\nwant %q", said, want)
	}
}

// TestAFailedReadBackIsMadeGood: when what was written cannot be read back, the next
// reader reads it.
func TestAFailedReadBackIsMadeGood(t *testing.T) {
	broken, gets := false, 0
	d := directory(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodPost:
			broken = true
			w.WriteHeader(201)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
		case broken:
			w.WriteHeader(503)
			broken = false
		default:
			gets++
			fmt.Fprintf(w, `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"namespace":"ns","name":"app","resourceVersion":"%d"},
				"status":{"dockerImageRepository":"","tags":[{"tag":"1","items":[{"image":%q}]}]}}`, 7+gets, id(fmt.Sprint(gets)))
		}
	})
	_ = d.known.Replace([]any{numberedStream(7)}, "7")
	p := pushOf(dockerimage.MediaTypeOCIManifest, manifestOf(dockerimage.MediaTypeOCIImageConfig, imageConfig), imageConfig)
	p.Tags = []string{"1"}
	putNamespace(t, d, "ns", "namespace", at(0))
	_, err := d.Record(t.Context(), p)
	fatal(t, err)
	if head, err := d.Resolve(t.Context(), repository, "1"); err != nil || head != id("1") || gets != 1 {
		t.Errorf("resolved %s, %v, after %d reads", head, err, gets)
	}
}

// putNamespace has the directory know a namespace, as its watch does.
func putNamespace(t testing.TB, d *Directory, name string, uid types.UID, created metav1.Time) {
	t.Helper()
	fatal(t, d.namespaces.informer.GetStore().Add(&metav1.PartialObjectMetadata{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: uid, CreationTimestamp: created},
	}))
}

// warm is a directory that knows a stream with a long history, and all images of it. Its
// API fails the test.
func warm(t testing.TB, revisions int) *Directory {
	d := directory(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked the API: %s %s", r.Method, r.URL) })
	names := numbered("image", revisions)
	for _, name := range names {
		d.images.add(imageFacts(plain(name, append(numbered(name+"-layer", 8), "base", "shared")...)))
	}
	s := imageStream(tagged("latest", items(revisions, names...)), tagged("imported", items(1, "image0=quay.io/team/app")))
	_ = d.known.Replace([]any{s}, "1")
	putNamespace(t, d, "ns", "namespace", at(0))
	return d
}

func TestWarmAnswersAskNobody(t *testing.T) {
	d := warm(t, 1000)
	if head, err := d.Resolve(t.Context(), repository, "latest"); err != nil || head != id("image0") {
		t.Errorf("%s, %v", head, err)
	}
	if tags, _, err := d.Tags(t.Context(), repository, "", -1); err != nil || !slices.Equal(tags, []string{"imported", "latest"}) {
		t.Errorf("%s, %v", tags, err)
	}
	for _, name := range []string{"image0", "image999"} {
		if image, err := d.Image(t.Context(), id(name)); err != nil || image.Digest != id(name) || len(image.Blobs) != 11 {
			t.Errorf("%+v, %v", image, err)
		}
	}
	s, err := d.Stream(t.Context(), repository, false)
	fatal(t, err)
	if got, want := s.Repository(), (blobstore.Repository{Name: "ns/app", Stream: "uid", Namespace: "namespace"}); got != want {
		t.Errorf("the repository is %+v, want %+v", got, want)
	}
	if imported := s.Imported(); len(imported) != 1 || len(s.BlobSources(imported)) != 1 || len(s.ManifestSources(imported)) != 1 {
		t.Errorf("imported %v", imported)
	}
	if copies := d.CopiesOf(s.Repository()); len(copies) != 0 {
		t.Errorf("copies %v", copies)
	}
}

func BenchmarkWarm(b *testing.B) {
	for _, revisions := range []int{1, 1000} {
		d := warm(b, revisions)
		image := id(fmt.Sprintf("image%d", revisions-1))
		for name, do := range map[string]func() error{
			"Resolve": func() error { _, err := d.Resolve(b.Context(), repository, "latest"); return err },
			"Image":   func() error { _, err := d.Image(b.Context(), image); return err },
			"Stream":  func() error { _, err := d.Stream(b.Context(), repository, false); return err },
			"Sources": func() error {
				s, err := d.Stream(b.Context(), repository, false)
				if err == nil && len(s.BlobSources(s.Imported())) != 1 {
					return errors.New("no source")
				}
				return err
			},
		} {
			b.Run(fmt.Sprintf("%s/revisions=%d", name, revisions), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkFollow measures the reading of a new version of a stream with a long history.
func BenchmarkFollow(b *testing.B) {
	const revisions = 1000
	d := warm(b, revisions)
	names := numbered("image", revisions)
	less := imageStream(tagged("latest", items(revisions, names[1:]...)))
	more := imageStream(tagged("latest", items(revisions, names...)))
	for seq := uint64(2); b.Loop(); seq += 2 {
		for i, s := range []*imagev1.ImageStream{more, less} {
			if h := d.histories.of(app, versionOf(seq+uint64(i), s)); !h.has(id("image999")) {
				b.Fatal("the history lacks an image")
			}
		}
	}
}
