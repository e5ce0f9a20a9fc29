package ociregistry_test

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"testing"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
)

// TestOtherRegistriesOpenNothing holds that an imported manifest which names what another
// tenant pushed grants nothing: that has to come from the registry it was imported from.
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

		// A tenant that is given it there may read it.
		r.upstream.blobs[layer] = []byte("layer of secret")
		if got := r.want(200, "", r.do("GET", "/v2/b/app/blobs/"+layer.String(), nil)); string(got.body) != "layer of secret" {
			t.Errorf("the layer is %q", got.body)
		}
		r.want(404, "", r.do("GET", "/v2/b/app/manifests/"+digestOf(secret), nil))
	})
}

// TestPartsThatAreNotKept holds that a manifest which names what may not be kept does not
// grant it where the manifest is copied to.
func TestPartsThatAreNotKept(t *testing.T) {
	r := start(t)
	layer := []byte("a layer of others")
	d := digest.FromBytes(layer)
	r.upstream.blobs[d] = layer
	r.imported(t, "shop/web", "base", []byte(`{"layers":[{"digest":"`+d.String()+`","size":17}]}`))
	r.setMirror("shop/web", false)
	content := r.image("shop/web", "one", func(m *ocispec.Manifest) {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: 17})
	})
	r.push("shop/web", "v1", content)
	r.want(200, "", r.do("GET", "/v2/shop/web/blobs/"+d.String(), nil))
	r.directory.copied(parse(t, "shop/web"), parse(t, "b/app"), "v1", digest.FromBytes(content))
	r.want(200, "", r.do("GET", "/v2/b/app/manifests/v1", nil))
	r.want(404, "", r.do("GET", "/v2/b/app/blobs/"+d.String(), nil))
}

// TestChildrenOfUpstream holds that a push links manifests with all of their parts that
// the stream refers to in another registry, as if they had been pushed.
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
	r.upstream.failure = ociregistry.NewError(ociregistry.CodeUnavailable, "upstream is gone")
	for _, tag := range []string{"by-" + digestOf(child)[7:17], "by-" + digestOf(inner)[7:17]} {
		r.want(202, "", r.do(http.MethodDelete, "/v2/shop/web/manifests/"+tag, nil))
	}
	for _, path := range []string{"manifests/" + digestOf(inner), "manifests/" + digestOf(child), "blobs/" + digestOf(layer), "blobs/" + digestOf(config)} {
		r.want(200, "", r.do("GET", "/v2/shop/web/"+path, nil))
	}

	// What cannot be had now is tried again, what the other registry does not have is left out.
	r.imported(t, "shop/web", "other", index(t, []byte(`{"schemaVersion":2}`)))
	other := index(t, index(t, []byte(`{"schemaVersion":2}`)))
	r.want(503, ociregistry.CodeUnavailable, r.put("shop/web", "v2", other))
	r.upstream.failure = nil
	r.push("shop/web", "v2", other)
}

// TestManifestsAsBlobs holds that the bytes of a manifest which were uploaded as a blob
// grant none of its parts, also once it is pushed.
func TestManifestsAsBlobs(t *testing.T) {
	r := start(t)
	secret := digest.FromString("layer of secret")
	r.push("a/app", "v1", r.image("a/app", "secret"))
	m := r.image("b/app", "there", func(m *ocispec.Manifest) {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar", Digest: secret, Size: 15})
	})
	r.pushBlob("b/app", m)
	r.want(404, "", r.do("GET", "/v2/b/app/manifests/"+digestOf(m), nil))
	r.want(404, "", r.do("GET", "/v2/b/app/blobs/"+secret.String(), nil))
	r.push("b/app", "v1", m)
	r.want(404, "", r.do("GET", "/v2/b/app/blobs/"+secret.String(), nil))
}

// TestSparsePushesOfTheSameManifest holds that what one tenant lacks is no business of
// another who pushes the same manifest whole, in either order, also where it is copied.
func TestSparsePushesOfTheSameManifest(t *testing.T) {
	for name, wholeFirst := range map[string]bool{"whole first": true, "sparse first": false} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			child := r.image("whole/app", "child")
			r.push("whole/app", digestOf(child), child)
			list := index(t, child)
			if wholeFirst {
				r.push("whole/app", "v1", list)
				r.push("sparse/app", "v1", list)
			} else {
				r.push("sparse/app", "v1", list)
				r.push("whole/app", "v1", list)
			}
			for repo, status := range map[string]int{"whole/app": 200, "sparse/app": 404, "whole/copy": 200, "sparse/copy": 404} {
				namespace, stream, _ := bytes.Cut([]byte(repo), []byte("/"))
				if string(stream) == "copy" {
					r.directory.copied(parse(t, string(namespace)+"/app"), parse(t, repo), "v1", digest.FromBytes(list))
				}
				r.want(200, "", r.do("GET", "/v2/"+repo+"/manifests/v1", nil))
				r.want(status, "", r.do("GET", "/v2/"+repo+"/manifests/"+digestOf(child), nil))
				r.want(status, "", r.do("GET", "/v2/"+repo+"/blobs/"+digest.FromString("layer of child").String(), nil))
			}
		})
	}
}

// TestImagesAreCorrected holds that a manifest which was fetched corrects the Image that
// says something else of it, and what the registry reads by it.
func TestImagesAreCorrected(t *testing.T) {
	for name, wrong := range map[string]func(*ociregistry.Image){
		"another layer": func(i *ociregistry.Image) {
			i.Blobs = []ociregistry.Part{{Digest: digest.FromString("made up"), Size: 7}}
		},
		"a claim": func(i *ociregistry.Image) { i.Claimed = true },
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			layer, config := []byte("a layer"), []byte(`{"os":"linux"}`)
			content := encode(t, ocispec.Manifest{
				Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
				Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))},
				Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(layer), Size: int64(len(layer))}},
			})
			m := digest.FromBytes(content)
			r.upstream.manifests[m] = content
			r.upstream.blobs[digest.FromBytes(layer)], r.upstream.blobs[digest.FromBytes(config)] = layer, config
			r.imported(t, "shop/web", "v1", content)
			wrong(r.directory.images[m])
			r.want(200, "", r.do("GET", "/v2/shop/web/manifests/v1", nil))
			if want := []string{"quay.example/a/b@" + m.String()}; !slices.Equal(r.directory.corrected, want) {
				t.Errorf("corrected %v, want %v", r.directory.corrected, want)
			}
			r.want(200, "", r.do("GET", "/v2/shop/web/blobs/"+digestOf(layer), nil))
			r.want(404, "", r.do("GET", "/v2/shop/web/blobs/"+digest.FromString("made up").String(), nil))
			r.want(200, "", r.do("GET", "/v2/shop/web/manifests/v1", nil))
			if len(r.directory.corrected) != 1 {
				t.Errorf("what was right was corrected: %v", r.directory.corrected)
			}
		})
	}
}
