package chaos_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

const (
	damagedNamespace = "damaged"
	// noScrub keeps the first life of a registry from verifying its blobs, whose next
	// round would be a day later.
	noScrub   = "registry: {storage: {scrub: {mode: Never}}}\n"
	fastScrub = "registry: {storage: {scrub: {mode: Always, bytesPerSecond: 64Mi}}}\n"
)

// damage is a registry with images of which a layer or the manifest is damaged on disk.
type damage struct {
	// layer, manifest and whole were pushed, the last of them stays whole.
	layer, manifest, whole testimage.Raw
	elsewhere              *testenv.Registry
	// pulled are images of elsewhere, by tag: a layer of the first, and the manifest of
	// the second are damaged.
	pulled map[string]parts
}

// fillDamaged has the images.
func fillDamaged(t *testing.T, p *process, c registryClient) *damage {
	t.Helper()
	d := &damage{elsewhere: testenv.NewRegistry(t), pulled: map[string]parts{}}
	makeNamespace(t, p, damagedNamespace)
	for tag, i := range map[string]*testimage.Raw{"layer": &d.layer, "manifest": &d.manifest, "whole": &d.whole} {
		*i = testimage.NewRaw(testimage.Noise(300<<10), testimage.Noise(5<<10))
		if err := c.push(t.Context(), monolithic, damagedNamespace+"/app", tag, *i); err != nil {
			t.Fatal(err)
		}
		c.wantImage(t, damagedNamespace+"/app", tag, *i)
	}
	for _, tag := range []string{"layer", "manifest"} {
		image := testimage.Image(t, "linux/amd64")
		d.elsewhere.Push(t, "team/app:"+tag, image)
		d.pulled[tag] = partsOfImage(t, image)
		isi := importOf("imported", imageImport(tag, d.elsewhere.Ref("team/app:"+tag)))
		if _, err := p.images.ImageV1().ImageStreamImports(damagedNamespace).Create(t.Context(), isi, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		waitStored(t, c, d.elsewhere, damagedNamespace+"/imported", d.pulled[tag])
	}
	return d
}

// damaged are the blobs of which a bit is flipped.
func (d *damage) damaged() []digest.Digest {
	return []digest.Digest{
		digest.FromBytes(d.layer.Layers[0]), d.manifest.Digest,
		d.pulled["layer"].blobs[1], d.pulled["manifest"].manifests[0],
	}
}

// want checks that the scrubber finds all damage, and that it can be repaired.
func (d *damage) want(t *testing.T, p *process, c registryClient) {
	t.Helper()
	d.wantAnnounced(t, p)
	const app, imported = damagedNamespace + "/app", damagedNamespace + "/imported"
	for _, path := range []string{blobOf(app, digest.FromBytes(d.layer.Layers[0])), manifestOf(app, "manifest"), manifestOf(app, d.manifest.Digest.String())} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if _, err := c.want(t.Context(), http.StatusNotFound, method, path, nil); err != nil {
				t.Errorf("damaged content is served: %v", err)
			}
		}
	}
	c.wantImage(t, app, "whole", d.whole)
	for tag, i := range map[string]testimage.Raw{"layer": d.layer, "manifest": d.manifest} {
		if err := c.pushMissing(t.Context(), app, tag, tree{children: []testimage.Raw{i}}); err != nil {
			t.Errorf("pushing again what is damaged: %v", err)
		}
		c.wantImage(t, app, tag, i)
	}
	for _, part := range d.pulled {
		if err := c.readAll(t.Context(), imported, part); err != nil {
			t.Errorf("pulling again what is damaged: %v", err)
		}
		waitStored(t, c, d.elsewhere, imported, part)
	}
}

// wantAnnounced waits for an Event about each damaged blob, and for the metric.
func (d *damage) wantAnnounced(t *testing.T, p *process) {
	t.Helper()
	want := d.damaged()
	testenv.Eventually(t, "an event about each damaged blob", func() error {
		list, err := p.kube.EventsV1().Events(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		var about []digest.Digest
		for _, e := range list.Items {
			if e.Reason == "BlobDamaged" && e.Type == corev1.EventTypeWarning && e.Regarding.Kind == "Image" && strings.Contains(e.Note, e.Regarding.Name) {
				about = append(about, digest.Digest(e.Regarding.Name))
			}
		}
		slices.Sort(about)
		if slices.Sort(want); !slices.Equal(about, want) {
			return fmt.Errorf("events about %q, want %q", about, want)
		}
		return nil
	})
	metrics, err := p.kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if line := fmt.Sprintf("\nweir_registry_scrub_damaged_blobs_total %d\n", len(want)); err != nil || !strings.Contains(string(metrics), line) {
		t.Errorf("the metrics do not have %q: %v", line, err)
	}
}

// TestRegistryOverOtherStorage starts a registry over storage that is damaged, and that an
// earlier version wrote.
func TestRegistryOverOtherStorage(t *testing.T) {
	t.Parallel()
	etcd, dataDir := startEtcd(t), t.TempDir()
	start := func(config string) (*process, registryClient) {
		p := boot(t, dataDir, "--etcd-servers", etcd.endpoint, "--config", testenv.ConfigFile(t, config))
		return p, administrator(t, p)
	}
	p, c := start(noScrub)
	d, e := fillDamaged(t, p, c), fillEarlier(t, p, c)
	p.terminate(t, 20*time.Second)
	for _, blob := range d.damaged() {
		flipBit(t, dataDir, blob)
	}
	e.rewrite(t, dataDir, etcd)

	p, c = start(fastScrub)
	e.want(t, p, c, dataDir)
	d.want(t, p, c)
	p.terminate(t, 20*time.Second)
	if count := wantVerified(t, dataDir); count == 0 {
		t.Error("nothing is stored")
	}
}
