package pullthrough

import (
	"bytes"
	"context"
	"errors"
	"io"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// Blob implements ociregistry.Upstream. It returns as soon as the blob's size is known
// and somebody has begun to send it; its readers wait for what has not arrived yet. The
// context is that of the request: as long as it lasts the fetch is not in the background.
func (m *Mirror) Blob(ctx context.Context, repo reference.Repository, d digest.Digest, o ociregistry.Origin) (ociregistry.Blob, error) {
	if d.Validate() != nil {
		return ociregistry.Blob{}, failureOf(ociregistry.CodeBlobUnknown, d, nil)
	}
	if size, ok := m.stored(ctx, d, m.provenances(ctx, repo, o)); ok {
		return ociregistry.Blob{Size: size, Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
			return m.opts.Store.Open(ctx, d, offset)
		}}, nil
	}
	if o.Manifest == d {
		return m.manifestAsBlob(ctx, repo, d, o)
	}
	all := m.places(ctx, repo.Namespace, d, o)
	if !m.keeps() || !storable(d) {
		return m.passing(ctx, d, o.Size, all)
	}
	kept := keptOnly(all)
	f := m.join(ctx, d, o.Size, kept)
	if f == nil {
		return m.passing(ctx, d, o.Size, all)
	}
	b, err := f.blob(ctx, o.Size, kept, all)
	if err != nil && len(kept) < len(all) && ctx.Err() == nil {
		return m.passing(ctx, d, o.Size, all)
	}
	return b, err
}

// storable says whether storage has a place for such a digest.
func storable(d digest.Digest) bool {
	return d.Algorithm() == digest.SHA256 || d.Algorithm() == digest.SHA512
}

// Stat implements ociregistry.Upstream: it asks for the size, and starts no fetch.
func (m *Mirror) Stat(ctx context.Context, repo reference.Repository, d digest.Digest, o ociregistry.Origin) (int64, error) {
	if d.Validate() != nil {
		return 0, failureOf(ociregistry.CodeBlobUnknown, d, nil)
	}
	if size, ok := m.stored(ctx, d, m.provenances(ctx, repo, o)); ok {
		return size, nil
	}
	if o.Manifest == d {
		content, _, err := m.Manifest(ctx, repo, d, o)
		return int64(len(content)), asBlob(err)
	}
	all := m.places(ctx, repo.Namespace, d, o)
	if size := m.arriving(keyOf(d, keptOnly(all))); size >= 0 && (o.Size < 0 || o.Size == size) {
		return size, nil
	}
	return m.sizeOf(ctx, d, o.Size, all)
}

// provenances are those that open what was kept to a repository. Where storage does not
// say, they are those that are everybody's.
func (m *Mirror) provenances(ctx context.Context, repo reference.Repository, o ociregistry.Origin) []string {
	scope, err := m.opts.Store.Scope(ctx, repo.Namespace)
	if err != nil {
		klog.V(2).InfoS("Storage does not say what is of a namespace", "namespace", repo.Namespace, "err", err)
	}
	all := ociregistry.Provenances("", o.Sources)
	if scope != "" {
		all = append(all, ociregistry.Provenances(scope, o.Sources)...)
	}
	return all
}

// stored is the size of a blob that storage has from one of some sources. Storage that
// cannot be asked is no reason not to serve.
func (m *Mirror) stored(ctx context.Context, d digest.Digest, provenances []string) (int64, bool) {
	came, err := m.opts.Store.CameFrom(ctx, d, provenances...)
	if !came {
		if err != nil {
			klog.V(2).InfoS("Storage does not say where it has a blob from", "digest", d, "err", err)
		}
		return 0, false
	}
	size, err := m.opts.Store.Stat(ctx, d)
	if err != nil && !errors.Is(err, blobstore.ErrUnknown) {
		klog.V(2).InfoS("Storage does not say whether it has a blob", "digest", d, "err", err)
	}
	return size, err == nil
}

// arriving is the size of a blob that is being fetched, -1 when none is known.
func (m *Mirror) arriving(key fetchKey) int64 {
	m.mu.Lock()
	f := m.fetches[key]
	m.mu.Unlock()
	if f == nil || !f.begun() {
		return -1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// sizeOf asks the places for the size of a blob, once for all who ask meanwhile. want is
// what the stream says, -1 for nothing.
func (m *Mirror) sizeOf(ctx context.Context, d digest.Digest, want int64, all []*place) (int64, error) {
	key := keysOf("size", d, all)
	if size, ok := m.sizes.get(key); ok && (want < 0 || size == want) {
		return size, nil
	}
	return shared(ctx, m, key, d, func(ctx context.Context) (int64, error) {
		for _, p := range all {
			size, err := p.blobSize(ctx, d)
			if err == nil && want >= 0 && size != want {
				err = integrity(p.name(), "the blob is announced with %d bytes instead of %d", size, want)
			}
			if err == nil {
				m.sizes.put(key, size)
				return size, nil
			}
			p.failure = err
		}
		if ctx.Err() != nil {
			return 0, gaveUp(ctx, d)
		}
		return 0, failureOf(ociregistry.CodeBlobUnknown, d, all)
	})
}

// passing is a blob of which every reader has a stream of its own.
func (m *Mirror) passing(ctx context.Context, d digest.Digest, size int64, all []*place) (ociregistry.Blob, error) {
	if len(all) == 0 {
		return ociregistry.Blob{}, failureOf(ociregistry.CodeBlobUnknown, d, nil)
	}
	if size < 0 {
		var err error
		if size, err = m.sizeOf(ctx, d, size, all); err != nil {
			return ociregistry.Blob{}, err
		}
	}
	return ociregistry.Blob{Size: size, Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		v := m.newVerified(ctx, d, size, offset, all)
		// Whoever does not have it says so before the answer begins.
		if err := v.feed.open(); err != nil {
			v.err = v.failure(err)
			_ = v.Close()
			return nil, v.err
		}
		return v, nil
	}}, nil
}

// manifestAsBlob is a manifest that is asked for by the route of blobs, which not every
// registry serves.
func (m *Mirror) manifestAsBlob(ctx context.Context, repo reference.Repository, d digest.Digest, o ociregistry.Origin) (ociregistry.Blob, error) {
	content, _, err := m.Manifest(ctx, repo, d, o)
	if err != nil {
		return ociregistry.Blob{}, asBlob(err)
	}
	return ociregistry.Blob{Size: int64(len(content)), Open: func(_ context.Context, offset int64) (io.ReadCloser, error) {
		r := bytes.NewReader(content)
		_, err := r.Seek(offset, io.SeekStart)
		return io.NopCloser(r), err
	}}, nil
}

// asBlob makes an unknown manifest an unknown blob.
func asBlob(err error) error {
	var e *ociregistry.Error
	if errors.As(err, &e) && e.Code == ociregistry.CodeManifestUnknown {
		c := *e
		c.Code = ociregistry.CodeBlobUnknown
		return &c
	}
	return err
}
