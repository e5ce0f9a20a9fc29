package ociregistry_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
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

func TestReferrers(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		subject := digest.FromString("need not exist")
		if all := r.referrers("shop/web", subject, ""); len(all) != 0 {
			t.Errorf("of nothing there are %v", all)
		}
		refer := func(m *ocispec.Manifest) {
			m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 7}
			m.Annotations = map[string]string{"org.example": "yes"}
		}
		sbom := r.image("shop/web", "sbom", refer, func(m *ocispec.Manifest) { m.ArtifactType = "application/vnd.example.sbom" })
		plain := r.image("shop/web", "plain", refer)
		var list ocispec.Index
		if err := json.Unmarshal(index(t), &list); err != nil {
			t.Fatal(err)
		}
		list.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 7}
		bundle := encode(t, list)
		list.ArtifactType = "application/vnd.example.bundle"
		typed := encode(t, list)

		types := map[string]string{}
		for i, c := range []struct {
			content      []byte
			artifactType string
		}{
			{sbom, "application/vnd.example.sbom"}, {plain, ocispec.MediaTypeImageConfig},
			{bundle, ""}, {typed, "application/vnd.example.bundle"},
		} {
			reference := digest.FromBytes(c.content).String()
			if i == 0 {
				reference = "tagged"
			}
			made := r.push("shop/web", reference, c.content)
			if made.header.Get("OCI-Subject") != subject.String() {
				t.Errorf("OCI-Subject is %q", made.header.Get("OCI-Subject"))
			}
			types[digest.FromBytes(c.content).String()] = c.artifactType
		}
		all := r.referrers("shop/web", subject, "")
		if len(all) != 4 || !slices.IsSortedFunc(all, func(a, b ocispec.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) }) {
			t.Fatalf("the list is %v", all)
		}
		for _, d := range all {
			if want := types[d.Digest.String()]; d.ArtifactType != want || d.Size == 0 || d.MediaType == "" {
				t.Errorf("%+v should be of %q", d, want)
			}
			if d.MediaType == ocispec.MediaTypeImageManifest && d.Annotations["org.example"] != "yes" {
				t.Errorf("%+v lacks its annotations", d)
			}
		}
		filtered := r.referrers("shop/web", subject, "?artifactType=application/vnd.example.sbom")
		if len(filtered) != 1 || filtered[0].Digest != digest.FromBytes(sbom) {
			t.Errorf("of one type there are %v", filtered)
		}
		if none := r.referrers("shop/web", subject, "?artifactType=application/none"); len(none) != 0 {
			t.Errorf("of no type there are %v", none)
		}
		if elsewhere := r.referrers("shop/other", subject, ""); len(elsewhere) != 0 {
			t.Errorf("elsewhere there are %v", elsewhere)
		}
		r.want(400, ociregistry.CodeDigestInvalid, r.do("GET", "/v2/shop/web/referrers/sha256:x", nil))
		r.want(400, ociregistry.CodeDigestInvalid, r.do("GET", "/v2/shop/web/referrers/latest", nil))

		r.want(202, "", r.do("DELETE", "/v2/shop/web/manifests/"+digest.FromBytes(sbom).String(), nil))
		if all := r.referrers("shop/web", subject, ""); len(all) != 3 {
			t.Errorf("after one is deleted there are %v", all)
		}
	})
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
