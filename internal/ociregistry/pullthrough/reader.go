package pullthrough

import (
	"context"
	"errors"
	"io"

	"weir.dev/weir/internal/ociregistry"
)

// reader reads a blob during its fetch, and waits for bytes that have not arrived. It is not
// safe for concurrent use.
type reader struct {
	f      *fetch
	ctx    context.Context
	pos    int64
	job    *job
	file   *file         // nil if the fetch has none to read from
	stored io.ReadCloser // read instead of the file from now on
}

// view is the state of a fetch for a reader.
type view struct {
	phase phase
	// complete is true once all content is verified, stored or not.
	complete bool
	// limit is the end of the bytes that may be read from the file, size that of the blob.
	limit, size int64
}

// wait waits for more bytes or for the end of the fetch.
func (r *reader) wait() (view, error) {
	f := r.f
	var v view
	err := f.until(r.ctx, func() bool {
		v = view{phase: f.phase, complete: f.verified || f.phase == done, size: f.size}
		switch {
		case r.file == nil:
		case v.complete:
			v.limit = f.readable
		case f.phase == fetching && f.size >= 0:
			v.limit = min(f.readable, f.size-heldBack)
		}
		return f.phase != fetching || v.limit > r.pos || v.complete && r.pos >= v.size
	})
	return v, err
}

// Read implements io.Reader. An error other than io.EOF means that fetching, verifying or
// storing the rest of the blob failed.
func (r *reader) Read(p []byte) (int, error) {
	if r.stored != nil {
		return r.stored.Read(p)
	}
	v, err := r.wait()
	switch {
	case err != nil:
		return 0, err
	case v.complete && r.pos >= v.size:
		return 0, io.EOF
	case r.pos < v.limit:
		return r.read(p[:min(int64(len(p)), v.limit-r.pos)])
	case v.phase == failed:
		return 0, r.job.failure(r.f.cause())
	}
	stored, err := r.f.m.opts.Store.Open(r.ctx, r.f.d, r.pos)
	if err != nil {
		return 0, err
	}
	r.stored = stored
	return stored.Read(p)
}

// read reads available bytes from the file.
func (r *reader) read(p []byte) (int, error) {
	n, err := r.file.ReadAt(p, r.pos)
	r.pos += int64(n)
	if n > 0 || errors.Is(err, io.EOF) && len(p) == 0 {
		return n, nil
	}
	return 0, err
}

// Close ends reading. The last reader closes the file.
func (r *reader) Close() error {
	if r.stored != nil {
		r.stored.Close()
	}
	if r.file != nil {
		r.file.release()
		r.file = nil
	}
	return nil
}

// cause returns the error of a failed fetch.
func (f *fetch) cause() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// open returns a reader from an offset on. It reads from storage if the blob is stored by now,
// and from the sources if storing failed.
func (f *fetch) open(ctx context.Context, offset int64, j *job) (io.ReadCloser, error) {
	r := &reader{f: f, ctx: ctx, pos: offset, job: j}
	f.mu.Lock()
	now, err, size := f.phase, f.err, f.size
	if (now == fetching || f.verified) && f.file != nil && f.file.acquire() {
		r.file = f.file
	}
	f.given = f.given || now == fetching
	f.mu.Unlock()
	switch {
	case now == done:
		if err := r.Close(); err != nil {
			return nil, err
		}
		return f.m.opts.Store.Open(ctx, f.d, offset)
	case now == fetching, r.file != nil:
		return r, nil
	case isNotStored(err):
		sized := *j
		sized.Size = size
		return f.m.openVerified(ctx, &sized, offset)
	}
	return nil, j.failure(err)
}

// blob waits until a caller can be answered: until the size of the blob is known and, for a
// small one, its digest verified.
func (f *fetch) blob(ctx context.Context, j *job) (ociregistry.Blob, error) {
	var now phase
	var verified bool
	var b ociregistry.Blob
	err := f.until(ctx, func() bool {
		now, verified, b.Size = f.phase, f.verified, f.size
		answer := now != fetching || verified || f.answered && f.size > heldBack && (j.Size < 0 || j.Size == f.size)
		f.given = f.given || answer && j.Size < 0
		return answer
	})
	if err != nil {
		return b, err
	}
	if now == failed && !verified {
		return b, j.failure(f.cause())
	}
	b.Open = func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return f.open(ctx, offset, j)
	}
	return b, nil
}
