package blobstore_test

import (
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// testUsage holds which bytes count for what. The blobs' sizes tell them apart.
func testUsage(t *testing.T, st storage) {
	ctx := t.Context()
	later := time.Hour
	s, err := blobstore.New(blobstore.Options{Driver: st.driver, Now: func() time.Time { return time.Now().Add(later) }})
	must(t, err)
	blob := func(size int, letter string) digest.Digest {
		content := []byte(strings.Repeat(letter, size))
		must(t, s.Put(ctx, digest.FromBytes(content), content))
		return digest.FromBytes(content)
	}
	linked, manifest, kept, both := blob(1, "l"), blob(10, "m"), blob(100, "k"), blob(1000, "b")
	blob(10_000, "u")
	must(t, s.LinkBlob(ctx, web, linked))
	must(t, s.LinkBlob(ctx, next, linked))
	must(t, s.LinkManifest(ctx, web, manifest))
	must(t, s.LinkBlob(ctx, web, both))
	for _, d := range []digest.Digest{kept, both} {
		must(t, s.AddProvenance(ctx, d, "registry.example.com/app"))
	}
	u := start(t, s)
	appendAll(t, u, []byte("12345"))
	must(t, u.Close())
	usage, err := s.MeasureUsage(ctx)
	must(t, err)
	if usage.Uploads < 5 && st.driver.Name() != "s3aws" { // an object store shows nothing of them
		t.Errorf("uploads have %d bytes", usage.Uploads)
	}
	usage.Uploads = 0
	if want := (blobstore.Usage{Linked: 1011, Kept: 100, Unreferenced: 10_000}); usage != want {
		t.Errorf("%+v, want %+v", usage, want)
	}
	must(t, s.UnlinkBlob(ctx, next, linked))
	for _, owner := range []string{webUID, nextUID, next.Released().Stream} {
		must(t, s.RemoveOwner(ctx, repo, owner, time.Time{}))
	}
	usage, err = s.MeasureUsage(ctx)
	must(t, err)
	usage.Uploads = 0
	if want := (blobstore.Usage{Kept: 1100, Unreferenced: 10_011}); usage != want {
		t.Errorf("without links %+v, want %+v", usage, want)
	}
	later = -time.Hour
	if usage, err := s.MeasureUsage(ctx); err != nil || usage.Kept+usage.Unreferenced != 0 {
		t.Errorf("what is stored meanwhile counts: %+v, %v", usage, err)
	}
}
