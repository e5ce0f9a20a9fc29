package ociregistry_test

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
)

// TestOtherRegistriesOpenNothing holds that an imported manifest which names what others
// pushed does not open it: whoever wants it has to get it from where that was imported.
func TestOtherRegistriesOpenNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		secret := r.image("a/app", "secret")
		layer := digest.FromString("layer of secret")
		r.push("a/app", "v1", secret)
		claim := []byte(`{"schemaVersion":2,"layers":[{"digest":"` + layer.String() + `","size":15}]}`)
		r.imported(t, "b/app", "v1", claim)
		r.imported(t, "b/app", "list", index(t, secret))
		r.want(200, "", r.do("GET", "/v2/a/app/manifests/v1", nil)) // it is in memory now

		closed := func(repo string) {
			t.Helper()
			for _, path := range []string{"manifests/" + digestOf(secret), "blobs/" + digestOf(secret), "blobs/" + layer.String()} {
				for _, method := range []string{"GET", "HEAD"} {
					r.want(404, "", r.do(method, "/v2/"+repo+"/"+path, nil))
				}
			}
		}
		closed("b/app")
		// Neither do mounts from there, or pushes to it.
		r.want(202, "", r.do("POST", "/v2/b/new/blobs/uploads/?from=b/app&mount="+layer.String(), nil))
		mine := r.image("b/app", "mine", func(m *ocispec.Manifest) {
			m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: layer, Size: 15})
		})
		r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("b/app", "mine", mine))
		own := index(t, secret)
		own = bytes.Replace(own, []byte(`{`), []byte(`{"annotations":{"by":"b"},`), 1)
		r.push("b/app", "own", own)
		closed("b/app")
		r.wantMissing(digest.FromBytes(own), digest.FromBytes(secret))

		// Who gets it there may read it.
		r.upstream.blobs[layer] = []byte("layer of secret")
		if got := r.want(200, "", r.do("GET", "/v2/b/app/blobs/"+layer.String(), nil)); string(got.body) != "layer of secret" {
			t.Errorf("the layer is %q", got.body)
		}
		r.want(404, "", r.do("GET", "/v2/b/app/manifests/"+digestOf(secret), nil))
	})
}

// wantMissing checks what a manifest is recorded to lack.
func (r *registry) wantMissing(manifest digest.Digest, want ...digest.Digest) {
	r.t.Helper()
	got, err := r.store.Missing(r.t.Context(), manifest)
	if err != nil || !slices.Equal(got, want) {
		r.t.Errorf("%s lacks %v, %v; want %v", manifest, got, err, want)
	}
}

// TestPartsThatAreNotKept holds that a manifest which names what is only passed through
// does not open that where it is tagged to.
func TestPartsThatAreNotKept(t *testing.T) {
	r := start(t)
	layer := []byte("a layer of others")
	d := digest.FromBytes(layer)
	r.upstream.blobs[d] = layer
	r.imported(t, "shop/web", "base", []byte(`{"layers":[{"digest":"`+d.String()+`","size":17}]}`))
	for _, i := range r.directory.streams["shop/web"].images {
		i.origin.Sources[0].Mirror = false
	}
	content := r.image("shop/web", "one", func(m *ocispec.Manifest) {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: 17})
	})
	r.push("shop/web", "v1", content)
	r.wantMissing(digest.FromBytes(content), d)
}

// TestChildrenOfUpstream holds that a list takes manifests with all of their parts from
// another registry that the stream refers to, as if they had been pushed.
func TestChildrenOfUpstream(t *testing.T) {
	r := start(t)
	r.upstream.keep = func(ctx context.Context, d digest.Digest, content []byte) error { return r.store.Put(ctx, d, content) }
	layer, config := []byte("a layer of elsewhere"), []byte(`{"architecture":"arm64","os":"linux"}`)
	child := []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `",` +
		`"config":{"mediaType":"` + ocispec.MediaTypeImageConfig + `","digest":"` + digestOf(config) + `","size":37},` +
		`"layers":[{"mediaType":"` + ocispec.MediaTypeImageLayer + `","digest":"` + digestOf(layer) + `","size":20}]}`)
	inner := index(t, child)
	for _, content := range [][]byte{layer, config} {
		r.upstream.blobs[digest.FromBytes(content)] = content
	}
	for _, content := range [][]byte{child, inner} {
		r.upstream.manifests[digest.FromBytes(content)] = content
		r.imported(t, "shop/web", "by-"+digestOf(content)[7:17], content)
	}
	list := index(t, inner)
	r.push("shop/web", "v1", list)
	r.wantMissing(digest.FromBytes(list))
	r.wantMissing(digest.FromBytes(inner))
	r.upstream.failure = ociregistry.NewError(ociregistry.CodeUnavailable, "upstream is gone")
	for _, tag := range []string{"by-" + digestOf(child)[7:17], "by-" + digestOf(inner)[7:17]} {
		r.want(202, "", r.do(http.MethodDelete, "/v2/shop/web/manifests/"+tag, nil))
	}
	for _, path := range []string{"manifests/" + digestOf(inner), "manifests/" + digestOf(child), "blobs/" + digestOf(layer), "blobs/" + digestOf(config)} {
		r.want(200, "", r.do("GET", "/v2/shop/web/"+path, nil))
	}

	// What cannot be had now is tried again, what the other registry does not have is missing.
	r.imported(t, "shop/web", "other", index(t, []byte(`{"schemaVersion":2}`)))
	other := index(t, index(t, []byte(`{"schemaVersion":2}`)))
	r.want(503, ociregistry.CodeUnavailable, r.put("shop/web", "v2", other))
	r.upstream.failure = nil
	r.push("shop/web", "v2", other)
	r.wantMissing(digest.FromBytes(other), digest.FromBytes(index(t, []byte(`{"schemaVersion":2}`))))
}

// TestManifestsAsBlobs holds that a manifest which was uploaded as a blob is not one that
// was pushed: pushing it later is no news of what others have.
func TestManifestsAsBlobs(t *testing.T) {
	r := start(t)
	r.push("a/app", "v1", r.image("a/app", "secret"))
	for name, layer := range map[string]digest.Digest{"there": digest.FromString("layer of secret"), "nowhere": digest.FromString("nothing")} {
		m := r.image("b/app", name, func(m *ocispec.Manifest) {
			m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar", Digest: layer, Size: 15})
		})
		r.pushBlob("b/app", m)
		if pushed, err := r.store.WasPushed(t.Context(), digest.FromBytes(m)); pushed || err != nil {
			t.Errorf("a blob was pushed as a manifest: %v", err)
		}
		r.push("b/app", name, m)
		r.wantMissing(digest.FromBytes(m), layer)
		// What was missing is so again when the manifest was deleted from storage.
		r.want(204, "", r.do("DELETE", "/admin/blobs/"+digestOf(m), nil))
		r.wantMissing(digest.FromBytes(m))
		r.push("b/app", name, m)
		r.wantMissing(digest.FromBytes(m), layer)
	}
}

// TestThroughOtherRepositories holds that what a stream has as another repository's is
// open as long as that one has the manifest.
func TestThroughOtherRepositories(t *testing.T) {
	r := start(t)
	content := r.image("a/app", "one")
	r.push("a/app", "v1", content)
	r.imported(t, "b/app", "v1", content)
	r.directory.mu.Lock()
	for _, i := range r.directory.streams["b/app"].images {
		i.origin.Through = []ociregistry.Link{{Repository: "a/app", Manifest: digest.FromBytes(content)}}
	}
	r.directory.mu.Unlock()
	paths := []string{"manifests/" + digestOf(content), "blobs/" + digest.FromString("layer of one").String()}
	for _, path := range paths {
		r.want(200, "", r.do("GET", "/v2/b/app/"+path, nil))
	}
	r.want(202, "", r.do("DELETE", "/v2/a/app/manifests/"+digestOf(content), nil))
	for _, path := range paths {
		r.want(404, "", r.do("GET", "/v2/b/app/"+path, nil))
	}
}

// TestRequestsOfTheSameProcess holds that importers of this process are shown what is held
// alone.
func TestRequestsOfTheSameProcess(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) { o.Instance = "this" })
	pushed := r.image("a/app", "one")
	r.push("a/app", "pushed", pushed)
	outside := []byte(`{"schemaVersion":2,"layers":[]}`)
	r.upstream.manifests[digest.FromBytes(outside)] = outside
	r.imported(t, "a/app", "outside", outside)
	for tag, status := range map[string]int{"pushed": 200, "outside": 404} {
		r.want(200, "", r.do("GET", "/v2/a/app/manifests/"+tag, nil, header("X-Weir-Instance", "another")))
		r.want(status, "", r.do("GET", "/v2/a/app/manifests/"+tag, nil, header("X-Weir-Instance", "this")))
	}
}
