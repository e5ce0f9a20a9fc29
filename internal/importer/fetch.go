package importer

import (
	"context"
	"fmt"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/upstream"
)

// repository is one upstream repository within a session. All parts of the session share its
// calls.
type repository struct {
	*session
	key    repositoryKey
	remote Repository

	heads     memo[string, upstream.Descriptor]
	manifests memo[string, fetched]
	configs   memo[digest.Digest, []byte]
	sizes     memo[digest.Digest, int64]

	// readable is true once this session has read from the repository with its own credentials,
	// so that it may use cached content of the repository.
	readable atomic.Bool
}

// fetched is a manifest whose digest is verified.
type fetched struct {
	digest    digest.Digest
	mediaType string
	bytes     []byte
	source    string
}

func (r *repository) content(d digest.Digest) contentKey {
	key := r.key
	key.byTag = false // content is the same for both kinds of mirrors
	return contentKey{repository: key, digest: d}
}

// cached looks up content in the process-wide cache, if this session may use it.
func (r *repository) cached(d digest.Digest) (content, bool) {
	if !r.readable.Load() {
		return content{}, false
	}
	return r.remembered.content.Get(r.content(d))
}

// call waits for a slot and makes one upstream call. Success proves that the repository is readable.
func call[V any](ctx context.Context, r *repository, do func(context.Context) (V, error)) (V, error) {
	release, err := r.slots.acquire(ctx, r.key.host)
	if err != nil {
		var zero V
		return zero, err
	}
	defer release()
	v, err := do(ctx)
	if err == nil {
		r.readable.Store(true)
	}
	return v, err
}

// head requests the digest of a tag.
func (r *repository) head(ctx context.Context, tagOrDigest string) (upstream.Descriptor, error) {
	return r.heads.do(ctx, tagOrDigest, func() (upstream.Descriptor, error) {
		return call(ctx, r, func(ctx context.Context) (upstream.Descriptor, error) {
			return r.remote.Head(ctx, tagOrDigest)
		})
	})
}

// manifestOf reads the manifest of a tag. It bypasses the cache.
func (r *repository) manifestOf(ctx context.Context, tag string) (fetched, error) {
	return r.fetchManifest(ctx, tag, "")
}

// manifestAt reads a manifest by its digest.
func (r *repository) manifestAt(ctx context.Context, d digest.Digest) (fetched, error) {
	if c, ok := r.cached(d); ok {
		return fetched{digest: d, mediaType: c.mediaType, bytes: c.bytes, source: c.source}, nil
	}
	return r.fetchManifest(ctx, d.String(), d)
}

func (r *repository) fetchManifest(ctx context.Context, tagOrDigest string, want digest.Digest) (fetched, error) {
	return r.manifests.do(ctx, tagOrDigest, func() (fetched, error) {
		m, err := call(ctx, r, func(ctx context.Context) (upstream.Manifest, error) {
			return r.remote.Manifest(ctx, tagOrDigest)
		})
		if err != nil {
			return fetched{}, err
		}
		if want == "" {
			if want = m.Digest; want == "" {
				want = digest.FromBytes(m.Bytes)
			}
		}
		if err := verify(want, m.Bytes); err != nil {
			return fetched{}, err
		}
		r.remembered.content.Add(r.content(want), content{mediaType: m.MediaType, source: m.Source, bytes: m.Bytes})
		return fetched{digest: want, mediaType: m.MediaType, bytes: m.Bytes, source: m.Source}, nil
	})
}

// emptyConfig is the config of artifacts without one. The OCI format defines its content, so it is
// not fetched.
var emptyConfig = ocispec.DescriptorEmptyJSON

// config reads a config blob.
func (r *repository) config(ctx context.Context, d descriptor) ([]byte, error) {
	if d.Digest == emptyConfig.Digest {
		return emptyConfig.Data, nil
	}
	limit := int64(r.options.Limits.Client.ConfigSize)
	if d.Size > limit {
		return nil, contentErrorf("%d bytes, more than %d", d.Size, limit)
	}
	if c, ok := r.cached(d.Digest); ok {
		return c.bytes, nil
	}
	return r.configs.do(ctx, d.Digest, func() ([]byte, error) {
		body, err := call(ctx, r, func(ctx context.Context) ([]byte, error) {
			return r.remote.Blob(ctx, d.Digest, limit)
		})
		if err != nil {
			return nil, err
		}
		if int64(len(body)) > limit {
			return nil, contentErrorf("%d bytes, more than %d", len(body), limit)
		}
		if err := verify(d.Digest, body); err != nil {
			return nil, err
		}
		r.remembered.content.Add(r.content(d.Digest), content{bytes: body})
		return body, nil
	})
}

// blobSize requests the size of a blob.
func (r *repository) blobSize(ctx context.Context, d digest.Digest) (int64, error) {
	key := r.content(d)
	if r.readable.Load() {
		if size, ok := r.remembered.blobSizes.Get(key); ok {
			return size, nil
		}
	}
	return r.sizes.do(ctx, d, func() (int64, error) {
		size, err := call(ctx, r, func(ctx context.Context) (int64, error) { return r.remote.BlobSize(ctx, d) })
		if err != nil {
			return 0, err
		}
		if size < 0 {
			return 0, contentErrorf("the registry gives its size as %d", size)
		}
		r.remembered.blobSizes.Add(key, size)
		return size, nil
	})
}

// verify compares content with its digest, independently of the client, because the digest becomes
// the name of the Image.
func verify(want digest.Digest, body []byte) error {
	if !reference.ValidDigest(string(want)) {
		return contentErrorf("%q is no digest", foreignText(string(want)))
	}
	if got := want.Algorithm().FromBytes(body); got != want {
		return &upstream.Error{
			Code: upstream.CodeIntegrity,
			Text: fmt.Sprintf("the content has the digest %s instead of %s", got, want),
		}
	}
	return nil
}
