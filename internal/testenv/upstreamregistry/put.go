package upstreamregistry

import (
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"weir.dev/weir/internal/testenv/testimage"
)

// Put stores an image (v1.Image) or a list of images (v1.ImageIndex) under each of the
// names, "repository:tag", past counters and hooks, and returns its digest.
func (r *Registry) Put(t TB, what mutate.Appendable, names ...string) (digest string) {
	t.Helper()
	for _, name := range names {
		var err error
		if digest, err = testimage.Put(r.content, name, what); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return digest
}
