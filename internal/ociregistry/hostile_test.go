package ociregistry_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
)

// ceiling is the memory that requests may take of a registry whose bounds are small: what
// docs/operate/security.md says, with as much again for what is not collected yet.
const (
	hostileContent = 64 << 20
	hostileCache   = 8 << 20
	ceiling        = 2 * (hostileContent + hostileCache + 8<<20)
)

// TestHostileLoadHasACeiling holds that requests which are made to take memory take a bounded amount
// of it together. It looks at what is alive on the heap, while they run.
func TestHostileLoadHasACeiling(t *testing.T) {
	r := startWith(t, newDisk(t), func(o *ociregistry.Options) {
		o.MaxContentBytes, o.ManifestCacheBytes, o.MaxUploadsPerUser = hostileContent, hostileCache, 20
	})
	r.push("shop/web", "1", r.image("shop/web", "1"))
	subject := digest.FromString("subject")
	r.refersTo("shop/web", subject, 40, 4<<20)
	for _, user := range []string{"a", "b", "c"} {
		for _, action := range []ociregistry.Action{ociregistry.ActionPull, ociregistry.ActionPush} {
			r.access.allow(user, action, "shop/web")
		}
	}
	annotated := r.image("shop/web", "big", func(m *ocispec.Manifest) { m.Annotations = map[string]string{"x": strings.Repeat("x", 3<<20)} })
	missing := r.image("shop/web", "missing", func(m *ocispec.Manifest) {
		for i := range 20_000 {
			m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString(fmt.Sprint(i)), Size: 1})
		}
	})
	crowded := []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","layers":[` + strings.Repeat("{},", 1<<20) + `{}]}`)
	attacks := []func(user string) *http.Request{
		func(user string) *http.Request {
			return r.request("GET", "/v2/shop/web/referrers/"+subject.String(), nil, as(user))
		},
		func(user string) *http.Request {
			return r.request("PUT", "/v2/shop/web/manifests/big", annotated, as(user), header("Content-Type", ocispec.MediaTypeImageManifest))
		},
		func(user string) *http.Request { return r.request("GET", "/v2/shop/web/manifests/big", nil, as(user)) },
		func(user string) *http.Request {
			return r.request("PUT", "/v2/shop/web/manifests/missing", missing, as(user), header("Content-Type", ocispec.MediaTypeImageManifest))
		},
		func(user string) *http.Request {
			return r.request("PUT", "/v2/shop/web/manifests/crowded", crowded, as(user), header("Content-Type", ocispec.MediaTypeImageManifest))
		},
		func(user string) *http.Request {
			return r.request("POST", "/v2/shop/web/blobs/uploads/", nil, as(user))
		},
	}
	before := liveHeap()
	var load sync.WaitGroup
	for i, attack := range attacks {
		for _, user := range []string{"a", "b", "c"} {
			for range 3 {
				load.Go(func() {
					for range 4 {
						r.attack(t, i, attack(user))
						r.directory.forgetPushes()
					}
				})
			}
		}
	}
	ended := make(chan struct{})
	go func() { load.Wait(); close(ended) }()
	peak := uint64(0)
	// Each look at the heap stops the world: a pause between two leaves time for the requests.
	looks := time.NewTicker(20 * time.Millisecond)
	defer looks.Stop()
	for running := true; running; {
		peak = max(peak, liveHeap())
		select {
		case <-ended:
			running = false
		case <-looks.C:
		}
	}
	t.Logf("%d MiB before, %d MiB at the peak", before>>20, peak>>20)
	if peak > before+ceiling {
		t.Errorf("requests took %d MiB, the ceiling is %d MiB", (peak-before)>>20, ceiling>>20)
	}
	if held := strings.Contains(string(r.want(200, "", r.do("GET", "/extensions/v2/metrics", nil)).body), "weir_registry_content_held_bytes 0\n"); !held {
		t.Error("memory is counted after all requests have ended")
	}
	if n := r.store.OpenUploads(); n > 3*20 {
		t.Errorf("there are %d unfinished uploads of three users", n)
	}
}

// attack sends a request and reads the answer. It may be refused, and must not fail.
func (r *registry) attack(t *testing.T, which int, request *http.Request) {
	response, err := r.client.Do(request)
	if err != nil {
		return // a refused body may break the connection
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	if response.StatusCode >= http.StatusInternalServerError {
		t.Errorf("attack %d is answered %d", which, response.StatusCode)
	}
}

// forgetPushes lets go of the content of all pushes.
func (d *directory) forgetPushes() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pushes = nil
}

// liveHeap is what is in use on the heap without garbage, in bytes.
func liveHeap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
