package streams

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

// site is a content over a world.
type site struct {
	*content
	world *world
	clock *clock
	all   *contents
	seq   uint64
}

func newSite(w *world) *site {
	c := newClock()
	all := newContents(allowAll, newImages(w.get, c.Now), c.Now)
	s := &site{world: w, clock: c, all: all}
	s.follow()
	return s
}

// follow moves on to a version whose tags are t0, t1, … with these images, newest first.
func (s *site) follow(tags ...[]string) {
	s.seq++
	stream := imageStream()
	for i, images := range tags {
		stream.Status.Tags = append(stream.Status.Tags, tagged(fmt.Sprintf("t%d", i), items(100-i*10, images...)))
	}
	s.content = s.all.of(app, versionOf(s.seq, stream))
}

// reads fails the test unless the content leads to just these digests, by name.
func (s *site) reads(t *testing.T, as kind, names string, want bool) {
	t.Helper()
	for _, name := range strings.Fields(names) {
		origin, err := s.find(t.Context(), id(name), as)
		if err != nil {
			t.Fatalf("looking for %s: %v", name, err)
		}
		if got := origin != nil; got != want {
			t.Errorf("leads to %s (as manifest: %v): %v, want %v", name, as == asManifest, got, want)
		}
	}
}

func TestContentIsAllOfTheHistory(t *testing.T) {
	w := newWorld(
		plain("head", "base", "top"), plain("old", "base", "older"),
		list("index", "arm", "inner", "never-pushed"), plain("arm", "arm-layer"),
		list("inner", "deep"), plain("deep", "deep-layer"),
		plain("stranger", "strange-layer"),
	)
	s := newSite(w)
	s.follow([]string{"head", "old", "deleted"}, []string{"index"})
	s.reads(t, asManifest, "head old index arm inner deep", true)
	s.reads(t, asManifest, "stranger deleted never-pushed base head-config nothing", false)
	s.reads(t, asBlob, "head old index arm inner deep base top older arm-layer deep-layer head-config old-config arm-config deep-config", true)
	s.reads(t, asBlob, "stranger strange-layer stranger-config deleted never-pushed nothing index-config", false)
}

func TestContentTellsWhatIsKnownOfADigest(t *testing.T) {
	s := newSite(newWorld(plain("head", "l1", "l2"), list("index", "arm"), plain("arm"), plain("both", "head")))
	s.follow([]string{"head"}, []string{"index"}, []string{"both"})
	for _, test := range []struct {
		name      string
		as        kind
		manifest  string
		mediaType string
		size      int64
	}{
		{"head", asManifest, "head", dockerimage.MediaTypeOCIManifest, -1},
		{"arm", asManifest, "arm", dockerimage.MediaTypeOCIManifest, 77},
		{"index", asBlob, "index", dockerimage.MediaTypeOCIIndex, -1},
		{"l2", asBlob, "head", "layer/type", 2},
		{"head-config", asBlob, "head", dockerimage.MediaTypeOCIImageConfig, -1},
	} {
		origin, err := s.find(t.Context(), id(test.name), test.as)
		fatal(t, err)
		if origin.Manifest != id(test.manifest) || origin.MediaType != test.mediaType || origin.Size != test.size || origin.Sources != nil {
			t.Errorf("%s: %+v", test.name, *origin)
		}
	}
}

func TestContentAsksForEachImageOnce(t *testing.T) {
	w := newWorld(list("index", "arm", "amd"), plain("arm", "a"), plain("amd", "b"))
	for _, name := range numbered("old", 40) {
		w.add(plain(name, name+"-layer"))
	}
	s := newSite(w)
	s.follow(append([]string{"index"}, numbered("old", 40)...))

	s.reads(t, asManifest, "index", true)
	if n := w.requests(); n != 1 {
		t.Errorf("the manifest of a head took %d requests, want 1", n)
	}
	s.reads(t, asManifest, "arm", true)
	s.reads(t, asBlob, "a arm-config", true)
	if n := w.requests(); n != 1 {
		t.Errorf("a part of it and its blobs took %d requests, want 1", n)
	}
	s.reads(t, asBlob, "nothing", false)
	if n := w.requests(); n != 41 {
		t.Errorf("the rest took %d requests, want 41", n)
	}
	s.reads(t, asBlob, "old39-layer b", true)
	if n := w.requests(); n != 0 {
		t.Errorf("what was explored took %d requests", n)
	}
}

func TestContentFollowsTheStream(t *testing.T) {
	w := newWorld(plain("one", "base", "l1"), plain("two", "base", "l2"), plain("three", "base", "l3"), list("index", "two"))
	s := newSite(w)
	s.follow([]string{"one"})
	s.reads(t, asBlob, "base l1", true)
	s.reads(t, asBlob, "l2", false)
	w.requests()

	s.follow([]string{"two", "one"}, []string{"three"})
	s.reads(t, asBlob, "base l1 l2 l3 one-config", true)
	if n := w.requests(); n != 2 {
		t.Errorf("two more images took %d requests", n)
	}

	s.follow([]string{"two"}, []string{"three"})
	s.reads(t, asBlob, "base l2 l3", true)
	s.reads(t, asBlob, "l1 one-config one", false)
	s.reads(t, asManifest, "one", false)

	s.follow([]string{"index"})
	s.reads(t, asManifest, "two index", true)
	s.reads(t, asBlob, "base l2", true)
	s.reads(t, asBlob, "l3", false)
	if n := w.requests(); n != 1 {
		t.Errorf("what was known already took %d requests, want 1 for the index", n)
	}
	origin, err := s.find(t.Context(), id("base"), asBlob)
	fatal(t, err)
	if origin.Manifest != id("two") {
		t.Errorf("base is of %s, which the stream does not lead to", origin.Manifest)
	}

	s.follow()
	s.reads(t, asBlob, "base l2 two index", false)
	if s.weight != 0 || s.all.weight.Load() != 0 {
		t.Errorf("an empty stream weighs %d, all weigh %d", s.weight, s.all.weight.Load())
	}
}

func TestContentDoesNotGoBack(t *testing.T) {
	s := newSite(newWorld(plain("one", "l1"), plain("two", "l2")))
	late := versionOf(s.seq+1, imageStream(tagged("t", items(1, "one"))))
	s.seq++
	s.follow([]string{"two"})
	if got := s.all.of(app, late); got != s.content {
		t.Fatal("another content")
	}
	s.reads(t, asManifest, "one", false)
	s.reads(t, asManifest, "two", true)
}

func TestListsThatContainEachOther(t *testing.T) {
	s := newSite(newWorld(list("a", "b", "a"), list("b", "a", "leaf"), plain("leaf", "layer")))
	s.follow([]string{"a=quay.io/x/y"})
	s.reads(t, asBlob, "layer", true)
	s.reads(t, asManifest, "b leaf", true)
	s.reads(t, asBlob, "nothing", false)
	origin, err := s.find(t.Context(), id("layer"), asBlob)
	fatal(t, err)
	if diff := cmp.Diff([]string{"quay.io/x/y"}, shown(origin.Sources)); diff != "" {
		t.Error(diff)
	}
	s.follow()
	s.reads(t, asManifest, "a b leaf", false)
}

func TestPartsAreFetchedFromWhereTheirListIs(t *testing.T) {
	s := newSite(newWorld(
		list("outer", "inner"), list("inner", "leaf"), list("second", "leaf"), plain("leaf", "layer"),
		plain("pushed", "layer", "own"), plain("imported", "own"),
	))
	s.follow([]string{"outer=quay.io/one/app"})
	sources := func(name string, as kind, want ...string) {
		t.Helper()
		origin, err := s.find(t.Context(), id(name), as)
		fatal(t, err)
		if diff := cmp.Diff(want, shown(origin.Sources)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	sources("outer", asManifest, "quay.io/one/app")
	sources("leaf", asManifest, "quay.io/one/app")
	sources("layer", asBlob, "quay.io/one/app")

	// Other lists of it are other places, however late they are found.
	s.follow([]string{"outer=quay.io/one/app"}, []string{"second=quay.io/two/app"})
	sources("leaf", asManifest, "quay.io/one/app")
	sources("second", asManifest, "quay.io/two/app")
	sources("leaf", asManifest, "quay.io/one/app", "quay.io/two/app")
	sources("layer", asBlob, "quay.io/one/app", "quay.io/two/app")

	// What an image pushed here shares with an imported one comes from there.
	s.follow([]string{"pushed"}, []string{"imported=quay.io/three/app"})
	s.reads(t, asBlob, "nothing", false)
	sources("own", asBlob, "quay.io/three/app")
	sources("layer", asBlob)
	sources("pushed", asManifest)
}

func TestImagesThatComeLater(t *testing.T) {
	w := newWorld(list("index", "child"))
	s := newSite(w)
	s.follow([]string{"index"})
	s.reads(t, asManifest, "child", false)
	s.reads(t, asBlob, "layer", false)
	w.requests()
	s.reads(t, asManifest, "child", false)
	s.reads(t, asBlob, "layer", false)
	if n := w.requests(); n != 0 {
		t.Errorf("asked %d times for an image that was not there a moment ago", n)
	}
	// Another replica makes it.
	w.add(plain("child", "layer"))
	s.clock.pass(absentFor)
	s.reads(t, asBlob, "layer", true)
	s.reads(t, asManifest, "child", true)
}

func TestImagesThatAreMadeHere(t *testing.T) {
	for name, learn := range map[string]func(*site, *facts){
		"in another stream": func(s *site, f *facts) { s.images.learn(f) },
		"in this one":       func(s *site, f *facts) { s.images.learn(f); s.learn(f) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(list("index", "child"))
			s := newSite(w)
			s.follow([]string{"index"})
			s.reads(t, asManifest, "child", false)
			s.reads(t, asBlob, "layer", false)
			w.requests()
			learn(s, factsOf(plain("child", "layer")))
			s.reads(t, asManifest, "child", true)
			s.reads(t, asBlob, "layer", true)
			if n := w.requests(); n != 0 {
				t.Errorf("asked %d times for an image that was made here", n)
			}
		})
	}
	s := newSite(newWorld())
	s.follow([]string{"other"})
	s.learn(factsOf(plain("stranger", "layer")))
	s.reads(t, asBlob, "layer", false)
}

func TestContentWhileTheAPIFails(t *testing.T) {
	w := newWorld(plain("known", "l1"), plain("unknown", "l2"))
	s := newSite(w)
	s.follow([]string{"known"}, []string{"unknown"})
	s.reads(t, asManifest, "known", true)
	broken := errors.New("broken")
	w.fail(broken)
	s.reads(t, asBlob, "l1", true)
	for range 2 {
		for _, as := range []kind{asBlob, asManifest} {
			if origin, err := s.find(t.Context(), id("unknown"), as); !errors.Is(err, broken) || origin != nil {
				t.Fatalf("got %v, %v", origin, err)
			}
			if origin, err := s.find(t.Context(), id("nothing"), as); !errors.Is(err, broken) || origin != nil {
				t.Fatalf("got %v, %v", origin, err)
			}
		}
	}
	w.fail(nil)
	s.reads(t, asBlob, "l2", true)
	s.reads(t, asBlob, "nothing", false)
}

func TestExploringCanBeGivenUp(t *testing.T) {
	w := newWorld(plain("one", "l1"))
	s := newSite(w)
	s.follow([]string{"one"})
	ctx, cancel := context.WithCancel(t.Context())
	started, release := make(chan struct{}), make(chan struct{})
	w.during = sync.OnceFunc(func() { close(started); <-release })
	first := make(chan error)
	go func() { _, err := s.find(ctx, id("l1"), asBlob); first <- err }()
	<-started
	second := make(chan error)
	go func() { _, err := s.find(ctx, id("l1"), asBlob); second <- err }()
	cancel()
	for _, done := range []chan error{first, second} {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	close(release)
	s.reads(t, asBlob, "l1", true)
}

func TestAStreamThatLeadsToTooMuch(t *testing.T) {
	w := newWorld(plain("small", "l"), list("other", "x"))
	s := newSite(w)
	s.follow([]string{"small"}, []string{"other"})
	s.reads(t, asManifest, "small", true)
	s.mu.Lock()
	s.weight = maxContentWeight + 1
	s.mu.Unlock()
	s.reads(t, asBlob, "l", true)
	if _, err := s.find(t.Context(), id("nothing"), asBlob); err == nil {
		t.Error("went on")
	}
}

func TestContentsAreShed(t *testing.T) {
	w := newWorld(plain("image", numbered("layer", 50)...))
	c := newClock()
	all := newContents(allowAll, newImages(w.get, c.Now), c.Now)
	v := versionOf(1, imageStream(tagged("t", items(1, "image"))))
	for i := range 10 {
		_, err := all.of(types.NamespacedName{Name: fmt.Sprint(i)}, v).find(t.Context(), id("layer1"), asBlob)
		fatal(t, err)
	}
	each := int64(factsOf(w.images[id("image").String()]).weight())
	if got := all.weight.Load(); got != 10*each {
		t.Fatalf("ten contents weigh %d, want %d", got, 10*each)
	}
	if got := len(all.holders(id("layer1"), 100)); got != 10 {
		t.Errorf("%d holders, want 10", got)
	}
	if got := len(all.holders(id("layer1"), 3)); got != 3 {
		t.Errorf("%d holders, want no more than 3", got)
	}
	all.drop(types.NamespacedName{Name: "3"})
	if got := all.weight.Load(); got != 9*each {
		t.Errorf("nine contents weigh %d, want %d", got, 9*each)
	}
	all.weight.Add(maxWeight)
	all.shed()
	if got := all.kept.Len(); got != 1 {
		t.Errorf("%d contents are left, want the one asked for last", got)
	}
	if got := all.weight.Load(); got != maxWeight+each {
		t.Errorf("the rest weighs %d, want %d", got-maxWeight, each)
	}
}

// TestContentUnderWay reads from all sides while the stream changes.
func TestContentUnderWay(t *testing.T) {
	w := newWorld()
	names := numbered("image", 60)
	for _, name := range names {
		w.add(plain(name, "base", name+"-layer"))
	}
	s := newSite(w)
	s.follow(names[:1])
	content := s.content
	var group sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				what := []string{"base", "nothing", names[(n*7+i)%60] + "-layer", names[(n+i)%60]}[n%4]
				origin, err := content.find(t.Context(), id(what), kind(n%2))
				if err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
				if what == "nothing" && origin != nil {
					t.Error("found nothing")
				}
				content.holds(id(what))
			}
		})
	}
	for i := 2; i <= 60; i++ {
		s.follow(names[max(0, i-20):i])
		for j := max(0, i-20); j < i; j++ {
			if origin, err := content.find(t.Context(), id(names[j]+"-layer"), asBlob); err != nil || origin == nil {
				t.Errorf("step %d: image %d is not found: %v", i, j, err)
			}
		}
		if i > 20 {
			if origin, _ := content.find(t.Context(), id(names[i-21]+"-layer"), asBlob); origin != nil {
				t.Errorf("step %d: image %d is found still", i, i-21)
			}
		}
	}
	close(stop)
	group.Wait()
	if content.weight != 20*factsOf(plain("x", "1", "2")).weight() {
		t.Errorf("weighs %d", content.weight)
	}
}

func TestImagesAreAskedForOnce(t *testing.T) {
	w := newWorld(plain("one"))
	c := newClock()
	images := newImages(w.get, c.Now)
	release := make(chan struct{})
	w.during = func() { <-release }
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if f, err := images.facts(t.Context(), id("one")); err != nil || f == nil {
				t.Errorf("%v, %v", f, err)
			}
		})
	}
	close(release)
	group.Wait()
	if n := w.requests(); n != 1 {
		t.Errorf("%d requests, want 1 for all", n)
	}
	if _, err := images.facts(t.Context(), id("one")); err != nil || w.requests() != 0 {
		t.Error("asked again")
	}
	for _, pass := range []time.Duration{0, absentFor / 2, absentFor} {
		c.pass(pass)
		f, err := images.facts(t.Context(), id("absent"))
		if f != nil || err != nil {
			t.Errorf("%v, %v", f, err)
		}
	}
	if n := w.requests(); n != 2 {
		t.Errorf("asked %d times for what is not there, want 2", n)
	}
}

func TestFactsOf(t *testing.T) {
	old := plain("old", "a")
	old.DockerImageManifestMediaType = ""
	unsized := plain("unsized", "a")
	unsized.DockerImageManifestMediaType = dockerimage.MediaTypeSchema1
	unsized.DockerImageLayers[0].LayerSize = 0
	layer := []descriptor{{id("a"), "layer/type", 1}}
	for name, test := range map[string]struct {
		got  *facts
		want facts
	}{
		"image":        {factsOf(plain("x", "a")), facts{image: id("x"), mediaType: dockerimage.MediaTypeOCIManifest, config: descriptor{id("x-config"), dockerimage.MediaTypeOCIImageConfig, -1}, layers: layer}},
		"without type": {factsOf(old), facts{image: id("old"), mediaType: dockerimage.MediaTypeSchema2, layers: layer}},
		"schema 1":     {factsOf(unsized), facts{image: id("unsized"), mediaType: dockerimage.MediaTypeSchema1, layers: []descriptor{{id("a"), "layer/type", -1}}}},
		"list":         {factsOf(list("l", "c")), facts{image: id("l"), mediaType: dockerimage.MediaTypeOCIIndex, children: []descriptor{{id("c"), dockerimage.MediaTypeOCIManifest, 77}}}},
	} {
		if diff := cmp.Diff(test.want, *test.got, cmp.AllowUnexported(facts{}, descriptor{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	var none digest.Digest
	nameless := plain("x")
	nameless.DockerImageMetadata.Raw = []byte(`{}`)
	if got := factsOf(nameless).config.digest; got != none {
		t.Errorf("configuration %q of metadata that does not tell", got)
	}
}
