package ociregistry_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
)

// missingLine is a line of the answer to GET /admin/missing.
type missingLine struct {
	Repository  string
	Tags        []string
	Image       digest.Digest
	LinkMissing bool
	DataMissing []digest.Digest
	Images      int
	Missing     int
}

// missing is the answer of a process that starts over the same streams and storage, and has
// nothing in memory.
func (r *registry) missing(t *testing.T) (found []missingLine, sum missingLine) {
	t.Helper()
	fresh := startWith(t, r.driver, func(o *ociregistry.Options) { o.Directory = r.directory })
	reply := fresh.want(200, "", fresh.do("GET", "/admin/missing", nil))
	for line := range bytes.Lines(reply.body) {
		var l missingLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		found = append(found, l)
	}
	if len(found) == 0 {
		t.Fatal("the answer has no summary")
	}
	return found[:len(found)-1], found[len(found)-1]
}

// TestMissing holds that content which storage lost is listed, and nothing else is: not
// what another registry has, nor the manifests that a sparse index names.
func TestMissing(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		one, two := r.image("shop/web", "one"), r.image("shop/web", "two")
		r.push("shop/web", "one", one)
		r.push("shop/web", "two", two)
		both := index(t, one, two)
		r.push("shop/web", "both", both)
		r.imported(t, "shop/web", "elsewhere", encode(t, map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}))
		r.directory.copied(parse(t, "shop/web"), parse(t, "shop/copy"), "live", digest.FromBytes(one))
		want := func(what string, want ...missingLine) {
			t.Helper()
			found, sum := r.missing(t)
			same := slices.EqualFunc(found, want, func(a, b missingLine) bool {
				return a.Repository == b.Repository && a.Image == b.Image && a.LinkMissing == b.LinkMissing &&
					slices.Equal(a.Tags, b.Tags) && slices.Equal(a.DataMissing, b.DataMissing)
			})
			if !same || sum.Images != 4 || sum.Missing != len(want) {
				t.Errorf("%s: found %+v, summary %+v; want %+v", what, found, sum, want)
			}
		}
		want("nothing is lost")

		layer := digest.FromString("layer of one")
		if err := r.store.Delete(t.Context(), layer); err != nil {
			t.Fatal(err)
		}
		lost := func(repo, tag string, m []byte, parts ...digest.Digest) missingLine {
			return missingLine{Repository: repo, Tags: []string{tag}, Image: digest.FromBytes(m), DataMissing: parts}
		}
		want("a layer is lost", lost("shop/copy", "live", one, layer), lost("shop/web", "both", both, layer), lost("shop/web", "one", one, layer))

		d := digest.FromBytes(two)
		if err := r.store.Delete(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		want("a manifest is lost", lost("shop/copy", "live", one, layer), lost("shop/web", "both", both, layer, d),
			lost("shop/web", "two", two, d), lost("shop/web", "one", one, layer))

		if err := r.driver.Delete(t.Context(), "/docker/registry/v2/repositories/shop"); err != nil {
			t.Fatal(err)
		}
		noLink := func(repo, tag string, m []byte) missingLine {
			return missingLine{Repository: repo, Tags: []string{tag}, Image: digest.FromBytes(m), LinkMissing: true}
		}
		want("all links are lost", noLink("shop/copy", "live", one), noLink("shop/web", "both", both), noLink("shop/web", "two", two), noLink("shop/web", "one", one))
	})
}

func TestMissingOfSparseIndexes(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) { o.Sparse = ociregistry.SparseAll })
	r.push("shop/web", "sparse", index(t, []byte(`{"never":"pushed"}`)))
	if found, _ := r.missing(t); len(found) > 0 {
		t.Errorf("found %+v, want nothing: the manifest was never pushed", found)
	}
	// The manifests behind an absent one are looked for all the same.
	one := r.image("shop/web", "one")
	r.push("shop/web", digest.FromBytes(one).String(), one)
	r.push("shop/web", "partial", index(t, []byte(`{"never":"pushed"}`), one))
	layer := digest.FromString("layer of one")
	if err := r.store.Delete(t.Context(), layer); err != nil {
		t.Fatal(err)
	}
	found, _ := r.missing(t)
	if !slices.ContainsFunc(found, func(l missingLine) bool {
		return slices.Equal(l.Tags, []string{"partial"}) && slices.Equal(l.DataMissing, []digest.Digest{layer})
	}) {
		t.Errorf("found %+v, want the layer of the manifest that is there", found)
	}
}

func TestMissingIsForAdministrators(t *testing.T) {
	r := start(t)
	r.want(401, ociregistry.CodeUnauthorized, r.do("GET", "/admin/missing", nil, as("guest")))
	r.access.allowed["reader get registry/content"] = true
	if got := r.want(200, "", r.do("GET", "/admin/missing", nil, as("reader"))); !strings.Contains(string(got.body), `"images":0`) {
		t.Errorf("the answer is %q", got.body)
	}
}
