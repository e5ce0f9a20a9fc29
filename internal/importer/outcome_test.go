package importer_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/testenv/testimage"
	"weir.dev/weir/internal/upstream"
)

const schema2 = "application/vnd.docker.distribution.manifest.v2+json"

func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		ref    string // below the server's host, default x:1
		status int
		code   string
		want   string // JSON with REF
		retry  importer.Retry
	}{
		{name: "missing tag", ref: "x:nope", want: `{"metadata":{},"status":"Failure","message":"dockerimage.image.openshift.io \"REF\" not found","reason":"NotFound","details":{"name":"REF","group":"image.openshift.io","kind":"dockerimage"},"code":404}`, retry: importer.RetryLater},
		{name: "missing repository", ref: "y/z:1", want: `{"metadata":{},"status":"Failure","message":"dockerimage.image.openshift.io \"REF\" not found","reason":"NotFound","details":{"name":"REF","group":"image.openshift.io","kind":"dockerimage"},"code":404}`, retry: importer.RetryLater},
		{name: "unauthorized", status: 401, code: "UNAUTHORIZED", want: `{"metadata":{},"status":"Failure","message":"you may not have access to the container image \"REF\"","reason":"Unauthorized","code":401}`, retry: importer.RetryLater},
		{name: "denied", status: 403, code: "DENIED", want: `{"metadata":{},"status":"Failure","message":"Internal error occurred: REF: denied: said the registry","reason":"InternalError","details":{"causes":[{"message":"REF: denied: said the registry"}]},"code":500}`, retry: importer.RetryLater},
		{name: "throttled", status: 429, code: "TOOMANYREQUESTS", want: `{"metadata":{},"status":"Failure","message":"Internal error occurred: REF: toomanyrequests: said the registry","reason":"InternalError","details":{"causes":[{"message":"REF: toomanyrequests: said the registry"}]},"code":500}`, retry: importer.RetrySoon},
		{name: "broken", status: 503, want: `{"metadata":{},"status":"Failure","message":"Internal error occurred: REF: received unexpected HTTP status: 503 Service Unavailable","reason":"InternalError","details":{"causes":[{"message":"REF: received unexpected HTTP status: 503 Service Unavailable"}]},"code":500}`, retry: importer.RetrySoon},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			s.push("x:1", testimage.Image(t, "linux/amd64"))
			if c.ref == "" {
				c.ref = "x:1"
				s.fail("/manifests/1", c.status, c.code)
			}
			result := importOne(t, newImporter(t), importer.ImageRequest{Ref: s.ref(c.ref)})
			if got, want := asJSON(t, result.Status), strings.ReplaceAll(c.want, "REF", s.ref(c.ref)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if result.Retry != c.retry || !result.Retryable {
				t.Errorf("retry %s, retryable %v; want %s", result.Retry, result.Retryable, c.retry)
			}
			if result.Tag == "" || result.Image != nil || !strings.HasPrefix(s.ref(c.ref), result.Source+":") {
				t.Errorf("tag %q, image %v, source %q", result.Tag, result.Image, result.Source)
			}
		})
	}
}

func TestRetryAfterIsHandedOn(t *testing.T) {
	s := newServer(t)
	s.on(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Retry-After", "77")
			registryError(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
			return true
		}
		return false
	})
	if got := importOne(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x:1")}).RetryAfter; got != 77*time.Second {
		t.Errorf("RetryAfter %s, want 77s", got)
	}
}

func TestNamesThatNameNothing(t *testing.T) {
	for _, ref := range []string{"*", "foo.bar", "localhost:5000", "Not/Valid", "", "a:b:c"} {
		result := importOne(t, newImporter(t), importer.ImageRequest{Ref: ref})
		if result.Status.Reason != "InternalError" || !strings.Contains(result.Status.Message, "unable to parse docker reference") || result.Retryable {
			t.Errorf("%q: %s, retryable %v", ref, asJSON(t, result.Status), result.Retryable)
		}
	}
}

// blockingRegistries refuses one host as configuration can.
type blockingRegistries struct {
	importer.Registries
	host string
}

func (b blockingRegistries) Repository(ref reference.PullSpec, insecure bool, creds pullsecrets.Credentials) (importer.Repository, error) {
	if ref.Registry == b.host {
		return nil, &upstream.Error{Code: upstream.CodeBlocked, Ref: ref.String(), Text: "registry " + ref.Registry + " is blocked"}
	}
	return b.Registries.Repository(ref, insecure, creds)
}

func TestBlocked(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, func(o *importer.Options) { o.Registries = blockingRegistries{newRegistries(t), s.host} })
	result := i.Import(context.Background(), importer.Request{
		Images:     []importer.ImageRequest{{Ref: s.ref("x:1"), Insecure: true}},
		Repository: &importer.RepositoryRequest{Ref: s.ref("x"), Insecure: true},
	})
	want := fmt.Sprintf(`{"metadata":{},"status":"Failure","message":"forbidden: registry %s is blocked","reason":"Forbidden","details":{},"code":403}`, s.host)
	if got := asJSON(t, result.Images[0].Status); got != want {
		t.Errorf("image: got %s, want %s", got, want)
	}
	if r := result.Images[0]; r.Tag != "" || r.Retryable || r.Retry != importer.RetryNever {
		t.Errorf("tag %q, retryable %v", r.Tag, r.Retryable)
	}
	if got := asJSON(t, result.Repository.Status); got != want || result.Repository.Images != nil {
		t.Errorf("repository: %s with images %v", got, result.Repository.Images)
	}
	if s.total() != 0 {
		t.Errorf("a blocked registry was asked %v", s.requests)
	}
}

func TestContentThatCannotBe(t *testing.T) {
	d := digest.FromString("x").String()
	for name, c := range map[string]struct{ contentType, body, want string }{
		"unknown type":        {"application/vnd.example+json", `{}`, `unsupported image manifest type "application/vnd.example+json"`},
		"type unsaid":         {"", `{}`, "neither the registry nor the manifest says what it is"},
		"not JSON":            {schema2, `hello`, "the manifest is malformed"},
		"types disagree":      {schema2, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`, "calls itself"},
		"two things at once":  {"application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}`, "ambiguous"},
		"a list called image": {"application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"manifests":[]}`, "content of another format"},
		"layers twice":        {schema2, `{"schemaVersion":2,"config":{},"layers":[],"layers":[]}`, `the manifest is malformed: "layers" is there more than once`},
		"Layers and layers":   {schema2, `{"schemaVersion":2,"config":{},"layers":[],"Layers":[]}`, `the manifest is malformed: "Layers" differs from the key "layers" only by case`},
		"negative size":       {schema2, `{"schemaVersion":2,"config":{"digest":"` + d + `","size":-1}}`, "negative"},
		"bad digest":          {schema2, `{"schemaVersion":2,"config":{"digest":"md5:00","size":1}}`, "digest"},
		"nested beyond sense": {schema2, strings.Repeat("[", 100000), "nested more than 64 levels"},
		"config missing":      {schema2, `{"schemaVersion":2,"config":{"digest":"` + d + `","size":1}}`, "config " + d},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			if c.contentType == "" {
				c.contentType = "application/octet-stream"
			}
			s.put("x", "1", c.contentType, []byte(c.body))
			result := importOne(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x:1")})
			if result.Status.Reason != "InternalError" || !strings.Contains(result.Status.Message, c.want) || !strings.Contains(result.Status.Message, s.ref("x:1")+": ") {
				t.Errorf("status %s\nwant %q", asJSON(t, result.Status), c.want)
			}
		})
	}
}

func TestContentThatLies(t *testing.T) {
	for name, suffix := range map[string]string{"manifest": "manifests", "config": "blobs"} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			d := s.push("x:1", testimage.Image(t, "linux/amd64"))
			s.on(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/"+suffix+"/") {
					return false
				}
				w.Header().Set("Content-Type", schema2)
				fmt.Fprint(w, `{"schemaVersion":2}`)
				return true
			})
			result := importOne(t, newImporter(t), importer.ImageRequest{Ref: s.ref("x@" + d)})
			if result.Status.Reason != "InternalError" || !strings.Contains(result.Status.Message, "digest") {
				t.Errorf("status %s", asJSON(t, result.Status))
			}
		})
	}
}

// lyingRegistries hands on content that does not have its digest, as a defect of a client would.
type lyingRegistries struct{ importer.Registries }

type lyingRepository struct{ importer.Repository }

func (l lyingRegistries) Repository(ref reference.PullSpec, insecure bool, creds pullsecrets.Credentials) (importer.Repository, error) {
	r, err := l.Registries.Repository(ref, insecure, creds)
	return lyingRepository{r}, err
}

func (l lyingRepository) Blob(ctx context.Context, d digest.Digest, maxBytes int64) ([]byte, error) {
	body, err := l.Repository.Blob(ctx, d, maxBytes)
	return append([]byte(" "), body...), err
}

func TestDigestsAreVerifiedHereToo(t *testing.T) {
	s := newServer(t)
	s.push("x:1", testimage.Image(t, "linux/amd64"))
	i := newImporter(t, func(o *importer.Options) { o.Registries = lyingRegistries{newRegistries(t)} })
	if r := importOne(t, i, importer.ImageRequest{Ref: s.ref("x:1")}); r.Status.Reason != "InternalError" || !strings.Contains(r.Status.Message, "instead of") {
		t.Errorf("status %s", asJSON(t, r.Status))
	}
}

// panickingRegistries has a defect that one tag brings out.
type panickingRegistries struct{ importer.Registries }

type panickingRepository struct{ importer.Repository }

func (p panickingRegistries) Repository(ref reference.PullSpec, insecure bool, creds pullsecrets.Credentials) (importer.Repository, error) {
	r, err := p.Registries.Repository(ref, insecure, creds)
	return panickingRepository{r}, err
}

func (p panickingRepository) Manifest(ctx context.Context, tag string) (upstream.Manifest, error) {
	if tag == "2" {
		panic("password=hunter2 in a foreign text")
	}
	return p.Repository.Manifest(ctx, tag)
}

func TestPanicIsOneTagsStatus(t *testing.T) {
	s := newServer(t)
	for _, tag := range []string{"1", "2", "3"} {
		s.push("x:"+tag, testimage.Image(t, "linux/amd64"))
	}
	i := newImporter(t, func(o *importer.Options) { o.Registries = panickingRegistries{newRegistries(t)} })
	var logged bytes.Buffer
	ctx := klog.NewContext(context.Background(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&logged))))
	result := i.Import(ctx, importer.Request{Images: []importer.ImageRequest{
		{Ref: s.ref("x:1"), Insecure: true}, {Ref: s.ref("x:2"), Insecure: true},
		{Ref: s.ref("x:2"), Insecure: true, PreferArch: "arm64"}, {Ref: s.ref("x:3"), Insecure: true},
	}})
	for n, want := range []string{"Success", "Failure", "Failure", "Success"} {
		if got := result.Images[n].Status; got.Status != want || strings.Contains(got.Message, "hunter2") {
			t.Errorf("image %d: %s", n, asJSON(t, got))
		}
	}
	if log := logged.String(); !strings.Contains(log, "x:2") || !strings.Contains(log, "outcome_test.go") || strings.Contains(log, "hunter2") {
		t.Errorf("the log lacks image or stack, or has a secret:\n%s", log)
	}
}

// TestSlowHostHoldsUpNobody: every image of a host that never answers fails when time is up; those
// of another host, behind them in the request, succeed all the same.
func TestSlowHostHoldsUpNobody(t *testing.T) {
	slow, fast := newServer(t), newServer(t)
	fast.push("x:1", testimage.Image(t, "linux/amd64"))
	slow.on(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			<-r.Context().Done()
			return true
		}
		return false
	})
	var req importer.Request
	for n := range 30 {
		req.Images = append(req.Images, importer.ImageRequest{Ref: slow.ref(fmt.Sprintf("x:%d", n)), Insecure: true})
	}
	req.Images = append(req.Images, importer.ImageRequest{Ref: fast.ref("x:1"), Insecure: true})
	result := newImporter(t, func(o *importer.Options) { o.Timeout.Duration = 4 * time.Second }).Import(context.Background(), req)
	for n, r := range result.Images[:30] {
		if !strings.HasSuffix(r.Status.Message, "the import ran out of time") || r.Retry != importer.RetrySoon {
			t.Fatalf("slow image %d: %s, retry %s", n, asJSON(t, r.Status), r.Retry)
		}
	}
	if r := result.Images[30]; r.Status.Status != "Success" {
		t.Errorf("fast image: %s", asJSON(t, r.Status))
	}
}

func TestCancelledImportReports(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	s.on(func(_ http.ResponseWriter, r *http.Request) bool {
		cancel()
		<-r.Context().Done()
		return true
	})
	result := newImporter(t).Import(ctx, importer.Request{
		Images:     []importer.ImageRequest{{Ref: s.ref("x:1"), Insecure: true}},
		Repository: &importer.RepositoryRequest{Ref: s.ref("x"), Insecure: true},
	})
	if r := result.Images[0]; !strings.HasSuffix(r.Status.Message, "context canceled") || r.Retry != importer.RetrySoon {
		t.Errorf("image: %s", asJSON(t, r.Status))
	}
	if r := result.Repository; r.Status.Reason != "InternalError" || r.Retry != importer.RetrySoon {
		t.Errorf("repository: %s", asJSON(t, r.Status))
	}
}

// withToken puts a token realm in front of the server. It knows the passwords of users, and gives
// anonymous callers a token when open.
func (s *testServer) withToken(passwords map[string]string, open bool) {
	realm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, given := r.BasicAuth()
		switch {
		case given && passwords[user] != password:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"details":"incorrect username or password"}`)
		case given || open:
			fmt.Fprint(w, `{"token":"let-me-in-please"}`)
		default:
			fmt.Fprint(w, `{"token":"for-nothing-at-all"}`)
		}
	}))
	s.t.Cleanup(realm.Close)
	s.on(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer let-me-in-please" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm.URL+`",service="test"`)
		registryError(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return true
	})
}

func TestWrongCredentials(t *testing.T) {
	wrong := func(host string) credentials {
		return credentials{host: {Username: "u", Password: "stale-password", Origin: "secret p/s"}}
	}
	for _, c := range []struct {
		name     string
		open     bool
		fallback bool
		want     string // message, "" for success
	}{
		{name: "public image", open: true},
		{name: "private image", want: "incorrect username or password for image"},
		{name: "private image, the node may", fallback: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			s.push("x:1", testimage.Image(t, "linux/amd64"))
			s.withToken(map[string]string{"node": "right-password"}, c.open)
			req := importer.Request{Credentials: wrong(s.host), Images: []importer.ImageRequest{{Ref: s.ref("x:1"), Insecure: true}}}
			if c.fallback {
				req.FallbackCredentials = credentials{s.host: {Username: "node", Password: "right-password"}}
			}
			result := newImporter(t).Import(context.Background(), req).Images[0]
			if c.want == "" {
				if result.Status.Status != "Success" || result.Image == nil {
					t.Errorf("status %s", asJSON(t, result.Status))
				}
				return
			}
			want := fmt.Sprintf(`{"metadata":{},"status":"Failure","message":"incorrect username or password for image \"%s\"; the registry refused the credentials of secret p/s: correct them, and the import is tried again","reason":"Unauthorized","code":401}`, s.ref("x:1"))
			if got := asJSON(t, result.Status); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			once := s.count("GET manifests")
			twice := newImporter(t, func(o *importer.Options) { o.Registries = plainRegistries{newRegistries(t)} })
			s.reset()
			twice.Import(context.Background(), req)
			if again := s.count("GET manifests"); once == 0 || once >= again {
				t.Errorf("%d requests with a client that falls back itself, %d with a second round of ours", once, again)
			}
		})
	}
}

// plainRegistries does not fall back by itself, as the anonymousFallback of a client would say.
type plainRegistries struct{ importer.Registries }

// TestOnlyFailingEntriesRunAgain is O33: what succeeded is not fetched again.
func TestOnlyFailingEntriesRunAgain(t *testing.T) {
	good, bad := newServer(t), newServer(t)
	good.push("x:1", testimage.Image(t, "linux/amd64"))
	bad.push("x:1", testimage.Image(t, "linux/amd64"))
	bad.withToken(map[string]string{"node": "right-password"}, false)
	i := newImporter(t, func(o *importer.Options) { o.Registries = plainRegistries{newRegistries(t)} })
	result := i.Import(context.Background(), importer.Request{
		Credentials: credentials{bad.host: {Username: "u", Password: "stale-password"}},
		Images:      []importer.ImageRequest{{Ref: bad.ref("x:1"), Insecure: true}, {Ref: good.ref("x:1"), Insecure: true}},
	})
	if !strings.HasPrefix(result.Images[0].Status.Message, "incorrect username or password") {
		t.Errorf("the first status is lost: %s", asJSON(t, result.Images[0].Status))
	}
	if result.Images[1].Image == nil || good.count("GET x 1") != 1 {
		t.Errorf("good image %s, fetched %d times", result.Images[1].Status.Status, good.count("GET x 1"))
	}
}
