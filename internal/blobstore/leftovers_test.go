package blobstore_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// namesBelow are the files and folders below a folder of a disk.
func namesBelow(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	must(t, filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != folder {
			names = append(names, path)
		}
		return err
	}))
	return names
}

// TestNothingIsLeft holds that of a repository whose owners are removed nothing stays, and that all
// stays of one that has something yet.
func TestNothingIsLeft(t *testing.T) {
	root, ctx := t.TempDir(), t.Context()
	s := storeOf(t, onDisk(t, root))
	d := digest.FromString("x")
	app := blobstore.Repository{Name: "shop/app", Stream: webUID, Namespace: shopUID}
	used := blobstore.Repository{Name: "shop/used", Stream: "used", Namespace: shopUID}
	for _, r := range []blobstore.Repository{app, used, {Name: "shop/uploaded", Namespace: shopUID}} {
		must(t, s.LinkBlob(ctx, r, d))
		must(t, s.LinkBlob(ctx, r.Uploads(), digest.FromString("y")))
		must(t, s.LinkManifest(ctx, r, d))
	}
	must(t, s.UnlinkBlob(ctx, app, d))
	u, err := s.StartUpload(ctx, app.Name, "")
	must(t, err)
	must(t, u.Close())
	later := time.Now().Add(time.Hour)
	leave := func(repo string, owners ...string) {
		t.Helper()
		for _, owner := range owners {
			must(t, s.RemoveOwner(ctx, repo, owner, time.Time{}))
		}
		must(t, s.RemoveUploads(ctx, repo, later))
		must(t, s.RemoveLeftovers(ctx, repo, later))
	}
	repositories := filepath.Join(root, "docker/registry/v2/repositories")
	before := len(namesBelow(t, filepath.Join(repositories, "shop/used")))
	leave(used.Name)
	if after := len(namesBelow(t, filepath.Join(repositories, "shop/used"))); after != before {
		t.Errorf("of %d names in a repository in use %d are left", before, after)
	}
	leave(app.Name, app.Stream, app.Released().Stream, app.Namespace)
	leave("shop/uploaded", shopUID)
	leave(used.Name, used.Stream, used.Namespace)
	if left := namesBelow(t, repositories); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	must(t, s.LinkBlob(ctx, app, d)) // folders that are known to be there are made again
	wantHas(t, s, app, d, true)
}

// TestRecordOfUnownedLinksStaysForAWhile holds that the record is not removed while a link may be
// being written.
func TestRecordOfUnownedLinksStaysForAWhile(t *testing.T) {
	root, ctx := t.TempDir(), t.Context()
	s := storeOf(t, onDisk(t, root))
	r := blobstore.Repository{Name: "shop/app", Stream: webUID, Namespace: shopUID}
	must(t, s.LinkBlob(ctx, r, digest.FromString("x")))
	must(t, s.RemoveOwner(ctx, r.Name, r.Stream, time.Time{}))
	must(t, s.RemoveLeftovers(ctx, r.Name, time.Now().Add(-time.Hour)))
	record := filepath.Join(root, "docker/registry/v2/repositories/shop/app/_owners/unowned")
	if left := namesBelow(t, filepath.Dir(record)); len(left) != 1 || left[0] != record {
		t.Errorf("left are %q", left)
	}
}

// BenchmarkRemoveOwner shows that the removal of a stream costs the same however many others have
// links.
func BenchmarkRemoveOwner(b *testing.B) {
	for _, others := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			s, ctx := storeOf(b, onDisk(b, b.TempDir())), b.Context()
			d := digest.FromString("x")
			link := func(name string) {
				r := blobstore.Repository{Name: "shop/" + name, Stream: name, Namespace: shopUID}
				if err := s.LinkBlob(ctx, r, d); err != nil {
					b.Fatal(err)
				}
			}
			for i := range others {
				link(fmt.Sprint("other-", i))
			}
			if err := s.LinkManifest(ctx, blobstore.Repository{Name: "shop/all", Stream: "all"}, d); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				link("gone")
				b.StartTimer()
				if err := s.RemoveOwner(ctx, "shop/gone", "gone", time.Time{}); err != nil {
					b.Fatal(err)
				}
				if err := s.RemoveLeftovers(ctx, "shop/gone", time.Now().Add(time.Hour)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
