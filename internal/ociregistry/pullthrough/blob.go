package pullthrough

import (
	"context"
	"io"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
)

// Blob implements ociregistry.Upstream. It returns as soon as the blob's size is known
// and a source has begun to send it; its readers wait for what has not arrived yet. The
// context is that of the request: as long as it lasts the fetch is not in the background.
func (m *Mirror) Blob(ctx context.Context, w ociregistry.Wanted) (ociregistry.Blob, error) {
	if w.Digest.Validate() != nil {
		return ociregistry.Blob{}, failureOf(ociregistry.CodeBlobUnknown, w.Digest, nil)
	}
	all := m.places(ctx, w)
	if !m.keeps() || !storable(w.Digest) {
		return m.passing(ctx, w.Digest, w.Size, all)
	}
	kept := keptOnly(all)
	f := m.join(ctx, w.Digest, w.Size, kept)
	if f == nil {
		return m.passing(ctx, w.Digest, w.Size, all)
	}
	b, err := f.blob(ctx, w.Size, kept, all)
	if err != nil && ctx.Err() == nil && (len(kept) < len(all) || isNotStored(err)) {
		return m.passing(ctx, w.Digest, w.Size, all)
	}
	return b, err
}

// storable says whether storage has a place for such a digest.
func storable(d digest.Digest) bool {
	return d.Algorithm() == digest.SHA256 || d.Algorithm() == digest.SHA512
}

// Stat implements ociregistry.Upstream: it asks for the size, and starts no fetch.
func (m *Mirror) Stat(ctx context.Context, w ociregistry.Wanted) (int64, error) {
	if w.Digest.Validate() != nil {
		return 0, failureOf(ociregistry.CodeBlobUnknown, w.Digest, nil)
	}
	all := m.places(ctx, w)
	if size := m.arriving(keyOf(w.Digest, keptOnly(all))); size >= 0 && (w.Size < 0 || w.Size == size) {
		return size, nil
	}
	return m.sizeOf(ctx, w.Digest, w.Size, all)
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
