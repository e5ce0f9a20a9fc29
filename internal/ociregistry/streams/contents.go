package streams

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/stream"
)

// Contents implements ociregistry.Directory. Images that a client named without content are
// left out: they may never have been pushed.
func (d *Directory) Contents() iter.Seq[ociregistry.Content] {
	return func(yield func(ociregistry.Content) bool) {
		var ids []types.NamespacedName
		d.known.all(func(id types.NamespacedName, _ *imagev1.ImageStream) { ids = append(ids, id) })
		slices.SortFunc(ids, func(a, b types.NamespacedName) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
		for _, id := range ids {
			v, _ := d.known.get(id)
			if v == nil {
				continue // deleted meanwhile
			}
			for _, image := range d.histories.of(id, v).ownImages() {
				if stream.Unproven(v.stream, image.String()) {
					continue
				}
				if !yield(ociregistry.Content{Repository: repositoryOf(v.stream), Image: image, Tags: tagsWith(v.stream, image), Version: v.seq}) {
					return
				}
			}
		}
	}
}

// ownImages are the images that were pushed to the stream or copied from another one, heads
// first.
func (h *history) ownImages() []digest.Digest {
	var images []digest.Digest
	for _, image := range h.roots {
		if len(h.copies[image]) > 0 || slices.ContainsFunc(h.of[image], func(i int) bool { return h.events[i].repository == own }) {
			images = append(images, image)
		}
	}
	return images
}

// tagsWith are the tags with an image in their history, sorted.
func tagsWith(s *imagev1.ImageStream, image digest.Digest) []string {
	tags := map[string]struct{}{}
	for i := range s.Status.Tags {
		for n := range s.Status.Tags[i].Items {
			if s.Status.Tags[i].Items[n].Image == image.String() {
				tags[s.Status.Tags[i].Tag] = struct{}{}
			}
		}
	}
	return slices.Sorted(maps.Keys(tags))
}
