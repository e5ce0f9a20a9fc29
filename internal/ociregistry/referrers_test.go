package ociregistry_test

import (
	"encoding/json"
	"slices"

	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (r *registry) referrers(repo string, subject digest.Digest, filter string) []ocispec.Descriptor {
	r.t.Helper()
	got := r.want(200, "", r.do("GET", "/v2/"+repo+"/referrers/"+subject.String()+filter, nil))
	var list ocispec.Index
	if err := json.Unmarshal(got.body, &list); err != nil {
		r.t.Fatal(err)
	}
	if got.header.Get("Content-Type") != ocispec.MediaTypeImageIndex || list.MediaType != ocispec.MediaTypeImageIndex ||
		list.SchemaVersion != 2 || list.Manifests == nil {
		r.t.Fatalf("the list is %s of %s", got.body, got.header.Get("Content-Type"))
	}
	if applied := got.header.Get("OCI-Filters-Applied"); (applied == "artifactType") != (filter != "") {
		r.t.Fatalf("OCI-Filters-Applied is %q for %q", applied, filter)
	}
	return list.Manifests
}

// TestTaggedReferrers holds that lists which clients kept in a tag count, as far as what
// they list says so itself.
func TestTaggedReferrers(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		r := start(t)
		subject := algorithm.FromString("subject")
		refer := func(to digest.Digest) func(*ocispec.Manifest) {
			return func(m *ocispec.Manifest) {
				m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: to, Size: 7}
				m.ArtifactType = "application/vnd.example.old"
			}
		}
		old := r.image("shop/web", "old", refer(subject))
		liar := r.image("shop/web", "liar", refer(digest.FromString("another")))
		known := r.image("shop/web", "known", refer(subject))
		for _, m := range [][]byte{old, liar, known} {
			r.push("shop/web", digest.FromBytes(m).String(), m)
		}
		tag := algorithm.String() + "-" + subject.Encoded()[:64]
		r.push("shop/web", tag, index(t, old, liar, known, []byte("nowhere")))
		// What was pushed before there was a list has no entry of its own.
		if err := r.store.RemoveReferrer(t.Context(), "shop/web", subject, digest.FromBytes(old)); err != nil {
			t.Fatal(err)
		}
		all := r.referrers("shop/web", subject, "")
		var names []string
		for _, d := range all {
			names = append(names, d.Digest.String())
			if d.ArtifactType != "application/vnd.example.old" {
				t.Errorf("%+v has another type", d)
			}
		}
		want := []string{digest.FromBytes(old).String(), digest.FromBytes(known).String()}
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("the list is %v, not %v", names, want)
		}
		// A tag that only looks like it is no list.
		r.push("shop/web", tag, liar)
		if all := r.referrers("shop/web", subject, ""); len(all) != 1 {
			t.Errorf("with another tag the list is %v", all)
		}
	}
}
