package blobstore_test

import (
	"fmt"
	"slices"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// Another link that is removed while one is made does not keep it out of the list.
func TestRecentlyLinkedBesideARemoval(t *testing.T) {
	ctx, d, gone := t.Context(), digest.FromString("x"), digest.FromString("y")
	everyCall(t, func(call int64) int64 {
		s, steps := stepping(t, storage{driver: onDisk(t, t.TempDir())})
		must(t, s.LinkBlob(ctx, api, gone))
		made := steps.calls.Load()
		steps.after = func(n int64) error {
			if n != made+call {
				return nil
			}
			return s.UnlinkBlob(ctx, api, gone)
		}
		must(t, s.LinkBlob(ctx, web, d))
		if got := s.RecentlyLinked("shop", d); !slices.Equal(got, []string{repo}) {
			t.Errorf("repositories with a recent link: %q", got)
		}
		steps.after = nil
		return steps.calls.Load() - made
	})
}

func TestRecentlyLinked(t *testing.T) {
	ctx, d := t.Context(), digest.FromString("x")
	s := storeOf(t, inMemory(t))
	link := func(name string) {
		must(t, s.LinkBlob(ctx, blobstore.Repository{Name: name, Stream: webUID, Namespace: shopUID}, d))
	}
	link("shop/first")
	link("shopping/web")
	must(t, s.LinkManifest(ctx, blobstore.Repository{Name: "shop/manifest", Stream: webUID, Namespace: shopUID}, d))
	var want []string
	for i := range 16 {
		want = append([]string{fmt.Sprintf("shop/s%d", i)}, want...)
		link(want[0])
	}
	link("shop/s3")
	want = append([]string{"shop/s3"}, slices.DeleteFunc(want, func(name string) bool { return name == "shop/s3" })...)
	if got := s.RecentlyLinked("shop", d); !slices.Equal(got, want) {
		t.Errorf("repositories with a recent link: %q, want the latest 16: %q", got, want)
	}
	if got := s.RecentlyLinked("shop", digest.FromString("z")); len(got) != 0 {
		t.Errorf("repositories with a recent link to an unknown blob: %q", got)
	}
}
