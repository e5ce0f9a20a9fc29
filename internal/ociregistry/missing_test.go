package ociregistry_test

import (
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
)

// TestNamingOpensNothing holds that a manifest which names what its repository need not
// have does not make that readable, be it there already or come later, to others.
func TestNamingOpensNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		secret := r.image("a/app", "secret")
		layer := digest.FromString("layer of secret")
		r.push("a/app", "v1", secret)
		later := []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`)
		opens := func(path string) int { return r.do("GET", "/v2/b/app/"+path, nil).status }

		r.push("b/app", "list", index(t, secret, later))
		r.push("b/app", "foreign", r.image("b/app", "mine", func(m *ocispec.Manifest) {
			m.Layers = append(m.Layers, ocispec.Descriptor{
				MediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar", Digest: layer, Size: 15,
			})
		}))
		r.push("a/app", digestOf(later), later)
		for _, path := range []string{
			"manifests/" + digestOf(secret), "blobs/" + digestOf(secret), "manifests/" + digestOf(later), "blobs/" + layer.String(),
		} {
			if got := opens(path); got != 404 {
				t.Errorf("%s is %d", path, got)
			}
		}
		// Who has it may push it, and then reads it.
		r.image("b/app", "secret")
		r.push("b/app", digestOf(secret), secret)
		if got := opens("manifests/" + digestOf(secret)); got != 200 {
			t.Errorf("what was pushed is %d", got)
		}
	})
}

// TestWholeElsewhere holds that a list which others pushed whole is not taken from
// somebody who lacks its manifests: they would get them with it.
func TestWholeElsewhere(t *testing.T) {
	r := start(t)
	child := r.image("a/app", "child")
	list := index(t, child)
	r.push("a/app", digestOf(child), child)
	r.push("a/app", "v1", list)
	r.want(404, ociregistry.CodeManifestBlobUnknown, r.put("b/app", "v1", list))
	r.want(404, "", r.do("GET", "/v2/b/app/manifests/"+digestOf(child), nil))
	r.image("b/app", "child")
	r.push("b/app", digestOf(child), child)
	r.push("b/app", "v1", list)
}

// TestDeletedChild holds that a manifest which was deleted is gone where it was deleted,
// though a list there still names it, and is not where that list was tagged to.
func TestDeletedChild(t *testing.T) {
	r := start(t)
	child := r.image("a/app", "child")
	list := index(t, child)
	r.push("a/app", digestOf(child), child)
	r.push("a/app", "v1", list)
	r.tag(t, "b/app", "v1", list)
	r.want(200, "", r.do("GET", "/v2/b/app/manifests/"+digestOf(child), nil))
	r.want(202, "", r.do("DELETE", "/v2/a/app/manifests/"+digestOf(child), nil))
	r.want(404, ociregistry.CodeManifestUnknown, r.do("GET", "/v2/a/app/manifests/"+digestOf(child), nil))
	r.want(200, "", r.do("GET", "/v2/a/app/manifests/v1", nil))
	r.want(200, "", r.do("GET", "/v2/b/app/manifests/"+digestOf(child), nil))
}
