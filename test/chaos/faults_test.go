package chaos_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
  timeouts: {call: 4s}
  hosts: {retries: 1, retryWait: 1s}
  limits: {tagListLength: 20000}
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
	{name: "hangs", reason: internal, message: "no answer", serve: func(f *faulty, _ http.ResponseWriter, r *http.Request) { f.hang(r) }},
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
	{name: "resets", reason: internal, message: "no answer", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) { reset(w, "") }},
	{name: "resets-in-body", reason: internal, message: "broke in the middle", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		reset(w, "HTTP/1.1 200 OK\r\nContent-Type: "+schema2+"\r\nContent-Length: 500\r\n\r\n{\"schemaVersion\"")
	}},
	{name: "speaks-no-http", ping: true, reason: internal, message: "no answer", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		reset(w, "SSH-2.0-OpenSSH_9.2\r\n")
	}},
	{name: "truncates", reason: internal, message: "broke in the middle", serve: func(_ *faulty, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", schema2)
		w.Header().Set("Content-Length", "5000")
		_, _ = io.WriteString(w, imageManifest(goodConfig, "7"))
	}},
	{name: "lies-about-manifest", reason: internal, message: "digest", serve: func(_ *faulty, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", digest.FromString("something else").String())
		manifestThen(imageManifest(goodConfig, "7"), text(goodConfig))(nil, w, r)
	}},
	{name: "lies-about-config", reason: internal, message: "digest", serve: manifestThen(imageManifest(goodConfig, "7"), text(`{"architecture":"evil1","os":"linux"}`))},
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
	{name: "many-entries", reason: internal, message: "more than 1000", mode: imagev1.ImportModePreserveOriginal, serve: answer(200, ociIndex, manyEntries(20_000))},
	{name: "empty-list", reason: internal, message: "list is empty", serve: answer(200, ociIndex, `{"schemaVersion":2,"mediaType":"`+ociIndex+`","manifests":[]}`)},
	{name: "impossible-size", reason: internal, message: "malformed", serve: manifestThen(imageManifest(goodConfig, "9223372036854775808"), text(goodConfig))},
	{name: "negative-sizes", reason: internal, message: "negative", serve: manifestThen(imageManifest(goodConfig, "-7"), text(goodConfig))},
	{name: "huge-config-field", reason: internal, message: "more than 1048576", serve: manifestThen(imageManifest(wordyConfig, "7"), text(wordyConfig))},
	{name: "nested-too-deep", reason: internal, message: "nested more than 4 levels deep", serve: nil},
	{name: "redirects-in-circles", reason: internal, message: "redirect", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+f.Host+r.URL.Path, http.StatusTemporaryRedirect)
	}},
	{name: "redirects-away", reason: metav1.StatusReasonNotFound, message: "not found", serve: func(f *faulty, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+f.bystander.host+"/elsewhere", http.StatusTemporaryRedirect)
	}},
	{name: "redirects-to-metadata", reason: internal, message: "link-local", serve: func(_ *faulty, w http.ResponseWriter, r *http.Request) {
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
