package ociregistry_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"strings"
	"sync/atomic"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
)

// TestPushesAreRecorded holds what the directory receives of a push, and that it receives nothing
// of a refused one.
func TestPushesAreRecorded(t *testing.T) {
	r := start(t)
	content := r.image("shop/web", "one")
	d := digestOf(content)
	r.want(400, ociregistry.CodeManifestInvalid, r.put("shop/web", "v1", content, header("Content-Type", "text/plain")))
	r.want(400, ociregistry.CodeDigestInvalid, r.put("shop/web", digest.FromString("other").String(), content))
	r.want(400, ociregistry.CodeTagInvalid, r.put("shop/web", d+"?tag=ok&tag=-bad", content))
	many := "?tag=x"
	for i := range 200 {
		many += fmt.Sprintf("&tag=x%d", i)
	}
	r.want(414, ociregistry.CodeTagInvalid, r.put("shop/web", d+many, content))
	if len(r.directory.pushes) > 0 {
		t.Fatalf("refused pushes are recorded: %+v", r.directory.pushes)
	}
	for i, c := range []struct {
		reference string
		tags      []string
	}{
		{"v1", []string{"v1"}}, {d, nil}, {d + "?tag=a&tag=b&tag=a", []string{"a", "b"}}, {"one?tag=two&tag=one", []string{"one", "two"}},
	} {
		r.push("shop/web", c.reference, content)
		push := r.directory.pushes[i]
		if push.Repository.Key() != "shop/web" || push.User.GetName() != "admin" || !slices.Equal(push.Tags, c.tags) {
			t.Errorf("%s is recorded in %s by %s with the tags %v", c.reference, push.Repository.Key(), push.User.GetName(), push.Tags)
		}
		if push.Digest.String() != d || push.MediaType != ocispec.MediaTypeImageManifest || !bytes.Equal(push.Manifest, content) {
			t.Errorf("%s is recorded as %s of %s: %s", c.reference, push.Digest, push.MediaType, push.Manifest)
		}
		if !strings.Contains(string(push.Config), `"seed":"one"`) {
			t.Errorf("%s is recorded with the configuration %s", c.reference, push.Config)
		}
	}
}

// TestManifestsWithTwoMeanings: a manifest in which another reader finds other parts is
// refused, although all the parts that any reader finds are there.
func TestManifestsWithTwoMeanings(t *testing.T) {
	r := start(t)
	image := r.image("shop/web", "one")
	list := index(t, image)
	r.push("shop/web", "v1", image)
	r.push("shop/web", "v2", list)
	type spelling struct{ content, before, member string }
	for _, s := range []spelling{
		{string(image), "{", `"blobs":[]`},
		{string(image), "{", `"fsLayers":[]`},
		{string(image), "{", `"manifests":[]`},
		{string(image), "{", `"Layers":[]`},
		{string(image), "{", `"layers":[]`},
		{string(image), "{", `"layer\u017f":[]`},
		{string(image), "{", `"layerſ":[]`},
		{string(image), "{", `"Config":null`},
		{string(image), "{", `"Manifests":[]`},
		{string(image), "{", `"Blobs":[]`},
		{string(image), "{", `"annotations":{"a":"1","a":"2"}`},
		{string(image), `"layers":[{`, `"Digest":""`},
		{string(image), `"layers":[{`, `"digest":""`},
		{string(image), `"config":{`, `"Digest":""`},
		{string(image), `"config":{`, `"ſize":1`},
		{string(list), "{", `"blobs":[]`},
		{string(list), "{", `"fsLayers":[]`},
		{string(list), "{", `"layers":[]`},
		{string(list), "{", `"config":null`},
		{string(list), "{", `"Layers":[]`},
		{string(list), "{", `"layerſ":[]`},
		{string(list), "{", `"Manifests":[]`},
		{string(list), "{", `"manifests":[]`},
		{string(list), "{", `"Config":null`},
		{string(list), `"manifests":[{`, `"Digest":""`},
		{string(list), `"manifests":[{`, `"platform":{"OS":"linux"}`},
	} {
		t.Run(s.before+s.member, func(t *testing.T) {
			content := strings.Replace(s.content, s.before, s.before+s.member+",", 1)
			if content == s.content {
				t.Fatalf("%s is not in %s", s.before, s.content)
			}
			got := r.put("shop/web", "v3", []byte(content), header("Content-Type", mediaTypeIn([]byte(s.content))))
			if got.status != 400 || !slices.Equal(errorCodes(t, got), []ociregistry.Code{ociregistry.CodeManifestInvalid}) {
				t.Errorf("the answer is %d: %s", got.status, got.body)
			}
			if got := r.do("GET", "/v2/shop/web/manifests/"+digestOf([]byte(content)), nil); got.status != 404 {
				t.Errorf("it can be read: %d", got.status)
			}
		})
	}
}

// TestMissingPartsAreBounded holds that the answer lists the missing parts, up to a bound.
func TestMissingPartsAreBounded(t *testing.T) {
	r := start(t)
	for missing, codes := range map[int]int{12: 12, 20_000: 101} {
		content := r.image("shop/web", "one", func(m *ocispec.Manifest) {
			for i := range missing {
				m.Layers = append(m.Layers, ocispec.Descriptor{
					MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(fmt.Sprint("missing", i)), Size: 5,
				})
			}
		})
		got := r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("shop/web", "v1", content))
		if n := len(errorCodes(t, got)); n != codes || len(got.body) > 32<<10 {
			t.Errorf("the answer lists %d of %d missing layers in %d bytes, want %d", n, missing, len(got.body), codes)
		}
	}
}

func TestSparse(t *testing.T) {
	for sparse, want := range map[ociregistry.Sparse]struct{ layer, child int }{
		"":                        {404, 201},
		ociregistry.SparseIndexes: {404, 201},
		ociregistry.SparseAll:     {201, 201},
		ociregistry.SparseNone:    {404, 404},
	} {
		t.Run(string(sparse), func(t *testing.T) {
			r := start(t, func(o *ociregistry.Options) { o.Sparse = sparse })
			image := r.image("shop/web", "one")
			lacking := r.image("shop/web", "one", func(m *ocispec.Manifest) { m.Layers[0].Digest = digest.FromString("missing") })
			r.want(want.layer, "", r.put("shop/web", "v1", lacking))
			r.want(want.child, "", r.put("shop/web", "v2", index(t, image)))
			r.push("shop/web", digest.FromBytes(image).String(), image)
			r.push("shop/web", "v3", index(t, image))
		})
	}
}

// TestData holds that a blob which the manifest brings along need not be uploaded, if it
// is what its descriptor says.
func TestData(t *testing.T) {
	r := start(t)
	content := func(data string) []byte {
		return []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":{"mediaType":"application/vnd.oci.empty.v1+json",` +
			`"digest":"` + digest.FromString("{}").String() + `","size":2,"data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"}}`)
	}
	for _, wrong := range []string{"[]", "", "{}{}"} {
		r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("shop/web", "v1", content(wrong)))
	}
	r.push("shop/web", "v1", content("{}"))
	if got := r.want(200, "", r.do("GET", "/v2/shop/web/blobs/"+digest.FromString("{}").String(), nil)); string(got.body) != "{}" {
		t.Errorf("the blob is %q", got.body)
	}
}

// TestPartsOfStreams holds that a manifest may use what another image of the stream has,
// and that it then keeps it.
func TestPartsOfStreams(t *testing.T) {
	r := start(t)
	base := r.image("a/base", "base")
	r.push("a/base", "v1", base)
	r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("b/app", "v1", base))
	r.directory.copied(parse(t, "a/base"), parse(t, "b/app"), "base", digest.FromBytes(base))
	r.push("b/app", digest.FromBytes(base).String(), base)
	// The image goes; what was pushed stays whole.
	r.want(202, "", r.do("DELETE", "/v2/b/app/manifests/base", nil))
	r.want(200, "", r.do("GET", "/v2/b/app/manifests/"+digest.FromBytes(base).String(), nil))
	r.want(200, "", r.do("GET", "/v2/b/app/blobs/"+digest.FromString("layer of base").String(), nil))
}

// TestPartsOfUpstream holds that a layer which the client left out because it is readable
// through another registry is fetched before the push is acknowledged.
func TestPartsOfUpstream(t *testing.T) {
	for name, mirror := range map[string]bool{"kept": true, "not to be kept": false} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			layer := bytesOf(100_000, 9)
			d := digest.FromBytes(layer)
			r.upstream.blobs[d], r.upstream.keep = layer, r.store.Put
			r.imported(t, "shop/web", "base", []byte(`{"layers":[{"digest":"`+d.String()+`","size":100000}]}`))
			r.setMirror("shop/web", mirror)
			add := func(size int64) func(*ocispec.Manifest) {
				return func(m *ocispec.Manifest) {
					m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: size})
				}
			}
			r.want(400, ociregistry.CodeManifestInvalid, r.put("shop/web", "v1", r.image("shop/web", "one", add(5))))
			if r.upstream.fetched[d] != 0 {
				t.Error("the layer was fetched for its size, which the stream knows")
			}
			r.push("shop/web", "v1", r.image("shop/web", "one", add(100_000)))
			_, err := r.store.Stat(t.Context(), d)
			if (err == nil) != mirror {
				t.Errorf("after the push the store says of the layer: %v", err)
			}
			if mirror {
				r.want(202, "", r.do("DELETE", "/v2/shop/web/manifests/base", nil))
				r.upstream.failure = errors.New("upstream is gone")
			}
			if got := r.want(200, "", r.do("GET", "/v2/shop/web/blobs/"+d.String(), nil)); !bytes.Equal(got.body, layer) {
				t.Error("the layer is other content")
			}
		})
	}
	r := start(t)
	d := digest.FromString("unreachable")
	r.imported(t, "shop/web", "base", []byte(`{"layers":[{"digest":"`+d.String()+`","size":11}]}`))
	r.upstream.failure = ociregistry.NewError(ociregistry.CodeUnavailable, "upstream is away")
	content := r.image("shop/web", "one", func(m *ocispec.Manifest) { m.Layers[0] = ocispec.Descriptor{Digest: d, Size: 11} })
	r.want(503, ociregistry.CodeUnavailable, r.put("shop/web", "v1", content))
}

func TestRecordRefused(t *testing.T) {
	r := start(t)
	content := r.image("shop/web", "one")
	r.directory.refuse = ociregistry.NewError(ociregistry.CodeDenied, "exceeded quota: images")
	got := r.want(403, ociregistry.CodeDenied, r.put("shop/web", "v1", content))
	if !strings.Contains(string(got.body), "exceeded quota") {
		t.Errorf("the answer is %s", got.body)
	}
	r.want(404, ociregistry.CodeNameUnknown, r.do("GET", "/v2/shop/web/manifests/v1", nil))
	withSubject := r.image("shop/web", "two", func(m *ocispec.Manifest) {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(content), Size: 1}
	})
	r.want(403, ociregistry.CodeDenied, r.put("shop/web", "v2", withSubject))
	if all := r.referrers("shop/web", digest.FromBytes(content), ""); len(all) != 0 {
		t.Errorf("what was refused is a referrer: %v", all)
	}
}

// TestAbsentPartsAreBounded holds that a manifest cannot have storage look for any number of parts
// that may be absent.
func TestAbsentPartsAreBounded(t *testing.T) {
	counting := &countingReads{StorageDriver: inmemory.New()}
	r := startWith(t, counting)
	r.push("shop/web", "few", wide(1000, "few"))
	counting.lists.Store(0)
	many := wide(20_000, "many")
	got := r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("shop/web", "many", many))
	if n := counting.lists.Load(); n > 10_000 {
		t.Errorf("%d folders of storage were listed", n)
	}
	if !strings.Contains(string(got.body), "more than 1000 parts") {
		t.Errorf("the answer is %s", got.body)
	}
}

// countingReads counts the folders that are listed.
type countingReads struct {
	storagedriver.StorageDriver
	lists atomic.Int64
}

func (c *countingReads) List(ctx context.Context, path string) ([]string, error) {
	c.lists.Add(1)
	return c.StorageDriver.List(ctx, path)
}
