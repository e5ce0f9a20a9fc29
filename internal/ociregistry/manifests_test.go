package ociregistry_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
)

func TestManifest(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		content := r.image("shop/web", "one")
		// Stored byte for byte, whatever else stands in it.
		content = bytes.Replace(content, []byte("{"), []byte("{ \n\t\"org.example.unknown\" : [ 1 ] ,"), 1)
		d := digest.FromBytes(content).String()
		made := r.push("shop/web", "v1", content)
		if made.header.Get("Location") != "/v2/shop/web/manifests/"+d || made.header.Get("Docker-Content-Digest") != d || made.header.Get("OCI-Subject") != "" {
			t.Errorf("the answer has %v", made.header)
		}
		for reference, cached := range map[string]string{"v1": "no-cache", d: "private, max-age=31536000, immutable"} {
			path := "/v2/shop/web/manifests/" + reference
			for _, accept := range []string{"", "*/*", "application/vnd.docker.distribution.manifest.v2+json", ocispec.MediaTypeImageManifest} {
				got := r.want(200, "", r.do("GET", path, nil, header("Accept", accept)))
				head := r.want(200, "", r.do("HEAD", path, nil, header("Accept", accept)))
				if !bytes.Equal(got.body, content) || len(head.body) > 0 {
					t.Errorf("GET %s with Accept %q is %q", reference, accept, got.body)
				}
				for name, want := range map[string]string{
					"Content-Type": ocispec.MediaTypeImageManifest, "Content-Length": strconv.Itoa(len(content)),
					"Docker-Content-Digest": d, "Etag": `"` + d + `"`, "Cache-Control": cached,
				} {
					if got.header.Get(name) != want || head.header.Get(name) != want {
						t.Errorf("%s of %s is %q and %q, not %q", name, reference, got.header.Get(name), head.header.Get(name), want)
					}
				}
			}
			for _, tag := range []string{d, `"` + d + `"`, `"x", W/"` + d + `"`} {
				r.want(304, "", r.do("GET", path, nil, header("If-None-Match", tag)))
			}
			r.want(200, "", r.do("GET", path, nil, header("If-None-Match", `"other"`)))
		}
		push := r.directory.pushes[0]
		if push.Repository.Key() != "shop/web" || push.User.GetName() != "admin" || !slices.Equal(push.Tags, []string{"v1"}) ||
			push.Digest.String() != d || push.MediaType != ocispec.MediaTypeImageManifest || !bytes.Equal(push.Manifest, content) ||
			!strings.Contains(string(push.Config), `"seed":"one"`) {
			t.Errorf("the stream was told of %+v", push)
		}
	})
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

func TestManifestByDigest(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		content := r.image("shop/web", "one")
		for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
			d := algorithm.FromBytes(content).String()
			made := r.push("shop/web", d, content)
			if made.header.Get("Docker-Content-Digest") != d || made.header.Get("OCI-Tag") != "" {
				t.Errorf("the answer has %v", made.header)
			}
			// Readable before any tag leads to it, but only there.
			if got := r.want(200, "", r.do("GET", "/v2/shop/web/manifests/"+d, nil)); !bytes.Equal(got.body, content) {
				t.Error("it is other content")
			}
			r.want(404, "", r.do("GET", "/v2/shop/other/manifests/"+d, nil))
		}
		if push := r.directory.pushes[0]; len(push.Tags) != 0 {
			t.Errorf("the stream was told of %v", push.Tags)
		}
		r.want(400, ociregistry.CodeDigestInvalid, r.put("shop/web", digest.FromString("other").String(), content))
		r.want(400, ociregistry.CodeDigestInvalid, r.put("shop/web", digest.SHA512.FromString("other").String(), content))
		r.want(400, ociregistry.CodeDigestInvalid, r.put("shop/web", "sha256:abc", content))
	})
}

func TestManifestTags(t *testing.T) {
	r := start(t)
	content := r.image("shop/web", "one")
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		d := algorithm.FromBytes(content).String()
		var tags []string
		query := "?"
		for i := range 12 {
			tags = append(tags, fmt.Sprintf("%s-%02d", algorithm, i))
			query += "tag=" + tags[i] + "&"
		}
		made := r.push("shop/web", d+query+"tag="+tags[3], content)
		if !slices.Equal(made.header.Values("OCI-Tag"), tags) {
			t.Errorf("OCI-Tag is %v", made.header.Values("OCI-Tag"))
		}
		for _, tag := range tags {
			if got := r.want(200, "", r.do("HEAD", "/v2/shop/web/manifests/"+tag, nil)); got.header.Get("Docker-Content-Digest") != d {
				t.Errorf("%s is %s", tag, got.header.Get("Docker-Content-Digest"))
			}
		}
	}
	made := r.push("shop/web", "one?tag=two", content)
	if !slices.Equal(made.header.Values("OCI-Tag"), []string{"two"}) {
		t.Errorf("OCI-Tag is %v", made.header.Values("OCI-Tag"))
	}
	r.want(200, "", r.do("GET", "/v2/shop/web/manifests/one", nil))
	r.want(200, "", r.do("GET", "/v2/shop/web/manifests/two", nil))
	r.want(400, ociregistry.CodeTagInvalid, r.put("shop/web", digest.FromBytes(content).String()+"?tag=ok&tag=-bad", content))
	r.want(404, "", r.do("GET", "/v2/shop/web/manifests/ok", nil))
	many := "?tag=x"
	for i := range 200 {
		many += fmt.Sprintf("&tag=x%d", i)
	}
	r.want(414, ociregistry.CodeTagInvalid, r.put("shop/web", digest.FromBytes(content).String()+many, content))
}

func TestTagGrammar(t *testing.T) {
	r := start(t)
	content := r.image("shop/web", "one")
	for _, tag := range []string{"v1", "_x", "A.b-c_d", strings.Repeat("x", 128), "list"} {
		r.push("shop/web", tag, content)
		r.want(200, "", r.do("GET", "/v2/shop/web/manifests/"+tag, nil))
	}
	for _, tag := range []string{".x", "-x", "a+b", "a%20b", strings.Repeat("x", 129), "%C3%A9"} {
		r.want(400, ociregistry.CodeTagInvalid, r.put("shop/web", tag, content))
		for _, method := range []string{"GET", "HEAD", "DELETE"} {
			r.want(404, ociregistry.CodeManifestUnknown, r.do(method, "/v2/shop/web/manifests/"+tag, nil))
		}
	}
}

func TestManifestUnknown(t *testing.T) {
	r := start(t)
	r.want(404, ociregistry.CodeNameUnknown, r.do("GET", "/v2/shop/web/manifests/v1", nil))
	r.push("shop/web", "v1", r.image("shop/web", "one"))
	r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/shop/web/manifests/v2", nil))
	r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/shop/web/manifests/"+digest.FromString("x").String(), nil))
	r.want(400, ociregistry.CodeDigestInvalid, r.do("GET", "/v2/shop/web/manifests/sha256:x", nil))
	r.want(400, ociregistry.CodeNameInvalid, r.do("GET", "/v2/Shop/web/manifests/v1", nil))
	r.want(404, ociregistry.CodeNameUnknown, r.do("GET", "/v2/no.namespace/web/manifests/v1", nil))
	// A blob that is no manifest of the repository is none.
	d := r.pushBlob("shop/web", []byte(`{"schemaVersion":2}`))
	r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/shop/web/manifests/"+d.String(), nil))
}

func TestManifestLimits(t *testing.T) {
	r := start(t)
	content := r.image("shop/web", "one")
	sized := func(n int) []byte {
		return append(slices.Clone(content[:len(content)-1]), []byte(strings.Repeat(" ", n-len(content))+"}")...)
	}
	exact := sized(4 << 20)
	r.push("shop/web", "large", exact)
	r.push("shop/web", "large", exact, chunked)
	if got := r.want(200, "", r.do("GET", "/v2/shop/web/manifests/large", nil)); !bytes.Equal(got.body, exact) {
		t.Error("it is other content")
	}
	for _, options := range [][]option{nil, {chunked}} {
		r.want(413, ociregistry.CodeManifestInvalid, r.put("shop/web", "larger", sized(4<<20+1), options...))
	}
	r.want(404, "", r.do("GET", "/v2/shop/web/manifests/larger", nil))
}

func TestManifestRefused(t *testing.T) {
	r := start(t)
	content := r.image("shop/web", "one")
	r.want(400, ociregistry.CodeManifestInvalid, r.put("shop/web", "v1", content, header("Content-Type", ocispec.MediaTypeImageIndex)))
	r.want(400, ociregistry.CodeManifestInvalid, r.put("shop/web", "v1", content, header("Content-Type", "text/plain")))
	r.want(400, ociregistry.CodeManifestInvalid, r.do("PUT", "/v2/shop/web/manifests/v1", []byte("{"), header("Content-Type", ocispec.MediaTypeImageManifest)))
	r.want(400, ociregistry.CodeManifestInvalid, r.do("PUT", "/v2/shop/web/manifests/v1", nil, header("Content-Type", ocispec.MediaTypeImageManifest)))
	if len(r.directory.pushes) > 0 {
		t.Error("the stream was told of what was refused")
	}
	if n := len(r.want(404, ociregistry.CodeNameUnknown, r.do("GET", "/v2/shop/web/manifests/v1", nil)).body); n == 0 {
		t.Error("there is no error body")
	}
}

func TestManifestParts(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		missing := func(n int) func(*ocispec.Manifest) {
			return func(m *ocispec.Manifest) {
				for i := range n {
					m.Layers = append(m.Layers, ocispec.Descriptor{
						MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(fmt.Sprint("missing", i)), Size: 5,
					})
				}
			}
		}
		got := r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("shop/web", "v1", r.image("shop/web", "one", missing(12))))
		if codes := errorCodes(t, got); len(codes) != 12 {
			t.Errorf("%d of 12 missing layers are told of", len(codes))
		}
		got = r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("shop/web", "v1", r.image("shop/web", "one", missing(20_000))))
		if codes := errorCodes(t, got); len(codes) != 101 || len(got.body) > 32<<10 {
			t.Errorf("of 20000 missing layers %d are told of, with %d bytes", len(codes), len(got.body))
		}
		noConfig := r.image("shop/web", "one", func(m *ocispec.Manifest) { m.Config.Digest = digest.FromString("missing") })
		r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("shop/web", "v1", noConfig))
		// What only another repository has is missing.
		r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("shop/other", "v1", r.image("shop/web", "one")))

		size := r.image("shop/web", "one", func(m *ocispec.Manifest) { m.Layers[0].Size++ })
		r.want(400, ociregistry.CodeManifestInvalid, r.put("shop/web", "v1", size))
		configSize := r.image("shop/web", "one", func(m *ocispec.Manifest) { m.Config.Size-- })
		r.want(400, ociregistry.CodeManifestInvalid, r.put("shop/web", "v1", configSize))

		for _, foreign := range []string{
			"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
			"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
			"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
		} {
			r.push("shop/web", "foreign", r.image("shop/web", "one", missing(1), func(m *ocispec.Manifest) {
				m.Layers[1].MediaType, m.Layers[1].URLs = foreign, []string{"https://elsewhere.example"}
			}))
		}
		if len(r.directory.pushes) != 3 {
			t.Errorf("the stream was told of %d pushes", len(r.directory.pushes))
		}
		// An index may lack children.
		r.push("shop/web", "sparse", index(t, []byte("nowhere")))
		r.push("shop/web", "empty", index(t))
	})
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

func TestDeleteManifest(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		content := r.image("shop/web", "one")
		d := "/v2/shop/web/manifests/" + digest.FromBytes(content).String()
		r.push("shop/web", "v1", content)
		r.push("shop/web", "v2", content)

		r.want(202, "", r.do("DELETE", "/v2/shop/web/manifests/v1", nil))
		r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/shop/web/manifests/v1", nil))
		r.want(404, ociregistry.CodeManifestUnknown, r.do("DELETE", "/v2/shop/web/manifests/v1", nil))
		r.want(200, "", r.do("GET", "/v2/shop/web/manifests/v2", nil))
		r.want(200, "", r.do("GET", d, nil))

		r.want(202, "", r.do("DELETE", d, nil))
		r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", d, nil))
		r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/shop/web/manifests/v2", nil))
		r.want(404, ociregistry.CodeManifestUnknown, r.do("DELETE", d, nil))

		r.push("shop/web", digest.FromBytes(content).String(), content)
		r.want(202, "", r.do("DELETE", d, nil))
		r.want(404, "", r.do("GET", d, nil))

		// In a stream that was never made, too.
		other := "/v2/shop/other/manifests/" + digest.FromBytes(content).String()
		r.want(404, ociregistry.CodeNameUnknown, r.do("DELETE", other, nil))
		r.image("shop/other", "one")
		r.push("shop/other", digest.FromBytes(content).String(), content)
		r.want(202, "", r.do("DELETE", other, nil))
		r.want(404, ociregistry.CodeNameUnknown, r.do("GET", other, nil))
		r.want(400, ociregistry.CodeDigestInvalid, r.do("DELETE", "/v2/shop/web/manifests/sha256:x", nil))
	})
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
