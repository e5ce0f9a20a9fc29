package importer_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/testenv/testimage"
)

// BenchmarkRepository compares an import of 50 tags with the least that could be done: a loop that
// fetches the same manifests and configs, ten at a time, and makes nothing of them. Each iteration
// starts with no content cached; both keep their connections.
func BenchmarkRepository(b *testing.B) {
	for _, latency := range []time.Duration{0, 50 * time.Millisecond} {
		s := newServer(b)
		var refs []name.Reference
		for n := range 50 {
			tag := fmt.Sprintf("x:t%d", n)
			s.push(tag, testimage.Image(b, "linux/amd64"))
			ref, err := name.ParseReference(s.ref(tag), name.Insecure)
			if err != nil {
				b.Fatal(err)
			}
			refs = append(refs, ref)
		}
		s.on(func(_ http.ResponseWriter, r *http.Request) bool {
			if latency > 0 {
				select {
				case <-time.After(latency):
				case <-r.Context().Done():
				}
			}
			return false
		})
		b.Run(fmt.Sprintf("importer/latency=%s", latency), func(b *testing.B) {
			registries := newRegistries(b)
			for b.Loop() {
				fresh := newImporter(b, func(o *importer.Options) { o.Registries = registries })
				result := fresh.Import(context.Background(), importer.Request{
					Repository: &importer.RepositoryRequest{Ref: s.ref("x"), Insecure: true},
				})
				if got := result.Repository; got.Status.Status != "Success" || len(got.Images) != 50 {
					b.Fatalf("%d images, %s", len(got.Images), got.Status.Message)
				}
			}
		})
		b.Run(fmt.Sprintf("loop/latency=%s", latency), func(b *testing.B) {
			for b.Loop() {
				if err := fetchAll(refs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fetchAll lists the tags and fetches manifest and config of each reference.
func fetchAll(refs []name.Reference) error {
	puller, err := remote.NewPuller()
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := puller.List(ctx, refs[0].Context()); err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(10)
	for _, ref := range refs {
		group.Go(func() error {
			d, err := puller.Get(ctx, ref)
			if err != nil {
				return err
			}
			image, err := d.Image()
			if err != nil {
				return err
			}
			_, err = image.RawConfigFile()
			return err
		})
	}
	return group.Wait()
}
