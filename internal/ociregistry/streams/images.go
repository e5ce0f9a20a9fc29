package streams

import (
	"context"
	"fmt"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"

	"golang.org/x/sync/singleflight"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/ociregistry"
)

const (
	// absentFor is how long the absence of an Image is cached. An Image that this process creates is
	// cached immediately.
	absentFor = time.Second
)

// imageFacts reads an Image. The result keeps only strings of it.
func imageFacts(img *imagev1.Image) *ociregistry.Image {
	f := &ociregistry.Image{Digest: digest.Digest(img.Name), Claimed: dockerimage.ClaimedBy(img) != ""}
	switch img.DockerImageManifestMediaType {
	case dockerimage.MediaTypeSchema2:
		f.Blobs = append(f.Blobs, part(dockerimage.MetadataID(img), dockerimage.MediaTypeSchema2Config, 0))
	case dockerimage.MediaTypeOCIManifest:
		f.Blobs = append(f.Blobs, part(dockerimage.MetadataID(img), dockerimage.MediaTypeOCIImageConfig, 0))
	}
	for i := range img.DockerImageLayers {
		layer := &img.DockerImageLayers[i]
		f.Blobs = append(f.Blobs, part(layer.Name, layer.MediaType, layer.LayerSize))
	}
	for i := range img.DockerImageManifests {
		m := &img.DockerImageManifests[i]
		f.Children = append(f.Children, part(m.Digest, m.MediaType, m.ManifestSize))
	}
	return f
}

// part returns a part of an Image. Its size is -1 if the Image has none: old formats lack it, and
// an Image has 0 then.
func part(d, mediaType string, size int64) ociregistry.Part {
	if size <= 0 {
		size = -1
	}
	return ociregistry.Part{Digest: digest.Digest(d), MediaType: mediaType, Size: size}
}

// images are Images by name, each read once.
type images struct {
	read  func(ctx context.Context, name string) (*imagev1.Image, error)
	clock func() time.Time

	known   *caches.Cache[digest.Digest, *ociregistry.Image]
	absent  *caches.Cache[digest.Digest, struct{}]
	flights singleflight.Group
}

func newImages(read func(ctx context.Context, name string) (*imagev1.Image, error), p *caches.Pool, now func() time.Time) *images {
	return &images{read: read, clock: now, known: newImageCache(p, now), absent: newAbsentCache(p, now)}
}

// get returns an Image, nil if there is none. The error means that the API is unavailable.
func (i *images) get(ctx context.Context, d digest.Digest) (*ociregistry.Image, error) {
	if f, found := i.known.Get(d); found {
		return f, nil
	}
	if _, found := i.absent.Get(d); found {
		return nil, nil
	}
	flight := i.flights.DoChan(string(d), func() (any, error) { return i.load(context.WithoutCancel(ctx), d) })
	select {
	case done := <-flight:
		f, _ := done.Val.(*ociregistry.Image)
		return f, done.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (i *images) load(ctx context.Context, d digest.Digest) (*ociregistry.Image, error) {
	if f, found := i.known.Get(d); found { // while this flight was about to start
		return f, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	began := i.clock()
	img, err := i.read(ctx, string(d))
	if missing(err, string(d)) {
		i.absent.AddUntil(d, struct{}{}, began.Add(absentFor))
		if f, found := i.known.Get(d); found { // made in the meantime
			return f, nil
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading image %s: %w", d, err)
	}
	f := imageFacts(img)
	i.known.Add(d, f)
	return f, nil
}

// add caches an Image that this process created.
func (i *images) add(f *ociregistry.Image) {
	i.known.Add(f.Digest, f)
	i.absent.Remove(f.Digest)
}
