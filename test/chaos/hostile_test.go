package chaos_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
)

const (
	schema2   = "application/vnd.docker.distribution.manifest.v2+json"
	ociIndex  = "application/vnd.oci.image.index.v1+json"
	internal  = metav1.StatusReasonInternalError
	hundredMB = 100 << 20
)

// hostileConfig has everything that waits for a registry give up soon, so that the
// test of registries that never answer ends, and failed tags left alone.
const hostileConfig = `
imports:
  timeouts: {call: 4s, ping: 2s}
  hosts: {retries: 1, retryBase: 10ms, retryWait: 1s}
  limits: {tagListPages: 20, tagListLength: 20000, tagListPageSize: 1Mi}
  retry: {base: 1h, slowBase: 1h, max: 1h}
`

// fault is a registry that does something wrong, and what a tag from it is told.
type fault struct {
	name   string
	reason metav1.StatusReason
	// message is part of the failure's; {host} stands for the registry's.
	message string
	// serve answers what is asked of the registry, beside pings.
	serve func(f *faulty, w http.ResponseWriter, r *http.Request)
	// ping, when set, answers GET /v2/ too.
	ping bool
	// mode is the import mode, "" for the default.
	mode imagev1.ImportModeType
	// wait is the Retry-After that is passed on, in seconds.
	wait int32
}

// faulty is a registry with a fault, and a bystander that it may point to.
type faulty struct {
	*testenv.Registry
	bystander *bystander
	// released ends with the test: what hangs hangs so long.
	released chan struct{}
	sent     atomic.Int64 // bytes of endless answers
}

// bystander is a host that registries redirect to. Nobody may show it a login.
type bystander struct {
	host   string
	asked  atomic.Int64
	logins atomic.Int64
}

func answer(status int, contentType, body string) func(*faulty, http.ResponseWriter, *http.Request) {
	return func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// manifestThen answers for the manifest, and blobs with other.
func manifestThen(manifest string, blob func(http.ResponseWriter)) func(*faulty, http.ResponseWriter, *http.Request) {
	return func(_ *faulty, w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", schema2)
			_, _ = io.WriteString(w, manifest)
			return
		}
		blob(w)
	}
}

func text(body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = io.WriteString(w, body) }
}

// imageManifest is a manifest with a config and a layer.
func imageManifest(config string, layerSize string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":%q,"size":%d},
		"layers":[{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":%q,"size":%s}]}`,
		schema2, digest.FromString(config), len(config), digest.FromString("layer"), layerSize)
}

const goodConfig = `{"architecture":"amd64","os":"linux"}`

func (f *faulty) hang(r *http.Request) {
	select {
	case <-f.released:
	case <-r.Context().Done():
	}
}

// reset closes a connection in a way that its peer notices as a reset.
func reset(w http.ResponseWriter, first string) {
	conn, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = buffer.WriteString(first)
	_ = buffer.Flush()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// pour writes chunks until size is reached or the reader goes away.
func (f *faulty) pour(w io.Writer, size int, chunk string) {
	for sent := 0; sent < size; sent += len(chunk) {
		if _, err := io.WriteString(w, chunk); err != nil {
			return
		}
		f.sent.Add(int64(len(chunk)))
	}
}

var spaces = strings.Repeat(" ", 64<<10)

// faults are what registries do wrong with the tag team/app:1.
var faults = []fault{
	{name: "hangs", reason: internal, message: "timed out", serve: func(f *faulty, _ http.ResponseWriter, r *http.Request) { f.hang(r) }},
	{name: "hangs-at-ping", ping: true, reason: internal, message: "timed out", serve: func(f *faulty, _ http.ResponseWriter, r *http.Request) { f.hang(r) }},
	{name: "hangs-in-body", reason: internal, message: "timed out", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", schema2)
		_, _ = io.WriteString(w, `{"schemaVersion":`)
		_ = http.NewResponseController(w).Flush()
		f.hang(r)
	}},
	{name: "drips", reason: internal, message: "timed out", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", schema2)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			case <-f.released:
				return
			}
		}
	}},
	{name: "resets", reason: internal, message: "connection reset", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) { reset(w, "") }},
	{name: "resets-in-body", reason: internal, message: "connection reset", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		reset(w, "HTTP/1.1 200 OK\r\nContent-Type: "+schema2+"\r\nContent-Length: 500\r\n\r\n{\"schemaVersion\"")
	}},
	{name: "speaks-no-http", ping: true, reason: internal, message: "malformed HTTP", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		reset(w, "SSH-2.0-OpenSSH_9.2\r\n")
	}},
	{name: "truncates", reason: internal, message: "unexpected EOF", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", schema2)
		w.Header().Set("Content-Length", "5000")
		_, _ = io.WriteString(w, imageManifest(goodConfig, "7"))
	}},
	{name: "lies-about-manifest", reason: internal, message: "digest", serve: func(_ *faulty, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", digest.FromString("something else").String())
		manifestThen(imageManifest(goodConfig, "7"), text(goodConfig))(nil, w, r)
	}},
	{name: "lies-about-config", reason: internal, message: "digest", serve: manifestThen(imageManifest(goodConfig, "7"), text(`{"architecture":"evil1","os":"linux"}`))},
	{name: "announces-nonsense", reason: internal, message: "malformed digest", serve: func(_ *faulty, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("../", 30))
		manifestThen(imageManifest(goodConfig, "7"), text(goodConfig))(nil, w, r)
	}},
	{name: "throttles", reason: internal, message: "", wait: 77, serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "77")
		w.WriteHeader(http.StatusTooManyRequests)
	}},
	{name: "throttles-in-json", reason: internal, message: "slow down", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		testenv.RegistryError(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow down")
	}},
	{name: "fails", reason: internal, message: "received unexpected HTTP status: 500 Internal Server Error", serve: answer(500, "text/plain", "oops")},
	{name: "is-unavailable", reason: internal, message: "received unexpected HTTP status: 503 Service Unavailable", serve: answer(503, "text/html", "<h1>later</h1>")},
	{name: "bad-gateway", reason: internal, message: "received unexpected HTTP status: 502 Bad Gateway", serve: answer(502, "text/html", "")},
	{name: "fails-at-ping", ping: true, reason: internal, message: "503", serve: answer(503, "text/html", "")},
	{name: "denies", reason: internal, message: "denied", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		testenv.RegistryError(w, http.StatusForbidden, "DENIED", "denied by policy")
	}},
	{name: "missing", reason: metav1.StatusReasonNotFound, message: `dockerimage.image.openshift.io "{host}/team/app:1" not found`, serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		testenv.RegistryError(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "no such manifest")
	}},
	{name: "no-such-repository", reason: metav1.StatusReasonNotFound, message: "not found", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		testenv.RegistryError(w, http.StatusNotFound, "NAME_UNKNOWN", "no such repository")
	}},
	{name: "unauthorized", reason: metav1.StatusReasonUnauthorized, message: `you may not have access to the container image "{host}/team/app:1"`, serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		testenv.RegistryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "who are you")
	}},
	{name: "html", reason: internal, message: "malformed", serve: answer(200, "text/html; charset=utf-8", "<html><body>Welcome to the hotel Wi-Fi</body></html>")},
	{name: "html-everywhere", ping: true, reason: internal, message: "malformed", serve: answer(200, "text/html", "<html><body>Welcome</body></html>")},
	{name: "empty-answer", reason: internal, message: "malformed", serve: answer(200, schema2, "")},
	{name: "no-content", reason: internal, message: "204 No Content", serve: answer(204, schema2, "")},
	{name: "huge-manifest", reason: internal, message: "8388608", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", schema2)
		if r.Method == http.MethodGet {
			f.pour(w, hundredMB, spaces)
		}
	}},
	{name: "huge-config", reason: internal, message: "8388608", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		manifestThen(imageManifest(goodConfig, "7"), func(w http.ResponseWriter) { f.pour(w, hundredMB, spaces) })(nil, w, r)
	}},
	{name: "bomb", reason: internal, message: "8388608", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", schema2)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb())
	}},
	{name: "huge-error", reason: internal, message: "500", serve: func(f *faulty, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		f.pour(w, hundredMB, spaces)
	}},
	{name: "huge-header", reason: internal, message: "headers exceed the limit", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Filler", strings.Repeat("x", 1<<20))
	}},
	{name: "deep-json", reason: internal, message: "nested more than", serve: answer(200, schema2, strings.Repeat("[", 1<<20))},
	{name: "many-entries", reason: internal, message: "digest", mode: imagev1.ImportModePreserveOriginal, serve: answer(200, ociIndex, manyEntries(20_000))},
	{name: "empty-list", reason: internal, message: "list is empty", serve: answer(200, ociIndex, `{"schemaVersion":2,"mediaType":"`+ociIndex+`","manifests":[]}`)},
	{name: "impossible-size", reason: internal, message: "malformed", serve: manifestThen(imageManifest(goodConfig, "9223372036854775808"), text(goodConfig))},
	{name: "negative-sizes", reason: internal, message: "negative", serve: manifestThen(imageManifest(goodConfig, "-7"), text(goodConfig))},
	{name: "config-is-no-json", reason: internal, message: "malformed", serve: manifestThen(imageManifest("\x00\xff", "7"), text("\x00\xff"))},
	{name: "huge-config-field", reason: internal, message: "more than 1048576", serve: manifestThen(imageManifest(wordyConfig, "7"), text(wordyConfig))},
	{name: "nested-too-deep", reason: internal, message: "nested more than 4 levels deep", serve: nil},
	{name: "redirects-in-circles", reason: internal, message: "redirect", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+f.Host+r.URL.Path, http.StatusTemporaryRedirect)
	}},
	{name: "redirects-away", reason: metav1.StatusReasonNotFound, message: "not found", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+f.bystander.host+"/elsewhere", http.StatusTemporaryRedirect)
	}},
	{name: "redirects-to-metadata", reason: internal, message: "169.254.169.254", serve: func(_ *faulty, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/iam/security-credentials", http.StatusTemporaryRedirect)
	}},
	{name: "redirects-to-file", reason: internal, message: "unsupported scheme", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	}},
	{name: "echoes-login", reason: internal, message: "denied", serve: func(_ *faulty, w http.ResponseWriter, r *http.Request) {
		if _, _, shown := r.BasicAuth(); !shown {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			testenv.RegistryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "login, please")
			return
		}
		user, password, _ := r.BasicAuth()
		testenv.RegistryError(w, http.StatusForbidden, "DENIED", "denied to "+user+" with "+password+" as in "+r.Header.Get("Authorization"))
	}},
	{name: "echoes-token", reason: internal, message: "denied", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			fmt.Fprintf(w, `{"token":%q}`, secretToken)
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+f.Host+`/token",service="x"`)
			testenv.RegistryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "a token, please")
		default:
			testenv.RegistryError(w, http.StatusForbidden, "DENIED", "denied: "+r.Header.Get("Authorization"))
		}
	}},
	{name: "realm-echoes-login", reason: metav1.StatusReasonUnauthorized, message: "incorrect username or password for image", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			user, password, _ := r.BasicAuth()
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"details":"who is %s with %s? incorrect username or password"}`, user, password)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+f.Host+`/token",service="x"`)
		testenv.RegistryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "a token, please")
	}},
}

var bomb = sync.OnceValue(func() []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for range hundredMB / len(spaces) {
		_, _ = io.WriteString(z, spaces)
	}
	_ = z.Close()
	return packed.Bytes()
})

// wordyConfig is a valid config that makes an Image larger than the store takes.
var wordyConfig = `{"architecture":"amd64","os":"linux","config":{"Env":["` + strings.Repeat("x", 3<<20) + `"]}}`

func manyEntries(n int) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7,"platform":{"architecture":"other%d","os":"linux"}}`, schema2, digest.FromString(strconv.Itoa(i)), i)
	}
	return `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + strings.Join(entries, ",") + `]}`
}

// startFaults starts a registry for each fault.
func startFaults(t *testing.T) []*faulty {
	t.Helper()
	released := make(chan struct{})
	b := startBystander(t)
	all := make([]*faulty, len(faults))
	for i := range faults {
		f := &faulty{Registry: testenv.NewRegistry(t), bystander: b, released: released}
		if serve := faults[i].serve; serve != nil {
			f.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v2/" && !faults[i].ping {
					return false
				}
				serve(f, w, r)
				return true
			})
		} else {
			var nested = testenv.Nest(testenv.OCIImage(t, "linux/amd64"), "linux/amd64")
			for range 6 {
				nested = testenv.Nest(nested, "linux/amd64")
			}
			f.Push(t, "team/app:1", nested)
		}
		all[i] = f
	}
	t.Cleanup(func() { close(released) }) // before the registries close
	return all
}

func startBystander(t *testing.T) *bystander {
	t.Helper()
	registry, b := testenv.NewRegistry(t), &bystander{}
	b.host = registry.Host
	registry.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		b.asked.Add(1)
		if r.Header.Get("Authorization") != "" || len(leaked(fmt.Append(nil, r.Header, r.URL))) > 0 {
			b.logins.Add(1)
		}
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	return b
}

// TestHostileRegistries imports a tag from each faulty registry, and sound tags
// beside them, all by one stream and all by one import.
func TestHostileRegistries(t *testing.T) {
	env := testenv.Start(t, withConfig(t, hostileConfig))
	ns := env.Namespace(t, "hostile")
	registries, sound := startFaults(t), testenv.NewRegistry(t)
	logins := map[string]string{}
	for _, f := range registries {
		logins[f.Host] = secretUser + ":" + secretPassword
	}
	if _, err := env.Kube.CoreV1().Secrets(ns).Create(t.Context(), testenv.PullSecret(t, "login", logins), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	isi := importOf("looked-at")
	isi.Spec.Import = false
	for i, f := range registries {
		tag, image := pullTag(faults[i].name, f.Ref("team/app:1")), imageImport(faults[i].name, f.Ref("team/app:1"))
		tag.ImportPolicy.ImportMode, image.ImportPolicy.ImportMode = faults[i].mode, faults[i].mode
		s.Spec.Tags, isi.Spec.Images = append(s.Spec.Tags, tag), append(isi.Spec.Images, image)
	}
	good := map[string]string{}
	for i := range 5 {
		tag := "sound-" + strconv.Itoa(i)
		good[tag] = sound.Push(t, "team/app:"+tag, testenv.Image(t, "linux/amd64"))
		s.Spec.Tags = append(s.Spec.Tags, pullTag(tag, sound.Ref("team/app:"+tag)))
		isi.Spec.Images = append(isi.Spec.Images, imageImport(tag, sound.Ref("team/app:"+tag)))
	}
	memory := watchMemory(t)

	answered, err := env.Images.ImageV1().ImageStreamImports(ns).Create(t.Context(), isi, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("the whole import failed: %v", err)
	}
	for i := range faults {
		faults[i].check(t, "import", registries[i].Host, &answered.Status.Images[i].Status)
	}
	for i := len(faults); i < len(isi.Spec.Images); i++ {
		if status := answered.Status.Images[i]; status.Status.Status != metav1.StatusSuccess || status.Image.Name != good[isi.Spec.Images[i].To.Name] {
			t.Errorf("sound image %s: %+v", isi.Spec.Images[i].To.Name, status.Status)
		}
	}

	if _, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s = waitAnswered(t, env, ns, "all", len(s.Spec.Tags))
	for i := range faults {
		condition := conditionOf(s, faults[i].name)
		if condition == nil || headOf(s, faults[i].name) != "" {
			t.Errorf("%s: condition %v, head %q", faults[i].name, condition, headOf(s, faults[i].name))
			continue
		}
		faults[i].check(t, "stream", registries[i].Host, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReason(condition.Reason), Message: condition.Message,
			Details: answered.Status.Images[i].Status.Details, Code: answered.Status.Images[i].Status.Code})
	}
	for tag, image := range good {
		if got := headOf(s, tag); got != image {
			t.Errorf("sound tag %s is %q, want %q: %+v", tag, got, image, conditionOf(s, tag))
		}
	}
	memory.check(t, 512<<20)
	for i, f := range registries {
		if sent := f.sent.Load(); sent > 80<<20 {
			t.Errorf("%s: %d MiB were read", faults[i].name, sent>>20)
		}
	}
	if b := registries[0].bystander; b.asked.Load() == 0 || b.logins.Load() > 0 {
		t.Errorf("the host that registries redirect to was asked %d times, %d times with a login", b.asked.Load(), b.logins.Load())
	}
	wantNoSecrets(t, env, ns, answered)
}

func (f *fault) check(t *testing.T, where, host string, status *metav1.Status) {
	t.Helper()
	want := strings.ReplaceAll(f.message, "{host}", host)
	if status.Status != metav1.StatusFailure || status.Reason != f.reason || !contains(status.Message, want) {
		t.Errorf("%s (%s): %s %q, want %s with %q", f.name, where, status.Reason, status.Message, f.reason, want)
	}
	if code := map[metav1.StatusReason]int32{internal: 500, metav1.StatusReasonNotFound: 404, metav1.StatusReasonUnauthorized: 401}[f.reason]; status.Code != code {
		t.Errorf("%s (%s): code %d, want %d", f.name, where, status.Code, code)
	}
	if !contains(status.Message, host+"/team/app") {
		t.Errorf("%s (%s): %q does not name the image", f.name, where, status.Message)
	}
	if len(status.Message) > 4<<10 {
		t.Errorf("%s (%s): a message of %d bytes", f.name, where, len(status.Message))
	}
	if f.wait > 0 && (status.Details == nil || status.Details.RetryAfterSeconds != f.wait) {
		t.Errorf("%s (%s): details %+v, want a pause of %d s", f.name, where, status.Details, f.wait)
	}
}

// waitAnswered waits until every tag of a stream was imported or has failed.
func waitAnswered(t *testing.T, env *testenv.Env, ns, name string, tags int) *imagev1.ImageStream {
	t.Helper()
	var s *imagev1.ImageStream
	testenv.Eventually(t, "an answer for each tag", func() (err error) {
		if s, err = env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		if len(s.Status.Tags) != tags {
			return fmt.Errorf("%d of %d tags are answered", len(s.Status.Tags), tags)
		}
		return nil
	})
	return s
}

// conditionOf is the failed import of a tag, nil for none.
func conditionOf(s *imagev1.ImageStream, tag string) *imagev1.TagEventCondition {
	return conditionOfType(s, tag, imagev1.ImportSuccess)
}

func conditionOfType(s *imagev1.ImageStream, tag string, kind imagev1.TagEventConditionType) *imagev1.TagEventCondition {
	for _, list := range s.Status.Tags {
		for i := range list.Conditions {
			if list.Tag == tag && list.Conditions[i].Type == kind {
				return &list.Conditions[i]
			}
		}
	}
	return nil
}

// wantNoSecrets looks for the login in whatever everybody can read.
func wantNoSecrets(t *testing.T, env *testenv.Env, ns string, more ...any) {
	t.Helper()
	for _, path := range []string{
		"/apis/image.openshift.io/v1/imagestreams", "/apis/image.openshift.io/v1/images", "/api/v1/events",
		"/apis/events.k8s.io/v1/events", "/metrics", "/apis/image.openshift.io/v1/namespaces/" + ns + "/imagestreams",
	} {
		body, err := env.Kube.Discovery().RESTClient().Get().AbsPath(path).DoRaw(t.Context())
		if err != nil {
			t.Errorf("reading %s: %v", path, err)
		}
		if found := leaked(body); len(found) > 0 {
			t.Errorf("%s holds %q", path, found)
		}
	}
	for _, m := range more {
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if found := leaked(body); len(found) > 0 {
			t.Errorf("the answer holds %q: %s", found, body)
		}
	}
	if found := serverLog.leaks(); len(found) > 0 || serverLog.size() == 0 {
		t.Errorf("of %d bytes of log: %q", serverLog.size(), found)
	}
}

// TestEndlessTagLists lists the tags of registries that never come to an end with it.
func TestEndlessTagLists(t *testing.T) {
	env := testenv.Start(t, withConfig(t, hostileConfig))
	ns := env.Namespace(t, "hostile")
	memory := watchMemory(t)
	for _, test := range []struct {
		name, message string
		list          http.HandlerFunc
	}{
		{"ever new pages", "pages", func(w http.ResponseWriter, r *http.Request) {
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			w.Header().Set("Link", fmt.Sprintf(`</v2/team/app/tags/list?page=%d>; rel="next"`, page+1))
			fmt.Fprintf(w, `{"name":"team/app","tags":["p%d"]}`, page)
		}},
		{"the same page for ever", "already read", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `</v2/team/app/tags/list>; rel="next"`)
			fmt.Fprint(w, `{"name":"team/app","tags":["1"]}`)
		}},
		{"an endless page", "1048576", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"name":"team/app","tags":[""`)
			for i := 0; r.Context().Err() == nil && i < 10_000_000; i++ {
				if _, err := fmt.Fprintf(w, `,"tag-%d"`, i); err != nil {
					return
				}
			}
		}},
		{"a page on another host", "another host", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<http://169.254.169.254/latest/meta-data>; rel="next"`)
			fmt.Fprint(w, `{"name":"team/app","tags":["1"]}`)
		}},
		{"html", "not readable", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html></html>") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			upstream := testenv.NewRegistry(t)
			upstream.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/tags/list") {
					return false
				}
				test.list(w, r)
				return true
			})
			isi := importOf(strings.ReplaceAll(test.name, " ", "-"))
			isi.Spec.Repository = &imagev1.RepositoryImportSpec{ImportPolicy: imagev1.TagImportPolicy{Insecure: true}}
			isi.Spec.Repository.From.Kind, isi.Spec.Repository.From.Name = "DockerImage", upstream.Ref("team/app")
			answered, err := env.Images.ImageV1().ImageStreamImports(ns).Create(t.Context(), isi, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			status := answered.Status.Repository.Status
			if status.Reason != internal || !contains(status.Message, test.message) || len(answered.Status.Repository.Images) > 0 {
				t.Errorf("%s %q, want %s with %q", status.Reason, status.Message, internal, test.message)
			}
		})
	}
	memory.check(t, 150<<20)
}

// TestBrokenHostHoldsNobodyUp has more streams wait for a host that never answers
// than the controller has workers, and imports from another one meanwhile.
func TestBrokenHostHoldsNobodyUp(t *testing.T) {
	env := testenv.Start(t) // with the time-outs that it has in the wild
	ns := env.Namespace(t, "slow")
	broken, sound := testenv.NewRegistry(t), testenv.NewRegistry(t)
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	broken.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-released:
		case <-r.Context().Done():
		}
		return true
	})
	sound.Push(t, "team/app:1", testenv.Image(t, "linux/amd64"))
	sound.Push(t, "team/app:2", testenv.Image(t, "linux/amd64"))
	importTime := func(name, path string) time.Duration {
		begin := time.Now()
		makeStream(t, env, ns, name, pullTag("t", sound.Ref(path)))
		testenv.Eventually(t, "the import of "+name, func() error {
			s, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{})
			if err == nil && headOf(s, "t") == "" {
				err = fmt.Errorf("not imported: %+v", s.Status.Tags)
			}
			return err
		})
		return time.Since(begin)
	}
	alone := importTime("alone", "team/app:1")
	for i := range 60 {
		makeStream(t, env, ns, "broken-"+strconv.Itoa(i), pullTag("t", broken.Ref("team/app:"+strconv.Itoa(i))))
	}
	testenv.Eventually(t, "the broken registry to be asked", func() error {
		if broken.Count("GET ") == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	beside := importTime("beside", "team/app:2")
	t.Logf("an import took %s alone and %s beside a broken registry", alone, beside)
	if beside > 5*alone+3*time.Second {
		t.Errorf("an import took %s beside a broken registry, %s alone", beside, alone)
	}
}

func makeStream(t *testing.T, env *testenv.Env, ns, name string, tags ...imagev1.TagReference) *imagev1.ImageStream {
	t.Helper()
	s, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: imagev1.ImageStreamSpec{Tags: tags},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// memoryWatch samples the memory of this process.
type memoryWatch struct {
	before, peak int64
	stop         context.CancelFunc
	done         chan struct{}
}

func watchMemory(t *testing.T) *memoryWatch {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	m := &memoryWatch{before: residentOf(t, "self"), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			m.peak = max(m.peak, residentOf(t, "self"))
		}
	}()
	return m
}

// check ends the watch and bounds the growth, in bytes.
func (m *memoryWatch) check(t *testing.T, bound int64) {
	t.Helper()
	m.stop()
	<-m.done
	t.Logf("%d MiB before, %d MiB at the peak", m.before>>20, m.peak>>20)
	if m.peak-m.before > bound {
		t.Errorf("memory grew from %d to %d MiB", m.before>>20, m.peak>>20)
	}
}
