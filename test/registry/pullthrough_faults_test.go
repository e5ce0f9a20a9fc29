package registry_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"weir.dev/weir/internal/testenv"
)

// When a registry fails in the middle of a layer, the client sees an error, or receives all of it:
// never a part that looks complete. internal/ociregistry/pullthrough tests every way to fail.
func TestPullThroughOfALayerThatFails(t *testing.T) {
	const size = 400_000
	for name, c := range map[string]struct {
		answer   func(w http.ResponseWriter, r *http.Request, content []byte, n int)
		complete bool
	}{
		"breaks in the middle": {func(w http.ResponseWriter, r *http.Request, content []byte, _ int) { send(w, r, content, 200_000) }, false},
		"lies": {func(w http.ResponseWriter, r *http.Request, content []byte, _ int) {
			other := slices.Clone(content)
			other[10]++
			send(w, r, other, len(other))
		}, false},
		"breaks, then refuses for a time": {func(w http.ResponseWriter, r *http.Request, content []byte, n int) {
			switch n {
			case 1:
				send(w, r, content, 200_000)
			case 2:
				testenv.RegistryError(w, http.StatusUnauthorized, "X", "because")
			default:
				send(w, r, content, len(content))
			}
		}, true},
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
