package pullthrough

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/testenv/upstreamregistry"
	"weir.dev/weir/internal/upstream"
)

// login is a credential that matches everywhere.
type login pullsecrets.Credential

func (l login) Lookup(string, string) []pullsecrets.Credential {
	return []pullsecrets.Credential{pullsecrets.Credential(l)}
}

// locked has a registry ask for a password.
func locked(r *upstreamregistry.Registry, password string) {
	r.On("/v2/", func(w http.ResponseWriter, req *http.Request) bool {
		if _, p, _ := req.BasicAuth(); p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

// secrets gives each namespace its own password.
func secrets(passwords map[string]string) func(*setup) {
	return func(s *setup) {
		s.Credentials = func(_ context.Context, namespace string) (pullsecrets.Credentials, error) {
			password, ok := passwords[namespace]
			if !ok {
				return nil, errors.New("no such namespace")
			}
			return login{Username: "u", Password: password, Origin: namespace}, nil
		}
	}
}

// One namespace's refused pull secret is its own failure, and no other's; that others are
// shown the content at the same time opens nothing.
func TestNamespacesDoNotFailForEachOther(t *testing.T) {
	content, d := random(layerSize)
	r := newRig(t, secrets(map[string]string{"good": "right", "bad": "wr0ng-passw0rd"}))
	other := upstreamregistry.Start(t)
	manifest := putLayers(t, other, "team/app:1", content)
	locked(other, "right")
	o := from(t, layerSize, other)

	arrived, release := make(chan struct{}, 100), make(chan struct{})
	other.On("/team/app/", func(_ http.ResponseWriter, req *http.Request) bool {
		if _, p, _ := req.BasicAuth(); p != "right" {
			arrived <- struct{}{}
			<-release
		}
		return false
	})
	results := map[string]error{}
	var mu sync.Mutex
	var work sync.WaitGroup
	pull := func(namespace string) {
		work.Go(func() {
			got, err := r.pullFrom(namespace, d, o, 0)
			if err == nil && !bytes.Equal(got, content) {
				err = errors.New("other content")
			}
			mu.Lock()
			defer mu.Unlock()
			results[namespace] = err
		})
	}
	pull("bad")
	<-arrived
	pull("good") // fetches for itself
	r.eventually("both wait", func() bool { return r.holdersOf(d) >= 1 })
	close(release)
	work.Wait()
	if results["good"] != nil {
		t.Errorf("%v", results["good"])
	}
	wantError(t, results["bad"], ociregistry.CodeBlobUnknown, "namespace bad")
	r.wantStored(d, content)

	_, _, err := r.Manifest(t.Context(), in("bad", manifest, o))
	e := wantError(t, err, ociregistry.CodeManifestUnknown, other.Host())
	if strings.Contains(e.Error(), "wr0ng") || strings.Contains(e.Message, "right") {
		t.Errorf("a credential is told: %v", e)
	}
	if _, _, err := r.Manifest(t.Context(), in("good", manifest, o)); err != nil {
		t.Error(err)
	}
	// Stored by now, it is read from there by the one who was shown it.
	gets := other.Count("", "/team/app/")
	if _, err := r.pullFrom("good", d, o, 0); err != nil || other.Count("", "/team/app/") != gets {
		t.Errorf("asked again: %v", err)
	}
	_, err = r.pullFrom("bad", d, o, 0)
	wantError(t, err, ociregistry.CodeBlobUnknown, "namespace bad")
	r2, d2 := random(2000)
	putLayers(t, other, "team/app:2", r2)
	_, err = r.pullFrom("bad", d2, from(t, 2000, other), 0)
	wantError(t, err, ociregistry.CodeBlobUnknown, "namespace bad")
	// No pull secrets at all.
	_, err = r.pullFrom("none", d2, from(t, 2000, other), 0)
	wantError(t, err, ociregistry.CodeBlobUnknown, "namespace none")
	if _, err = r.pullFrom("good", d2, from(t, 2000, other), 0); err != nil {
		t.Error(err)
	}
}

// A pull secret that its registry refuses, in whichever way, does not hide what every
// namespace may read, and what was read without it is recorded for all.
func TestRefusedSecretHidesNothing(t *testing.T) {
	content, d := random(layerSize)
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound} {
		r := newRig(t, secrets(map[string]string{app: "old"}))
		other := upstreamregistry.Start(t)
		manifest := putLayers(t, other, "team/app:1", content)
		other.On("/v2/", func(w http.ResponseWriter, req *http.Request) bool {
			switch _, password, _ := req.BasicAuth(); {
			case req.URL.Path == "/v2/":
				w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			case password == "old":
				w.WriteHeader(status)
				return true
			}
			return false
		})
		w := from(t, layerSize, other)
		if size, err := r.Stat(t.Context(), in(app, d, w)); err != nil || size != layerSize {
			t.Errorf("%d: size %d, %v", status, size, err)
		}
		r.wantPull(d, w, content)
		r.wantStored(d, content)
		if got, _, err := r.Manifest(t.Context(), in(app, manifest, w)); err != nil || digest.FromBytes(got) != manifest {
			t.Errorf("%d: %v", status, err)
		}
		for _, d := range []digest.Digest{d, manifest} {
			if came, err := r.store.CameFrom(t.Context(), d, w.Sources[0].Provenance("")); err != nil || !came {
				t.Errorf("%d: %s is not recorded for all: %v", status, d, err)
			}
		}
	}
}

// What another namespace was told of its registries is not told to this one.
func TestFailuresOfOthersAreNotTold(t *testing.T) {
	content, d := random(layerSize)
	r := newRig(t)
	theirs, mine := elsewhere(t, content), elsewhere(t, content)
	release, arrived := make(chan struct{}), make(chan struct{}, 9)
	theirs.On("/blobs/", func(w http.ResponseWriter, _ *http.Request) bool {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(500)
		return true
	})
	mine.On("/blobs/", func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true })
	failures := make(chan error, 2)
	pull := func(namespace string, at *upstreamregistry.Registry) {
		_, err := r.pullFrom(namespace, d, from(t, layerSize, at), 0)
		failures <- err
	}
	go pull("theirs", theirs)
	<-arrived
	go pull("mine", mine) // does not wait for theirs
	err := <-failures
	wantError(t, err, ociregistry.CodeBlobUnknown, mine.Host())
	if strings.Contains(err.Error(), theirs.Host()) {
		t.Errorf("%v tells of the other namespace's registry", err)
	}
	close(release)
	err = <-failures
	wantError(t, err, ociregistry.CodeUnavailable, theirs.Host())
	if strings.Contains(err.Error(), mine.Host()) {
		t.Errorf("%v tells of the other namespace's registry", err)
	}
}

// Pull secrets that cannot be read are none.
func TestUnreadableSecrets(t *testing.T) {
	content, d := random(layerSize)
	var asked atomic.Int32
	r := newRig(t, func(s *setup) {
		s.Credentials = func(_ context.Context, namespace string) (pullsecrets.Credentials, error) {
			if asked.Add(1); namespace != "shop" {
				t.Errorf("asked for %s", namespace)
			}
			return nil, errors.New("the API is down")
		}
	})
	other := elsewhere(t, content)
	r.wantPull(d, from(t, layerSize, other), content)
	r.wantStored(d, content)
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
	if r.warned.Len() != 1 {
		t.Error("the log hears of it every time")
	}
	r.opts.Credentials = func(context.Context, string) (pullsecrets.Credentials, error) { return pullsecrets.None, nil }
	r.credentials(t.Context(), "shop")
	if r.warned.Len() != 0 {
		t.Error("the log does not hear of it the next time")
	}
}

// That a registry does not have something is believed for a moment.
func TestMissesAreRemembered(t *testing.T) {
	content, d := random(1000)
	r, other := newRig(t, func(s *setup) { s.Remember = 200 * time.Millisecond }), upstreamregistry.Start(t)
	o := from(t, len(content), other)
	asks := func() int { return other.Count("", "/team/app/") }
	for range 20 {
		_, err := r.Blob(t.Context(), in(app, d, o))
		wantError(t, err, ociregistry.CodeBlobUnknown, other.Host())
		_, err = r.Stat(t.Context(), in(app, d, o))
		wantError(t, err, ociregistry.CodeBlobUnknown, other.Host())
	}
	if n := asks(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	// For others nothing is said: their pull secrets may show them more.
	_, err := r.Blob(t.Context(), in("other", d, o))
	wantError(t, err, ociregistry.CodeBlobUnknown, other.Host())
	if n := asks(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	putLayers(t, other, "team/app:1", content)
	r.eventually("it is asked again", func() bool {
		got, err := r.pull(d, o)
		return err == nil && bytes.Equal(got, content)
	})
	if n := asks(); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

// Registries that pull through each other, or through themselves under another name, end
// that at once.
func TestCirclesEnd(t *testing.T) {
	content, d := random(layerSize)
	r, other := newRig(t), upstreamregistry.Start(t)
	manifest := putLayers(t, other, "team/app:1", content)
	o := from(t, layerSize, other)
	var inner []error
	var mu sync.Mutex
	// The other registry is this one: it serves by pulling through.
	other.On("/team/app/", func(w http.ResponseWriter, req *http.Request) bool {
		ctx := upstream.WithRequestURLs(req.Context(), req.Header.Values(upstream.RequestURLHeader))
		var err error
		switch {
		case strings.Contains(req.URL.Path, "/manifests/"):
			_, _, err = r.Manifest(ctx, in(app, manifest, o))
		case req.Method == http.MethodHead:
			_, err = r.Stat(ctx, in(app, d, o))
		default:
			_, err = r.pullWith(ctx, app, d, o, 0)
		}
		mu.Lock()
		inner = append(inner, err)
		mu.Unlock()
		var e *ociregistry.Error
		if errors.As(err, &e) {
			w.WriteHeader(e.HTTPStatus())
		}
		return true
	})
	began := time.Now()
	_, err := r.Blob(t.Context(), in(app, d, o))
	wantError(t, err, ociregistry.CodeBlobUnknown, other.Host())
	_, err = r.Stat(t.Context(), in("other", d, o))
	wantError(t, err, ociregistry.CodeBlobUnknown, other.Host())
	_, _, err = r.Manifest(t.Context(), in(app, manifest, o))
	wantError(t, err, ociregistry.CodeManifestUnknown, other.Host())
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("that took %s", took)
	}
	for _, err := range inner {
		if upstream.CodeOf(err) != upstream.CodeLoop {
			t.Errorf("inside: %v", err)
		}
	}
	if len(inner) != 4 { // a HEAD that fails is followed by a GET
		t.Errorf("%d requests went in", len(inner))
	}
}

// Another registry's request joins a fetch that is on its way.
func TestOtherRegistriesJoin(t *testing.T) {
	content, d := random(layerSize)
	r, other := newRig(t), elsewhere(t, content)
	answer, release := held(content, 100_000)
	blobScript(other, d, answer)
	o := from(t, layerSize, other)
	if _, err := r.Blob(t.Context(), in(app, d, o)); err != nil {
		t.Fatal(err)
	}
	ctx := upstream.WithRequestURLs(t.Context(), []string{"https://edge.test/v2/a/b/blobs/" + d.String()})
	if _, err := r.Blob(ctx, in(app, d, o)); err != nil {
		t.Fatal(err)
	}
	if n := r.holdersOf(d); n != 2 {
		t.Errorf("%d hold the fetch", n)
	}
	release()
	r.wantStored(d, content)
}
