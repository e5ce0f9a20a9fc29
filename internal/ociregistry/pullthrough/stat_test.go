package pullthrough

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/component-base/metrics/legacyregistry"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/registryrules"
	"weir.dev/weir/internal/testenv/upstreamregistry"
)

func digestOf(algorithm string, content []byte) digest.Digest {
	return digest.Algorithm(algorithm).FromBytes(content)
}

func digestText(s string) digest.Digest { return digest.Digest(s) }

// A size is asked for without fetching, once for a while, and never when it is known here.
func TestSizes(t *testing.T) {
	content, d := random(layerSize)
	r, other := newRig(t), elsewhere(t, content)
	o := from(t, layerSize, other)
	var work sync.WaitGroup
	for range 20 {
		work.Go(func() {
			if size, err := r.Stat(t.Context(), in(app, d, o)); err != nil || size != layerSize {
				t.Errorf("%d, %v", size, err)
			}
		})
	}
	work.Wait()
	if n := other.Count("", "/blobs/"); n != 1 {
		t.Errorf("%d requests", n)
	}
	if gets(other, d) != 0 {
		t.Error("the content was fetched")
	}
	o.Size = -1
	if size, err := r.Stat(t.Context(), in(app, d, o)); err != nil || size != layerSize {
		t.Errorf("%d, %v", size, err)
	}
	o.Size = 7 // what the stream says is believed more
	_, err := r.Stat(t.Context(), in(app, d, o))
	wantError(t, err, ociregistry.CodeUnavailable, other.Host())
	_, err = r.Blob(t.Context(), in(app, d, o))
	wantError(t, err, ociregistry.CodeUnavailable, other.Host())

	o.Size = layerSize
	answer, release := held(content, 100)
	blobScript(other, d, answer)
	if _, err := r.Blob(t.Context(), in("x", d, o)); err != nil {
		t.Fatal(err)
	}
	other.Forget()
	if size, err := r.Stat(t.Context(), in("x", d, o)); err != nil || size != layerSize {
		t.Errorf("while it arrives: %d, %v", size, err)
	}
	release()
	r.wantStored(d, content)
	if n := other.Count("", "/blobs/"); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestManifests(t *testing.T) {
	content, _ := random(1000)
	r := newRig(t)
	other := upstreamregistry.Start(t)
	d := putLayers(t, other, "team/app:1", content)
	o := from(t, -1, other)
	var work sync.WaitGroup
	gate := make(chan struct{})
	other.On("/manifests/", func(http.ResponseWriter, *http.Request) bool { <-gate; return false })
	for range 30 {
		work.Go(func() {
			got, mediaType, err := r.Manifest(t.Context(), in(app, d, o))
			if err != nil || digest.FromBytes(got) != d || mediaType != "application/vnd.docker.distribution.manifest.v2+json" {
				t.Errorf("%d bytes of %s, %v", len(got), mediaType, err)
			}
		})
	}
	r.eventually("it is asked for", func() bool { return other.Count("", "/manifests/") == 1 })
	close(gate)
	work.Wait()
	if n := other.Count("", "/manifests/"); n > 2 { // a latecomer may have missed the flight
		t.Errorf("%d requests", n)
	}
	if got, err := r.store.Read(t.Context(), d, 1<<20); err != nil || digest.FromBytes(got) != d {
		t.Errorf("stored: %v", err)
	}
}

// Content that a pull secret opened is recorded for its namespace, other content for all;
// without an identity of the namespace the former is not kept.
func TestProvenance(t *testing.T) {
	content, d := random(layerSize)
	other := upstreamregistry.Start(t)
	manifest := putLayers(t, other, "team/app:1", content)
	locked(other, "right")
	for name, c := range map[string]struct {
		node  bool
		scope string
		kept  bool
		as    string
	}{
		"a pull secret":                   {false, "uid", true, "uid"},
		"a pull secret without a scope":   {false, "", false, ""},
		"a credential of the node":        {true, "uid", true, ""},
		"one of the node without a scope": {true, "", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *setup) {
				s.Credentials = func(context.Context, string) (pullsecrets.Credentials, error) {
					return login{Username: "u", Password: "right", Origin: "test", Node: c.node}, nil
				}
			})
			w := in(app, d, from(t, layerSize, other))
			w.Scope = c.scope
			b, err := r.Blob(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			reader, err := b.Open(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			reader.Close()
			w.Digest, w.Manifest = manifest, true
			if got, _, err := r.Manifest(t.Context(), w); err != nil || digest.FromBytes(got) != manifest {
				t.Error(err)
			}
			if !c.kept {
				r.wantNotStored(d)
				r.wantNotStored(manifest)
				return
			}
			r.wantStored(d, content)
			for _, d := range []digest.Digest{d, manifest} {
				for _, scope := range []string{"", "uid"} {
					came, err := r.store.CameFrom(t.Context(), d, w.Sources[0].Provenance(scope))
					if err != nil || came != (scope == c.as) {
						t.Errorf("recorded for scope %q: %v, %v", scope, came, err)
					}
				}
			}
		})
	}
}

func TestManifestsThatAreNotKept(t *testing.T) {
	content, _ := random(1000)
	other := upstreamregistry.Start(t)
	d := putLayers(t, other, "team/app:1", content)
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *setup) { s.Mirror = way.mirror })
			o := from(t, -1, other)
			o.Sources[0].Mirror = way.source
			if got, _, err := r.Manifest(t.Context(), in(app, d, o)); err != nil || digest.FromBytes(got) != d {
				t.Error(err)
			}
			r.wantNotStored(d)
		})
	}
	r := newRig(t, func(s *setup) { s.upstream.Limits.ManifestSize = 10 })
	_, _, err := r.Manifest(t.Context(), in(app, d, from(t, -1, other)))
	wantError(t, err, ociregistry.CodeUnavailable, other.Host())

	second := upstreamregistry.Start(t)
	putLayers(t, second, "team/app:1", content)
	other.On("/manifests/", func(w http.ResponseWriter, _ *http.Request) bool {
		io.WriteString(w, `{"schemaVersion":2}`)
		return true
	})
	r = newRig(t)
	_, _, err = r.Manifest(t.Context(), in(app, d, from(t, -1, other)))
	wantError(t, err, ociregistry.CodeUnavailable, other.Host())
	r.wantNotStored(d)
	if got, _, err := r.Manifest(t.Context(), in(app, d, from(t, -1, other, second))); err != nil || digest.FromBytes(got) != d {
		t.Errorf("from the next source: %v", err)
	}
}

// Mirrors of the importer's rules are asked first, those for tags too.
func TestMirrorsOfTheRules(t *testing.T) {
	content, d := random(layerSize)
	for _, kind := range []string{"digest-only", "tag-only", "all"} {
		t.Run(kind, func(t *testing.T) {
			mirror, origin := elsewhere(t, content), upstreamregistry.Start(t)
			r := newRig(t)
			rules, _ := registryrules.New(registriesConf(t, fmt.Sprintf(
				"[[registry]]\nlocation = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\npull-from-mirror = %q\n",
				origin.Host(), mirror.Host(), kind)), registryrules.ClusterObjects{})
			r.opts.Upstream.SetRules(rules)
			o := from(t, layerSize, origin)
			r.wantPull(d, o, content)
			r.wantStored(d, content)
			if gets(mirror, d) != 1 {
				t.Errorf("the mirror was asked %d times", gets(mirror, d))
			}
		})
	}
	t.Run("a mirror that breaks is left", func(t *testing.T) {
		mirror, origin := elsewhere(t, content), elsewhere(t, content)
		r := newRig(t)
		rules, _ := registryrules.New(registriesConf(t, fmt.Sprintf(
			"[[registry]]\nlocation = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n", origin.Host(), mirror.Host())), registryrules.ClusterObjects{})
		r.opts.Upstream.SetRules(rules)
		blobScript(mirror, d, breaking(content, 100_000))
		r.wantPull(d, from(t, layerSize, origin), content)
		if gets(origin, d) == 0 {
			t.Error("the source was not asked")
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := New(Options{Remember: -1, MaxTempBytes: -1}); err == nil {
		t.Error("accepted")
	} else {
		for _, word := range []string{"required", "remember", "maxTempBytes"} {
			if !bytes.Contains([]byte(err.Error()), []byte(word)) {
				t.Errorf("%v does not tell of %s", err, word)
			}
		}
	}
}

// metric is the value of a counter or gauge, with a label value or "".
func metric(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			match := label == ""
			for _, l := range m.GetLabel() {
				match = match || l.GetValue() == label
			}
			if match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestMetrics(t *testing.T) {
	content, d := random(layerSize)
	r, other := newRig(t), elsewhere(t, content)
	read := func() map[string]float64 {
		values := map[string]float64{}
		for name, label := range map[string]string{
			"fetches_total": "Success", "received_bytes_total": "", "mirrored_bytes_total": "", "resumes_total": "",
			"fetches_in_flight": "", "background_fetches": "",
		} {
			values[name] = metric(t, "weir_registry_pullthrough_"+name, label)
		}
		return values
	}
	before := read()
	blobScript(other, d, func(w http.ResponseWriter, req *http.Request, n int) bool {
		if n == 1 {
			serveRange(w, req, content, 100_000)
		}
		return false
	})
	r.wantPull(d, from(t, layerSize, other), content)
	r.wantStored(d, content)
	after := read()
	for name, want := range map[string]float64{
		"fetches_total": 1, "received_bytes_total": layerSize, "mirrored_bytes_total": layerSize, "resumes_total": 1,
		"fetches_in_flight": 0, "background_fetches": 0,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s grew by %v, want %v", name, got, want)
		}
	}
}
