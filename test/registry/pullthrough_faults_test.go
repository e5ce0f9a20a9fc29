package registry_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"weir.dev/weir/internal/testenv"
)

// However a registry fails in the middle of a layer, the client is told, or gets all of
// it; never less that looks like all, never something else.
func TestPullThroughOfALayerThatFails(t *testing.T) {
	const size = 400_000
	wrong := func(w http.ResponseWriter, r *http.Request, content []byte, _ int) {
		other := slices.Clone(content)
		other[10]++
		send(w, r, other, len(other))
	}
	breaks := func(stop int) func(http.ResponseWriter, *http.Request, []byte, int) {
		return func(w http.ResponseWriter, r *http.Request, content []byte, _ int) { send(w, r, content, stop) }
	}
	once := func(then func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request, []byte, int) {
		return func(w http.ResponseWriter, r *http.Request, content []byte, n int) {
			switch n {
			case 1:
				send(w, r, content, 200_000)
			case 2:
				then(w)
			default:
				send(w, r, content, len(content))
			}
		}
	}
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { testenv.RegistryError(w, code, "X", "because") }
	}
	for name, c := range map[string]struct {
		answer   func(w http.ResponseWriter, r *http.Request, content []byte, n int)
		complete bool
	}{
		"breaks at the beginning":         {breaks(1), false},
		"breaks in the middle":            {breaks(200_000), false},
		"breaks at the last byte":         {breaks(size - 1), false},
		"lies":                            {wrong, false},
		"breaks, then goes on":            {once(func(http.ResponseWriter) { panic(http.ErrAbortHandler) }), true},
		"breaks, then refuses for a time": {once(status(401)), true},
		"breaks, then is down for a time": {once(status(500)), true},
		"breaks, then has lost it":        {once(status(404)), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, elsewhere := newThrough(t, env), testenv.NewRegistry(t)
			image, layer, content := oneLayer(t, size)
			elsewhere.Push(t, "team/app:1", image)
			p.imports(t, "app", "1", elsewhere.Ref("team/app:1"))
			elsewhere.Reset()
			elsewhere.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer.String()) {
					return false
				}
				c.answer(w, r, content, elsewhere.Count("GET "+r.URL.Path))
				return true
			})
			answer, err := p.ask(t, http.MethodGet, "app", "blobs/"+layer.String())
			switch {
			case c.complete:
				if err != nil || !bytes.Equal(answer.body, content) {
					t.Errorf("%d bytes, %v", len(answer.body), err)
				}
				return
			case err == nil && answer.status == http.StatusOK:
				t.Errorf("%d bytes look like all of it", len(answer.body))
			case err == nil:
				wantAnswer(t, answer, err, 503, "UNAVAILABLE", elsewhere.Host)
			case len(answer.body) >= len(content):
				t.Errorf("all %d bytes were given", len(answer.body))
			}
			elsewhere.Intercept(nil)
			if got := p.get(t, "app", "blobs/"+layer.String()); !bytes.Equal(got, content) {
				t.Error("afterwards it is something else")
			}
		})
	}
}

// What other registries answer is told in this one's terms.
func TestPullThroughErrors(t *testing.T) {
	for status, want := range map[int]string{404: "404 UNKNOWN", 401: "404 UNKNOWN", 403: "404 UNKNOWN", 429: "429 TOOMANYREQUESTS", 500: "503 UNAVAILABLE"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			p, elsewhere := newThrough(t, env), testenv.NewRegistry(t)
			image, layer, _ := oneLayer(t, 1000)
			d := elsewhere.Push(t, "team/app:1", image)
			p.imports(t, "app", "1", elsewhere.Ref("team/app:1"))
			elsewhere.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Retry-After", "60")
				testenv.RegistryError(w, status, "X", "because")
				return true
			})
			code, text, _ := strings.Cut(want, " ")
			var number int
			_, err := fmt.Sscan(code, &number)
			fatal(t, err)
			for what, unknown := range map[string]string{"manifests/" + d: "MANIFEST_UNKNOWN", "blobs/" + layer.String(): "BLOB_UNKNOWN"} {
				answer, err := p.ask(t, http.MethodGet, "app", what)
				wantAnswer(t, answer, err, number, strings.Replace(text, "UNKNOWN", unknown, 1), elsewhere.Host)
				if number == 429 && answer.header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			}
		})
	}
}

// A pause that another registry asked for does not touch what is stored.
func TestKeptContentIsServedWhileItsRegistryThrottles(t *testing.T) {
	p, elsewhere := newThrough(t, env), testenv.NewRegistry(t)
	image, layer, content := oneLayer(t, 1000)
	kept := elsewhere.Push(t, "team/app:1", image)
	p.imports(t, "app", "1", elsewhere.Ref("team/app:1"))
	another, _, _ := oneLayer(t, 1001)
	fresh := elsewhere.Push(t, "team/app:2", another)
	p.imports(t, "app", "2", elsewhere.Ref("team/app:2"))
	p.get(t, "app", "manifests/"+kept)
	p.get(t, "app", "blobs/"+layer.String())

	elsewhere.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		testenv.RegistryError(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "because")
		return true
	})
	answer, err := p.ask(t, http.MethodGet, "app", "manifests/"+fresh)
	wantAnswer(t, answer, err, 429, "TOOMANYREQUESTS", elsewhere.Host)
	if pause := answer.header.Get("Retry-After"); pause != "300" && pause != "299" {
		t.Errorf("Retry-After %q, want the bound of five minutes", pause)
	}
	if got := p.get(t, "app", "blobs/"+layer.String()); !bytes.Equal(got, content) {
		t.Error("the layer is another one")
	}
	p.get(t, "app", "manifests/1")
}
