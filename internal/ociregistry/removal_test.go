package ociregistry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// interrupted is a driver that fails after some deletions.
type interrupted struct {
	storagedriver.StorageDriver
	left int
}

var errInterrupted = errors.New("the process was killed")

// Delete implements storagedriver.StorageDriver.
func (d *interrupted) Delete(ctx context.Context, path string) error {
	if d.left == 0 {
		return errInterrupted
	}
	d.left--
	return d.StorageDriver.Delete(ctx, path)
}

// TestInterruptedRemovalLeavesNoUnownedLink holds that wherever the removal of an owner
// ends early, the next stream of that name has none of the links, and the removal can be
// repeated.
func TestInterruptedRemovalLeavesNoUnownedLink(t *testing.T) {
	ctx, d := t.Context(), digest.FromString("content")
	former := blobstore.Repository{Name: "shop/web", Stream: "former", Namespace: "namespace"}
	next := blobstore.Repository{Name: "shop/web", Stream: "next", Namespace: "namespace"}
	removals := map[string]func(s *blobstore.Store) error{
		"RemoveOwner":    func(s *blobstore.Store) error { return s.RemoveOwner(ctx, former.Name, former.Stream, time.Time{}) },
		"UnlinkBlob":     func(s *blobstore.Store) error { return gone(s.UnlinkBlob(ctx, former, d)) },
		"UnlinkManifest": func(s *blobstore.Store) error { return gone(s.UnlinkManifest(ctx, former, d)) },
	}
	for name, remove := range removals {
		for deletions := range 5 {
			t.Run(fmt.Sprintf("%s, %d deletions", name, deletions), func(t *testing.T) {
				driver := inmemory.New()
				store := func(left int) *blobstore.Store {
					s, err := blobstore.New(blobstore.Options{Driver: &interrupted{driver, left}})
					if err != nil {
						t.Fatal(err)
					}
					return s
				}
				s := store(deletions)
				if err := errors.Join(s.LinkBlob(ctx, former, d), s.LinkManifest(ctx, former, d)); err != nil {
					t.Fatal(err)
				}
				if err := remove(s); err != nil && !errors.Is(err, errInterrupted) {
					t.Fatal(err)
				}
				restarted := store(-1)
				blob, err := restarted.HasBlob(ctx, next, d)
				manifest, err2 := restarted.HasManifest(ctx, next, d)
				if blob || manifest || err != nil || err2 != nil {
					t.Errorf("the next stream has a link of the blob: %v, %v, of the manifest: %v, %v", blob, err, manifest, err2)
				}
				if err := remove(restarted); err != nil {
					t.Errorf("removing again: %v", err)
				}
			})
		}
	}
}

// gone is no error for a link that is not there any more.
func gone(err error) error {
	if errors.Is(err, blobstore.ErrUnknown) {
		return nil
	}
	return err
}
