package pullthrough

import (
	"context"
	"io"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/upstream"
)

// Blob implements ociregistry.Upstream. It returns as soon as the blob's size is known and a
// source has started to send it; readers wait for bytes that have not arrived. The context is
// that of the request: the fetch is not in the background before the context ends.
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
	return m.streamed(ctx, j)
}

// Stat implements ociregistry.Upstream. It requests the size and starts no fetch.
func (m *Mirror) Stat(ctx context.Context, w ociregistry.Wanted) (int64, error) {
	w.Manifest = false
	j := m.newJob(ctx, w)
	if size := m.arriving(j.kept().shareKey()); size >= 0 && (w.Size < 0 || w.Size == size) {
		return size, nil
	}
	return m.sizeOf(ctx, j)
}

// arriving returns the size of a blob that is being fetched, -1 if unknown.
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

// sizeOf requests the size of a blob, once for all concurrent callers. A wrong size is a
// failure of its source.
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

// streamed returns a blob that opens a stream of its own for every reader.
func (m *Mirror) streamed(ctx context.Context, j *job) (ociregistry.Blob, error) {
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
