package streams

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/ociregistry"
)

func TestWeighed(t *testing.T) {
	w := newWeighed[string](10, 100, func(v int) int { return v })
	want := func(total int, keys ...string) {
		t.Helper()
		if got := fmt.Sprint(w.entries.Keys()); got != fmt.Sprint(keys) || w.total != total {
			t.Errorf("%s weigh %d, want %s and %d", got, w.total, keys, total)
		}
	}
	w.Add("a", 40)
	w.Add("b", 40)
	w.Get("a")
	w.Add("c", 40)
	want(80, "a", "c")
	w.Add("a", 10)
	want(50, "c", "a")
	w.Remove("c")
	w.Remove("none")
	want(10, "a")
	w.Add("large", 1000)
	want(1000, "large")
	w.Add("small", 1)
	want(1, "small")
	for i := range 20 {
		w.Add(fmt.Sprint(i), 0)
	}
	if w.entries.Len() != 10 || w.total != 0 {
		t.Errorf("%d entries weigh %d, want 10 of none", w.entries.Len(), w.total)
	}
}

// TestFactsOfLargeImagesAreBounded: an Image of 2 MiB lists more than ten thousand parts, and users
// push as many of them as they like.
func TestFactsOfLargeImagesAreBounded(t *testing.T) {
	i := newImages(nil, newClock().Now)
	for n := range 100 {
		i.learn(&ociregistry.Image{Digest: id(fmt.Sprint(n)), Blobs: make([]ociregistry.Part, 10000)})
	}
	if i.known.total > maxParts {
		t.Errorf("%d parts are kept, want %d at most", i.known.total, maxParts)
	}
	if _, found := i.known.Get(id("99")); !found {
		t.Error("the last image is not kept")
	}
}

// TestLongHistoriesAreBounded: 2,048 histories of the longest streams would take gigabytes.
func TestLongHistoriesAreBounded(t *testing.T) {
	h := newHistories(allowAll)
	names := make([]string, 10000)
	for i := range names {
		names[i] = fmt.Sprint("image", i)
	}
	for n := range 100 {
		v := versionOf(uint64(n+1), imageStream(tagged("a", items(len(names), names...))))
		h.of(types.NamespacedName{Name: fmt.Sprint(n)}, v)
	}
	if h.kept.total > maxEvents {
		t.Errorf("%d events are kept, want %d at most", h.kept.total, maxEvents)
	}
}
