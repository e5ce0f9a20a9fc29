package streams

import (
	"fmt"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/ociregistry"
)

// TestFactsOfLargeImagesAreBounded: an Image of 2 MiB lists more than ten thousand parts, and users
// push as many of them as they like.
func TestFactsOfLargeImagesAreBounded(t *testing.T) {
	i := newImages(nil, nil, newClock().Now)
	for n := range 100 {
		i.add(&ociregistry.Image{Digest: id(fmt.Sprint(n)), Blobs: make([]ociregistry.Part, 10000)})
	}
	if n := i.known.Len(); n == 0 || int64(n)*10000*40 > imagesBytes {
		t.Errorf("%d images of 10000 parts are kept", n)
	}
	if _, found := i.known.Get(id("99")); !found {
		t.Error("the last image is not kept")
	}
}

// TestLongHistoriesAreBounded: 2,048 histories of the longest streams would take gigabytes.
func TestLongHistoriesAreBounded(t *testing.T) {
	h := newHistories(allowAll, nil)
	names := make([]string, 10000)
	for i := range names {
		names[i] = fmt.Sprint("image", i)
	}
	for n := range 100 {
		v := versionOf(uint64(n+1), imageStream(tagged("a", items(len(names), names...))))
		h.of(types.NamespacedName{Name: fmt.Sprint(n)}, v)
	}
	if n := h.kept.Len(); n == 0 || int64(n)*10000*eventBytes > historiesBytes {
		t.Errorf("%d histories of 10000 events are kept", n)
	}
}

// TestSightsAreBounded holds that names are bounded over all users.
func TestSightsAreBounded(t *testing.T) {
	s := newSightCache(nil, newClock().Now)
	many := sight{names: numbered("s", maxSightNames)}
	for i := range 1000 {
		s.Add(sightKey{"u", strconv.Itoa(i)}, many)
	}
	if n := s.Len(); n == 0 || n*maxSightNames*headerBytes > sightsBytes {
		t.Errorf("%d names of %d namespaces", n*maxSightNames, n)
	}
	if _, found := s.Get(sightKey{"u", "999"}); !found {
		t.Error("the newest is forgotten")
	}
}
