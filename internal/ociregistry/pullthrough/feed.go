package pullthrough

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/upstream"
)

const (
	// enoughProgress is the number of bytes that resets the count of failures.
	enoughProgress = 1 << 20
	// longestPause is the longest Retry-After that is honored in the middle of a blob.
	longestPause = 30 * time.Second
)

// feed reads one blob from its candidates. It resumes a broken connection, at the same candidate
// first, with growing pauses and a bounded number of times. Before the first byte it tries each
// candidate once: the client has its own retries, and a caller is waiting. In the middle of a
// blob, waiting is cheaper than starting over. It verifies only the size. It is not safe for
// concurrent use.
type feed struct {
	m    *Mirror
	ctx  context.Context
	job  *job
	size int64 // of the whole blob: job.Size, or as announced by a source
	pos  int64 // the next byte

	candidates []candidate // in the order of attempts
	stream     *upstream.BlobStream
	from       candidate // of the current stream
	began      bool      // a source has responded
	servedBy   []candidate

	failures []upstream.SourceFailure // the last one of each source
	wait     time.Duration            // their Retry-After, -1 for too long
	breaks   int                      // consecutive breaks with hardly any progress between them
	since    int64                    // position of the last of them
	brokeAt  string                   // the source of the last broken stream
}

// newFeed returns a feed from a position on. Sources that sent wrong content are tried last.
func (m *Mirror) newFeed(ctx context.Context, j *job, pos int64) *feed {
	f := &feed{m: m, ctx: ctx, job: j, size: j.Size, pos: pos, candidates: slices.Clone(j.candidates)}
	f.demote(m.badSourcesOf(j.Digest)...)
	return f
}

// demote moves the candidates of sources behind all others.
func (f *feed) demote(sources ...string) {
	rank := func(c candidate) int {
		if slices.Contains(sources, c.Repository()) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(f.candidates, func(a, b candidate) int { return cmp.Compare(rank(a), rank(b)) })
}

// open connects unless everything has been read. Afterwards size is known if a source
// announces it. The error is an *upstream.FailedError or the context's cause.
func (f *feed) open() error {
	for f.stream == nil && (f.size < 0 || f.pos < f.size) {
		if f.exhausted() {
			return &upstream.FailedError{Sources: f.failures}
		}
		if err := f.pause(); err != nil {
			return err
		}
		b, from, err := first(f.ctx, f.job, f.candidates, f.connect)
		if f.ctx.Err() != nil {
			if err == nil {
				_ = b.Close()
			}
			return context.Cause(f.ctx)
		}
		if err != nil {
			f.failed(failuresOf(err))
			continue
		}
		f.accept(b, from)
	}
	return nil
}

// connect starts a stream and checks its size. Cached absence counts only before the first
// byte: after that the candidate is known to have had the blob.
func (f *feed) connect(ctx context.Context, c candidate) (*upstream.BlobStream, error) {
	open := func(ctx context.Context, c candidate) (*upstream.BlobStream, error) { return c.OpenBlob(ctx, f.pos) }
	if !f.began {
		open = remembering(f.m, f.job, kindBlob, open)
	}
	if err := f.m.tooLarge(f.size, c.Repository()); err != nil {
		return nil, err
	}
	b, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := f.m.tooLarge(b.Size, b.Source); err != nil {
		_ = b.Close()
		return nil, err
	}
	if f.size >= 0 && b.Size >= 0 && b.Size != f.size {
		_ = b.Close()
		f.m.markBad(f.job.Digest, b.Source)
		return nil, wrongSize(b.Source, b.Size, f.size)
	}
	return b, nil
}

// tooLarge returns an error if a size, known or announced, exceeds the limit.
func (m *Mirror) tooLarge(size int64, source string) error {
	if size <= m.opts.MaxBlobBytes {
		return nil
	}
	return &upstream.Error{Code: upstream.CodeTooLarge, Source: source, Text: fmt.Sprintf("the blob is larger than %d bytes", m.opts.MaxBlobBytes)}
}

func (f *feed) accept(b *upstream.BlobStream, from candidate) {
	if f.size < 0 && b.Size >= 0 {
		f.size = b.Size
	}
	if f.began {
		resumesTotal.Inc()
	}
	f.stream, f.from, f.began = b, from, true
	// It is the first candidate for the rest.
	i := slices.IndexFunc(f.candidates, func(c candidate) bool { return c.Key() == from.Key() })
	f.candidates = slices.Insert(slices.Delete(f.candidates, i, i+1), 0, from)
}

// Read implements io.Reader. Its errors are those of open, an *upstream.Error if a blob of unknown
// size is too large, and io.EOF, which it returns only at the expected size or if the size is
// unknown.
func (f *feed) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if f.size >= 0 && f.pos >= f.size {
			f.close()
			return 0, io.EOF
		}
		if err := f.open(); err != nil {
			return 0, err
		}
		if f.size >= 0 && int64(len(p)) > f.size-f.pos {
			p = p[:f.size-f.pos] // ignore bytes beyond the size
		}
		n, err := f.stream.Read(p)
		f.received(n)
		if err != nil {
			if f.size < 0 && errors.Is(err, io.EOF) {
				f.size = f.pos
			} else if f.size < 0 || f.pos < f.size {
				f.broke(err)
			}
		}
		if err := f.m.tooLarge(f.pos, f.from.Repository()); f.size < 0 && err != nil {
			return 0, err
		}
		if n > 0 {
			return n, nil
		}
		if f.ctx.Err() != nil {
			return 0, context.Cause(f.ctx)
		}
	}
	return 0, nil
}

func (f *feed) received(n int) {
	f.pos += int64(n)
	receivedBytes.Add(float64(n))
	if n > 0 && !slices.ContainsFunc(f.servedBy, func(c candidate) bool { return c.Key() == f.from.Key() }) {
		f.servedBy = append(f.servedBy, f.from)
	}
}

func (f *feed) close() {
	if f.stream != nil {
		_ = f.stream.Close()
		f.stream = nil
	}
}

// broke closes a broken stream. A source whose streams broke twice in a row is tried last from
// then on.
func (f *feed) broke(err error) {
	f.close()
	if f.ctx.Err() != nil {
		return
	}
	source := f.from.Repository()
	e := upstreamError(err)
	if e == nil {
		e = &upstream.Error{
			Code: upstream.CodeUnavailable, Source: source,
			Text: fmt.Sprintf("the blob ended after %d bytes of %d", f.pos, f.size),
		}
	}
	f.failed([]upstream.SourceFailure{{At: f.from.Source, Err: e}})
	if f.breaks > 1 && f.brokeAt == source {
		f.demote(source)
	}
	f.brokeAt = source
}

// failed notes failures and the Retry-After of their sources.
func (f *feed) failed(failures []upstream.SourceFailure) {
	if f.pos-f.since >= enoughProgress {
		f.breaks = 0
	}
	f.breaks, f.since, f.wait = f.breaks+1, f.pos, -1
	for _, s := range failures {
		f.failures = append(slices.DeleteFunc(f.failures, func(known upstream.SourceFailure) bool { return known.At == s.At }), s)
		if s.Err.RetryAfter <= longestPause {
			f.wait = max(f.wait, s.Err.RetryAfter)
		}
	}
}

// exhausted reports whether no further attempt should follow.
func (f *feed) exhausted() bool {
	return f.breaks > 0 && (!f.began || f.wait < 0 || f.breaks >= f.m.opts.Attempts+len(f.candidates)-1)
}

// pause waits after a failure.
func (f *feed) pause() error {
	if f.breaks == 0 {
		return nil
	}
	wait := min(f.m.opts.RetryBase<<min(f.breaks-1, 16), f.m.opts.RetryMax)
	timer := time.NewTimer(max(wait/2+rand.N(wait+1), f.wait))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-f.ctx.Done():
		return context.Cause(f.ctx)
	}
}

// wrong handles content with a wrong digest. It starts over without the sources that sent it,
// and returns the failure of the first of them.
func (f *feed) wrong(got digest.Digest) *upstream.Error {
	f.close()
	var failures []upstream.SourceFailure
	for _, c := range f.servedBy {
		f.m.markBad(f.job.Digest, c.Repository())
		f.candidates = slices.DeleteFunc(f.candidates, func(o candidate) bool { return o.Repository() == c.Repository() })
		failures = append(failures, upstream.SourceFailure{At: c.Source, Err: integrity(c.Repository(), "the content has digest %s", got)})
	}
	f.failed(failures)
	f.pos, f.size, f.servedBy = 0, f.job.Size, nil
	f.began, f.breaks, f.since, f.brokeAt = false, 0, 0, ""
	if len(failures) == 0 {
		return integrity("", "the content has digest %s", got)
	}
	return failures[0].Err
}

// markBad makes a source the last one to try for a digest for AvoidFor.
func (m *Mirror) markBad(d digest.Digest, source string) {
	known := m.badSourcesOf(d)
	if !slices.Contains(known, source) {
		m.badSources.Add(d, append(slices.Clip(known), source))
	}
}

func (m *Mirror) badSourcesOf(d digest.Digest) []string {
	known, _ := m.badSources.Get(d)
	return known
}
