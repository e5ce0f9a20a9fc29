package ociregistry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
)

// TestRule is the rule of ownership.go as a table: what repository b/app has of the layer of
// an image that a/app has.
func TestRule(t *testing.T) {
	const layerText = "layer of image"
	layer := digest.FromString(layerText)
	source := importedFrom.Provenance("")
	copied := func(r *registry, m digest.Digest) {
		r.directory.copied(parse(r.t, "a/app"), parse(r.t, "b/app"), "copy", m)
	}
	link := func(r *registry, stream string) {
		to := blobstore.Repository{Name: "b/app", Stream: stream, Namespace: "b-0"}
		r.fatal(errors.Join(r.store.LinkBlob(r.t.Context(), to, layer)))
	}
	imported := func(r *registry, content []byte) {
		r.imported(r.t, "b/app", "v1", content)
		r.upstream.failure = ociregistry.NewError(ociregistry.CodeBlobUnknown, "it has no such blob")
	}
	for name, test := range map[string]struct {
		prepare func(r *registry, content []byte, m digest.Digest)
		want    int
	}{
		"nothing": {func(*registry, []byte, digest.Digest) {}, 404},

		"1: uploaded":                 {func(r *registry, _ []byte, _ digest.Digest) { r.pushBlob("b/app", []byte(layerText)) }, 200},
		"1: linked by the stream":     {func(r *registry, _ []byte, _ digest.Digest) { r.stream("b/app"); link(r, r.uid("b/app")) }, 200},
		"1: linked by another stream": {func(r *registry, _ []byte, _ digest.Digest) { r.stream("b/app"); link(r, "uid-of-another") }, 404},
		"1: linked, then deleted": {func(r *registry, _ []byte, _ digest.Digest) {
			r.pushBlob("b/app", []byte(layerText))
			r.want(202, "", r.do("DELETE", "/v2/b/app/blobs/"+layer.String(), nil))
		}, 404},
		"1: a link without owner": {func(r *registry, _ []byte, _ digest.Digest) { r.stream("b/app"); r.unownedLink("b/app", layer) }, 200},
		"1: a link without owner, no stream": {func(r *registry, _ []byte, _ digest.Digest) {
			r.unownedLink("b/app", layer)
		}, 404},
		"1: a link without owner, of a former stream": {func(r *registry, _ []byte, _ digest.Digest) {
			r.stream("b/app")
			r.unownedLink("b/app", layer)
			r.want(200, "", r.do("GET", "/v2/b/app/blobs/"+layer.String(), nil))
			r.directory.deleted(parse(r.t, "b/app"))
			r.stream("b/app")
		}, 404},

		"2: copied": {func(r *registry, _ []byte, m digest.Digest) { copied(r, m) }, 200},
		"2: copied, and the source is gone": {func(r *registry, _ []byte, m digest.Digest) {
			copied(r, m)
			r.directory.deleted(parse(r.t, "a/app"))
		}, 200},
		"2: copied, and the source is gone and cleaned up": {func(r *registry, _ []byte, m digest.Digest) {
			copied(r, m)
			r.fatal(r.handler.Remove(r.t.Context(), r.directory.deleted(parse(r.t, "a/app")), time.Now()))
		}, 200},
		"2: copied, and removed again": {func(r *registry, _ []byte, m digest.Digest) {
			copied(r, m)
			r.want(202, "", r.do("DELETE", "/v2/b/app/manifests/copy", nil))
		}, 404},
		"2: copied after the source lost the blob": {func(r *registry, _ []byte, m digest.Digest) {
			r.want(202, "", r.do("DELETE", "/v2/a/app/blobs/"+layer.String(), nil))
			r.removeReleased("a/app")
			copied(r, m)
		}, 404},
		"2: copied before the source lost the blob": {func(r *registry, _ []byte, m digest.Digest) {
			copied(r, m)
			r.want(202, "", r.do("DELETE", "/v2/a/app/blobs/"+layer.String(), nil))
			r.want(404, "", r.do("GET", "/v2/a/app/blobs/"+layer.String(), nil))
		}, 200},
		"2: copied before the source lost the blob, which is cleaned up": {func(r *registry, _ []byte, m digest.Digest) {
			copied(r, m)
			r.want(202, "", r.do("DELETE", "/v2/a/app/blobs/"+layer.String(), nil))
			r.removeReleased("a/app")
		}, 200},
		"2: the source has the blob, not the image": {func(r *registry, _ []byte, m digest.Digest) {
			r.fatal(r.store.UnlinkManifest(r.t.Context(), blobstore.Repository{Name: "a/app", Stream: r.uid("a/app")}, m))
			r.removeReleased("a/app")
			copied(r, m)
		}, 404},
		"2: a tag event without a copy": {func(r *registry, _ []byte, m digest.Digest) {
			r.directory.mu.Lock()
			defer r.directory.mu.Unlock()
			r.directory.tag(r.directory.ensure(parse(r.t, "b/app")), "forged", m)
		}, 404},

		"3: imported": {func(r *registry, content []byte, _ digest.Digest) {
			r.upstream.blobs[layer] = []byte(layerText)
			r.imported(r.t, "b/app", "v1", content)
		}, 200},
		"3: imported, and the source does not have it": {func(r *registry, content []byte, _ digest.Digest) { imported(r, content) }, 404},
		"3: it came from the source before": {func(r *registry, content []byte, _ digest.Digest) {
			imported(r, content)
			r.fatal(r.store.AddProvenance(r.t.Context(), layer, source))
		}, 200},
		"3: it came from another source": {func(r *registry, content []byte, _ digest.Digest) {
			imported(r, content)
			r.fatal(r.store.AddProvenance(r.t.Context(), layer, "elsewhere.example/a/b"))
		}, 404},
		"3: it came with a pull secret of the namespace": {func(r *registry, content []byte, _ digest.Digest) {
			imported(r, content)
			r.fatal(r.store.AddProvenance(r.t.Context(), layer, importedFrom.Provenance("b-0")))
		}, 200},
		"3: it came with a pull secret of another namespace": {func(r *registry, content []byte, _ digest.Digest) {
			imported(r, content)
			r.fatal(r.store.AddProvenance(r.t.Context(), layer, importedFrom.Provenance("a-0")))
		}, 404},
		"3: the Image was deleted": {func(r *registry, content []byte, m digest.Digest) {
			imported(r, content)
			r.fatal(r.store.AddProvenance(r.t.Context(), layer, source))
			delete(r.directory.images, m)
		}, 404},

		"4: a manifest that was pushed names it": {func(r *registry, _ []byte, _ digest.Digest) {
			foreign := ocispec.Descriptor{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar", Digest: layer, Size: int64(len(layerText))}
			r.push("b/app", "v1", r.image("b/app", "own", func(m *ocispec.Manifest) { m.Layers = append(m.Layers, foreign) }))
		}, 404},
		"4: an index that was pushed names the image": {func(r *registry, content []byte, _ digest.Digest) {
			r.push("b/app", "v1", index(r.t, content))
		}, 404},
		"4: the manifest was uploaded as a blob": {func(r *registry, content []byte, _ digest.Digest) { r.pushBlob("b/app", content) }, 404},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			content := r.image("a/app", "image")
			r.push("a/app", "v1", content)
			test.prepare(r, content, digest.FromBytes(content))
			for _, method := range []string{"GET", "HEAD"} {
				r.want(test.want, "", r.do(method, "/v2/b/app/blobs/"+layer.String(), nil))
			}
		})
	}
}

func (r *registry) fatal(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// stream makes an image stream.
func (r *registry) stream(repo string) {
	r.directory.mu.Lock()
	defer r.directory.mu.Unlock()
	r.directory.ensure(parse(r.t, repo))
}

func (r *registry) uid(repo string) string {
	r.directory.mu.Lock()
	defer r.directory.mu.Unlock()
	return r.directory.ensure(parse(r.t, repo)).uid
}

// removeReleased ends the grace of links that were deleted.
func (r *registry) removeReleased(repo string) {
	r.t.Helper()
	from := blobstore.Repository{Name: repo, Stream: r.uid(repo)}
	r.fatal(r.handler.RemoveReleased(r.t.Context(), from, time.Now().Add(time.Minute)))
}

// unownedLink writes a link as distribution and earlier versions do.
func (r *registry) unownedLink(repo string, d digest.Digest) {
	r.t.Helper()
	path := fmt.Sprintf("/docker/registry/v2/repositories/%s/_layers/%s/%s/link", repo, d.Algorithm(), d.Encoded())
	r.fatal(r.driver.PutContent(r.t.Context(), path, []byte(d)))
}

// TestStorageOfEarlierVersions holds that what an earlier version stored is served: links
// without owners, manifests of other registries beside the data of blobs, and provenance in
// the scope of a namespace's name.
func TestStorageOfEarlierVersions(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		const root = "/docker/registry/v2/"
		write := func(path string, content []byte) { r.fatal(r.driver.PutContent(t.Context(), root+path, content)) }
		folder := func(d digest.Digest) string { return "blobs/sha256/" + d.Encoded()[:2] + "/" + d.Encoded() }
		store := func(file string, content []byte) digest.Digest {
			d := digest.FromBytes(content)
			write(folder(d)+"/"+file, content)
			return d
		}
		// Pushed: data, links, and the mark of the time.
		config, layer := []byte(`{"os":"linux"}`), []byte("an old layer")
		pushed := encode(t, ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: store("data", config), Size: int64(len(config))},
			Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: store("data", layer), Size: int64(len(layer))}},
		})
		m := store("data", pushed)
		write(folder(m)+"/pushed", nil)
		r.unownedLink("shop/web", digest.FromBytes(config))
		r.unownedLink("shop/web", digest.FromBytes(layer))
		write("repositories/shop/web/_manifests/revisions/sha256/"+m.Encoded()+"/link", []byte(m))
		// Kept from another registry, for one namespace.
		outside := []byte(`{"schemaVersion":2,"layers":[]}`)
		kept := store("fetched", outside)
		write("repositories/shop/_scope", []byte("the scope of shop"))
		r.fatal(r.store.AddProvenance(t.Context(), kept, importedFrom.Provenance("the scope of shop")))

		r.directory.mu.Lock()
		r.directory.describe(m, pushed)
		r.directory.tag(r.directory.ensure(parse(t, "shop/web")), "v1", m)
		r.directory.mu.Unlock()
		r.imported(t, "shop/web", "kept", outside)
		r.imported(t, "other/web", "kept", outside)
		r.directory.copied(parse(t, "shop/web"), parse(t, "other/web"), "copy", m)
		r.upstream.failure = ociregistry.NewError(ociregistry.CodeManifestUnknown, "it has gone")
		for path, want := range map[string]int{
			"shop/web/manifests/v1": 200, "shop/web/blobs/" + digestOf(layer): 200, "shop/web/blobs/" + digestOf(config): 200,
			"shop/web/manifests/kept": 200, "other/web/manifests/kept": 404,
			"other/web/manifests/copy": 200, "other/web/blobs/" + digestOf(layer): 200,
			"third/web/blobs/" + digestOf(layer): 404,
		} {
			r.want(want, "", r.do("GET", "/v2/"+path, nil))
		}
		// The same push again, and a push on top of what is there.
		r.push("shop/web", "v1", pushed)
		// Another tenant gets the name.
		gone := r.directory.deleted(parse(t, "shop/web"))
		r.stream("shop/web")
		r.want(404, "", r.do("GET", "/v2/shop/web/blobs/"+digestOf(layer), nil))
		r.fatal(r.handler.Remove(t.Context(), gone, time.Now()))
		r.want(404, "", r.do("GET", "/v2/shop/web/blobs/"+digestOf(layer), nil))
		r.want(200, "", r.do("GET", "/v2/other/web/blobs/"+digestOf(layer), nil))
	})
}

// readsOf counts how often stored content is read.
type readsOf struct {
	storagedriver.StorageDriver
	path  string
	count atomic.Int64
}

func (d *readsOf) GetContent(ctx context.Context, path string) ([]byte, error) {
	d.note(path)
	return d.StorageDriver.GetContent(ctx, path)
}

func (d *readsOf) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	d.note(path)
	return d.StorageDriver.Reader(ctx, path, offset)
}

func (d *readsOf) note(path string) {
	if d.path != "" && strings.Contains(path, d.path) {
		d.count.Add(1)
	}
}

// TestDeletionsReadNothingOfOthers holds that deleting a manifest which only another
// repository has does not read it: how long that takes would show that it is there.
func TestDeletionsReadNothingOfOthers(t *testing.T) {
	driver := &readsOf{StorageDriver: inmemory.New()}
	writer := startWith(t, driver)
	content := writer.image("a/app", "secret")
	writer.push("a/app", "v1", content)

	r := startWith(t, driver) // has nothing in memory
	driver.path = digest.FromBytes(content).Encoded()
	r.want(404, "", r.do("DELETE", "/v2/b/app/manifests/"+digestOf(content), nil))
	if n := driver.count.Load(); n != 0 {
		t.Errorf("it was read %d times", n)
	}
}
