package streams

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"

	"golang.org/x/sync/singleflight"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

const (
	// maxImages bounds the images whose facts are kept; those of ten layers take 2 KiB.
	maxImages = 16384
	// maxAbsent bounds the names of which is remembered that there is no such Image.
	maxAbsent = 8192
	// absentFor is how long that is believed. An Image that this process makes is known
	// at once.
	absentFor = time.Second
)

// facts are what the registry needs to know of an Image. They follow from the manifest
// that the Image is named by, so they do not change once they are proven.
type facts struct {
	image     digest.Digest
	mediaType string
	// config is "" for formats without a configuration.
	config   descriptor
	layers   []descriptor
	children []descriptor // manifests of a list
	// unproven is true of an Image of which only the API speaks: this registry does not
	// have the manifest that it describes.
	unproven bool
	// missing are parts that somebody who pushed the manifest did not have. They are not
	// held for its sake.
	missing []digest.Digest
}

// descriptor is what an Image says of a part; size is -1 when it does not.
type descriptor struct {
	digest    digest.Digest
	mediaType string
	size      int64
}

// factsOf reads an Image. Nothing of it is kept but strings.
func factsOf(img *imagev1.Image) *facts {
	f := &facts{image: digest.Digest(img.Name), mediaType: img.DockerImageManifestMediaType}
	if f.mediaType == "" {
		f.mediaType = dockerimage.MediaTypeSchema2 // as old clients stored the format of their day
	}
	switch img.DockerImageManifestMediaType {
	case dockerimage.MediaTypeSchema2:
		f.config = descriptor{mediaType: dockerimage.MediaTypeSchema2Config}
	case dockerimage.MediaTypeOCIManifest:
		f.config = descriptor{mediaType: dockerimage.MediaTypeOCIImageConfig}
	}
	if f.config.mediaType != "" {
		f.config.digest, f.config.size = digest.Digest(dockerimage.MetadataID(img)), -1
	}
	for i := range img.DockerImageLayers {
		layer := &img.DockerImageLayers[i]
		f.layers = append(f.layers, descriptor{digest.Digest(layer.Name), layer.MediaType, told(layer.LayerSize)})
	}
	for i := range img.DockerImageManifests {
		m := &img.DockerImageManifests[i]
		f.children = append(f.children, descriptor{digest.Digest(m.Digest), m.MediaType, told(m.ManifestSize)})
	}
	return f
}

// told is a size, where one is told: old formats leave it out, which an Image shows as 0.
func told(size int64) int64 {
	if size <= 0 {
		return -1
	}
	return size
}

// weight is how many digests facts hold.
func (f *facts) weight() int { return 2 + len(f.layers) + len(f.children) }

// images are the facts of Images, each asked for once.
type images struct {
	get   func(ctx context.Context, name string) (*imagev1.Image, error)
	clock func() time.Time
	// stored reads manifests from storage; nil takes Images for what they say.
	stored StoredManifest

	known   *lru.Cache[digest.Digest, *facts]
	absent  *lru.Cache[digest.Digest, time.Time]
	flights singleflight.Group
}

func newImages(get func(ctx context.Context, name string) (*imagev1.Image, error), now func() time.Time) *images {
	return &images{
		get: get, clock: now,
		known:  newLRU[digest.Digest, *facts](maxImages),
		absent: newLRU[digest.Digest, time.Time](maxAbsent),
	}
}

// facts are those of an Image, nil when there is none. The error is that of an API that
// does not answer.
func (i *images) facts(ctx context.Context, d digest.Digest) (*facts, error) {
	if f, found := i.known.Get(d); found {
		return f, nil
	}
	if at, found := i.absent.Get(d); found && i.clock().Sub(at) < absentFor {
		return nil, nil
	}
	flight := i.flights.DoChan(string(d), func() (any, error) { return i.ask(context.WithoutCancel(ctx), d) })
	select {
	case done := <-flight:
		f, _ := done.Val.(*facts)
		return f, done.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (i *images) ask(ctx context.Context, d digest.Digest) (*facts, error) {
	if f, found := i.known.Get(d); found { // while this flight was about to start
		return f, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	began := i.clock()
	img, err := i.get(ctx, string(d))
	if missing(err, string(d)) {
		i.absent.Add(d, began)
		if f, found := i.known.Get(d); found { // made in the meantime
			return f, nil
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading image %s: %w", d, err)
	}
	f, err := i.prove(ctx, factsOf(img))
	if err != nil {
		return nil, err
	}
	if known, found := i.known.Peek(d); found && !known.unproven && f.unproven {
		return known, nil // it was pushed in the meantime
	}
	i.known.Add(d, f)
	return f, nil
}

// learn takes the facts of an Image that this process made.
func (i *images) learn(f *facts) {
	i.known.Add(f.image, f)
	i.absent.Remove(f.image)
}

// doubt has an image that is not proven looked up again when it is asked for: it may have
// been pushed meanwhile.
func (i *images) doubt(d digest.Digest) {
	if f, known := i.known.Peek(d); known && f.unproven {
		i.known.Remove(d)
	}
}

// has tells whether facts of an image are at hand that are proven.
func (i *images) has(d digest.Digest) bool {
	f, known := i.known.Peek(d)
	return known && !f.unproven
}
