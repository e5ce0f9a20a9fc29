package ociregistry_test

import (
	"context"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// choosy has content only where a source is among those that are asked.
type choosy struct {
	*outside
	host string
}

func (c choosy) Manifest(ctx context.Context, w ociregistry.Wanted) ([]byte, string, error) {
	for _, s := range w.Sources {
		if s.Ref.Registry == c.host {
			return c.outside.Manifest(ctx, w)
		}
	}
	return nil, "", ociregistry.NewError(ociregistry.CodeManifestUnknown, "it is not there")
}

// TestAllImagesCount holds that a manifest of two imported lists is fetched from the
// registries of both, whichever of the lists is in memory.
func TestAllImagesCount(t *testing.T) {
	upstream := choosy{newOutside(), "two.example"}
	r := start(t, func(o *ociregistry.Options) { o.Upstream = upstream })
	child := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	upstream.manifests[digest.FromBytes(child)] = child
	from := func(host string) ociregistry.Source {
		return ociregistry.Source{Ref: reference.PullSpec{Registry: host, Namespace: "x", Name: "y"}}
	}
	first := index(t, child)
	second := index(t, child, []byte(`{}`))
	path := "/v2/b/app/manifests/"
	r.directory.imported(parse(t, "b/app"), "one", first, from("one.example"))
	r.want(404, "", r.do("GET", path+digestOf(child), nil)) // has the first list in memory
	r.directory.imported(parse(t, "b/app"), "two", second, from("two.example"))
	r.want(200, "", r.do("GET", path+digestOf(child), nil))
}
