package pullthrough

import (
	"context"
	"io"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/upstream"
)

// Blob implements ociregistry.Upstream. It returns as soon as the blob's size is known
// and a source has begun to send it; its readers wait for what has not arrived yet. The
// context is that of the request: as long as it lasts the fetch is not in the background.
func (m *Mirror) Blob(ctx context.Context, w ociregistry.Wanted) (ociregistry.Blob, error) {
	w.Manifest = false
	j := m.newJob(ctx, w)
	if m.keeps() {
		kept := j.kept()
		if f := m.join(ctx, kept); f != nil {
			b, err := f.blob(ctx, j)
			if err == nil || ctx.Err() != nil || len(kept.candidates) == len(j.candidates) && !isNotStored(err) {
				return b, err
			}
		}
	}
	return m.passing(ctx, j)
}

// Stat implements ociregistry.Upstream: it asks for the size, and starts no fetch.
func (m *Mirror) Stat(ctx context.Context, w ociregistry.Wanted) (int64, error) {
	w.Manifest = false
	j := m.newJob(ctx, w)
	if size := m.arriving(j.kept().shareKey()); size >= 0 && (w.Size < 0 || w.Size == size) {
		return size, nil
	}
	return m.sizeOf(ctx, j)
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

// sizeOf asks for the size of a blob, once for all who ask meanwhile. A size that is not the
// wanted one is a failure of its source.
func (m *Mirror) sizeOf(ctx context.Context, j *job) (int64, error) {
	key := j.key(kindSize)
	if known, ok := m.sizes.Get(key); ok && (j.Size < 0 || known == j.Size) {
		return known, nil
	}
	return shared(ctx, m, j, kindSize, func(ctx context.Context) (int64, error) {
		size, _, err := first(ctx, j, j.candidates, remembering(m, j, kindBlob, func(ctx context.Context, c candidate) (int64, error) {
			size, err := c.BlobSize(ctx, j.Size)
			switch {
			case err != nil:
				return 0, err
			case j.Size >= 0 && size != j.Size:
				return 0, wrongSize(c.Repository(), size, j.Size)
			}
			return size, m.tooLarge(size, c.Repository())
		}))
		if err == nil {
			m.sizes.Add(key, size)
		}
		return size, err
	})
}

// passing is a blob of which every reader has a stream of its own.
func (m *Mirror) passing(ctx context.Context, j *job) (ociregistry.Blob, error) {
	if len(j.candidates) == 0 {
		return ociregistry.Blob{}, j.failure(&upstream.FailedError{})
	}
	sized := *j
	if sized.Size < 0 {
		var err error
		if sized.Size, err = m.sizeOf(ctx, j); err != nil {
			return ociregistry.Blob{}, err
		}
	}
	return ociregistry.Blob{Size: sized.Size, Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return m.openVerified(ctx, &sized, offset)
	}}, nil
}
