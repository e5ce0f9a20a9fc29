package streams

import (
	"context"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// histories keeps the histories of the streams that were read last. Reading one anew takes some
// microseconds for each tag event.
type histories struct {
	policy policy
	kept   *caches.Cache[types.NamespacedName, *history]
}

func newHistories(p policy, pool *caches.Pool) *histories {
	return &histories{policy: p, kept: newHistoryCache(pool)}
}

// of returns the history of a version.
func (h *histories) of(id types.NamespacedName, v *version) *history {
	if kept, found := h.kept.Get(id); found && kept.seq == v.seq {
		return kept
	}
	fresh := newHistory(v, h.policy)
	h.kept.Add(id, fresh)
	return fresh
}

func (h *histories) drop(id types.NamespacedName) { h.kept.Remove(id) }

// noHistory is that of a stream that does not exist.
var noHistory = &history{}

// view implements ociregistry.Stream.
type view struct {
	*history
	repository blobstore.Repository
	since      time.Time
	copiesFrom func(blobstore.Repository) blobstore.Repository
}

var _ ociregistry.Stream = (*view)(nil)

// Repository implements ociregistry.Stream.
func (v *view) Repository() blobstore.Repository { return v.repository }

// Since implements ociregistry.Stream.
func (v *view) Since() time.Time { return v.since }

// Version implements ociregistry.Stream.
func (v *view) Version() uint64 { return v.seq }

// Copied implements ociregistry.Stream.
func (v *view) Copied() []digest.Digest { return v.copied }

// Imported implements ociregistry.Stream.
func (v *view) Imported() []digest.Digest { return v.imported }

// KeptAtImport implements ociregistry.Stream.
func (v *view) KeptAtImport() []digest.Digest { return v.atImport }

// CopiedFrom implements ociregistry.Stream.
func (v *view) CopiedFrom(image digest.Digest) []blobstore.Repository {
	var from []blobstore.Repository
	for _, r := range v.copies[image] {
		if r = v.copiesFrom(r); r.Stream != "" {
			from = append(from, r)
		}
	}
	return from
}

// ManifestSources and BlobSources implement ociregistry.Stream.
func (v *view) ManifestSources(images []digest.Digest) []ociregistry.Source {
	return v.manifestSources(images)
}

// BlobSources implements ociregistry.Stream.
func (v *view) BlobSources(images []digest.Digest) []ociregistry.Source { return v.blobSources(images) }

// Stream implements ociregistry.Directory.
func (d *Directory) Stream(ctx context.Context, repo reference.Repository, live bool) (ociregistry.Stream, error) {
	doing := "looking up image stream " + repo.Key()
	id := idOf(repo)
	get := d.cached
	if live {
		get = d.live.fresh
	}
	v, err := get(ctx, id)
	if err != nil {
		return nil, unavailable(err, doing)
	}
	namespace, err := d.namespaces.get(ctx, id.Namespace)
	if err != nil {
		return nil, unavailable(err, doing)
	}
	return d.view(repo, v, namespace), nil
}

// Fresh implements ociregistry.Directory.
func (d *Directory) Fresh(ctx context.Context, repo reference.Repository) (ociregistry.Stream, error) {
	doing := "reading image stream " + repo.Key()
	if err := d.live.now(ctx, idOf(repo)); err != nil {
		return nil, unavailable(err, doing)
	}
	v, _ := d.known.get(idOf(repo))
	namespace, err := d.namespaces.read(ctx, repo.Namespace)
	if err != nil {
		return nil, unavailable(err, doing)
	}
	return d.view(repo, v, namespace), nil
}

// view makes a Stream of a version, and of the metadata of its namespace. Either may be
// nil.
func (d *Directory) view(repo reference.Repository, v *version, namespace *metav1.PartialObjectMetadata) *view {
	id := idOf(repo)
	found := &view{history: noHistory, repository: blobstore.Repository{Name: repo.Key()}, copiesFrom: d.copySource}
	if namespace != nil {
		found.repository.Namespace, found.since = string(namespace.UID), namespace.CreationTimestamp.Time
	}
	if v != nil {
		found.history = d.histories.of(id, v)
		found.repository.Stream = string(v.stream.UID)
	}
	return found
}

// copySource fills in the UID of a copy source that was recorded without one: that of the
// stream which has the name now. It is left empty if there is none.
func (d *Directory) copySource(from blobstore.Repository) blobstore.Repository {
	if from.Stream == "" {
		repo, err := reference.ParseRepository(from.Name)
		if err != nil {
			return from
		}
		if v, _ := d.known.get(idOf(repo)); v != nil {
			from.Stream = string(v.stream.UID)
		}
	}
	return from
}

// CopiesOf implements ociregistry.Directory.
func (d *Directory) CopiesOf(from blobstore.Repository) []ociregistry.Copy {
	var copies []ociregistry.Copy
	for _, s := range d.known.copiersOf(from.Name) {
		if images := copiedFrom(s, from); len(images) > 0 {
			to := blobstore.Repository{Name: idOfStream(s).String(), Stream: string(s.UID)}
			copies = append(copies, ociregistry.Copy{To: to, Images: images})
		}
	}
	return copies
}

// copiedFrom are the images that a stream has from a repository.
func copiedFrom(s *imagev1.ImageStream, from blobstore.Repository) []digest.Digest {
	if !strings.Contains(s.Annotations[stream.AnnotationCopiedFrom], `"`+from.Name+`"`) {
		return nil
	}
	var images []digest.Digest
	for _, source := range stream.CopySources(s) {
		if source.Repository == from.Name && (source.UID == "" || string(source.UID) == from.Stream) {
			for _, image := range source.Images {
				images = append(images, digest.Digest(image))
			}
		}
	}
	return images
}

// Image implements ociregistry.Directory.
func (d *Directory) Image(ctx context.Context, image digest.Digest) (*ociregistry.Image, error) {
	found, err := d.images.get(ctx, image)
	if err != nil {
		return nil, unavailable(err, "looking up image "+image.String())
	}
	return found, nil
}
