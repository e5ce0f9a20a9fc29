package pullthrough

import (
	"context"
	"errors"
	"io"

	"weir.dev/weir/internal/ociregistry"
)

// reader reads a blob that is being fetched, as far as it has arrived, and waits for more.
// It is used by one goroutine.
type reader struct {
	f      *fetch
	ctx    context.Context
	pos    int64
	places []*place // where it goes on when the fetch cannot
	file   *file
	tail   io.ReadCloser // what is read instead from now on
}

// view is what a reader sees of a fetch.
type view struct {
	phase phase
	// right is whether the content is verified, stored or not.
	right bool
	// limit is how far the reader may read in the file, size that of the whole.
	limit, size int64
}

// over says whether a position is the end of content that is right.
func (v view) over(pos int64) bool { return v.right && pos >= v.size }

// look waits until there is more than pos bytes to read, or the fetch has ended.
func (r *reader) look() (view, error) {
	f := r.f
	var v view
	err := f.until(r.ctx, func() bool {
		v = view{phase: f.phase, right: f.verified || f.phase == done, size: f.size}
		switch {
		case v.right:
			v.limit = f.readable
		case f.size >= 0:
			v.limit = min(f.readable, f.size-heldBack)
		}
		if f.phase == fetching && v.limit <= r.pos && !v.over(r.pos) {
			return false
		}
		if r.file == nil && f.file != nil && f.file.acquire() {
			r.file = f.file
		}
		f.given = f.given || f.phase == fetching
		return true
	})
	return v, err
}

// Read implements io.Reader. An error other than io.EOF means that the blob will not
// become complete, or that nobody could say whether it is right.
func (r *reader) Read(p []byte) (int, error) {
	if r.tail != nil {
		return r.tail.Read(p)
	}
	v, err := r.look()
	switch {
	case err != nil:
		return 0, err
	case v.over(r.pos):
		return 0, io.EOF
	case r.file != nil && r.pos < v.limit && (v.right || v.phase == fetching):
		return r.read(p[:min(int64(len(p)), v.limit-r.pos)])
	case v.phase == failed:
		return 0, r.f.failureFor(r.places)
	case v.phase == spilled:
		r.tail = r.goOn(v)
		return r.tail.Read(p)
	}
	if r.tail, err = r.f.m.opts.Store.Open(r.ctx, r.f.d, r.pos); err != nil {
		r.tail = nil
		return 0, err
	}
	return r.tail.Read(p)
}

// read reads from the file what is known to be there.
func (r *reader) read(p []byte) (int, error) {
	n, err := r.file.ReadAt(p, r.pos)
	r.pos += int64(n)
	if n > 0 || errors.Is(err, io.EOF) && len(p) == 0 {
		return n, nil
	}
	return 0, err
}

// goOn reads by itself what the fetch could not keep: the rest of what has arrived, then
// from the places, against the digest of both.
func (r *reader) goOn(v view) io.ReadCloser {
	f, m := r.f, r.f.m
	if r.file == nil || r.pos > f.readable {
		// Nothing of it was seen, or only what comes later is wanted.
		return m.newVerified(r.ctx, f.d, v.size, r.pos, r.places)
	}
	return m.continued(r.ctx, f, r.pos, r.file, r.places)
}

// Close ends reading. The file goes with its last reader.
func (r *reader) Close() error {
	if r.tail != nil {
		r.tail.Close()
	}
	if r.file != nil {
		r.file.release()
		r.file = nil
	}
	return nil
}

// open reads from an offset on. Of a blob that is stored by now the reader is storage's.
func (f *fetch) open(ctx context.Context, offset int64, places []*place) (io.ReadCloser, error) {
	f.mu.Lock()
	now := f.phase
	f.mu.Unlock()
	switch now {
	case done:
		return f.m.opts.Store.Open(ctx, f.d, offset)
	case failed:
		return nil, f.failureFor(places)
	}
	return &reader{f: f, ctx: ctx, pos: offset, places: places}, nil
}

// blob waits until a caller can be answered: until it is known how large the blob is and,
// of a small one, that it is right.
func (f *fetch) blob(ctx context.Context, size int64, kept, all []*place) (ociregistry.Blob, error) {
	var now phase
	var b ociregistry.Blob
	err := f.until(ctx, func() bool {
		now, b.Size = f.phase, f.size
		answer := now != fetching || f.verified || f.answered && f.size > heldBack && (size < 0 || size == f.size)
		f.given = f.given || answer && f.feed.want < 0
		return answer
	})
	switch {
	case err != nil:
		return b, err
	case now == failed:
		return b, f.failureFor(kept)
	case now == spilled && b.Size < 0:
		return f.m.passing(ctx, f.d, size, all)
	}
	b.Open = func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return f.open(ctx, offset, all)
	}
	return b, nil
}
