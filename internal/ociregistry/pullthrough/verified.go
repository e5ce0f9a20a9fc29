package pullthrough

import (
	"context"
	"errors"
	"hash"
	"io"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/upstream"
)

// verified is a blob for one caller, directly from its source. The last bytes are returned after
// the digest is verified; a range that does not start at 0 is not verified.
type verified struct {
	job    *job
	pos    int64
	feed   *feed
	src    io.Reader
	hash   hash.Hash // nil for a range that is not verified
	held   []byte    // the last bytes, verified
	ended  bool
	err    error
	cancel context.CancelCauseFunc
	stop   func() bool
}

// openVerified returns a reader from an offset on. j.Size is known. It fails immediately if no
// source has the blob.
func (m *Mirror) openVerified(ctx context.Context, j *job, offset int64) (io.ReadCloser, error) {
	v := &verified{job: j, pos: offset}
	ctx, v.cancel = context.WithCancelCause(ctx)
	v.stop = context.AfterFunc(m.base, func() { v.cancel(errClosed) })
	v.feed = m.newFeed(ctx, j, offset)
	v.src = v.feed
	if offset == 0 {
		v.hash = j.Digest.Algorithm().Hash()
		v.src = io.TeeReader(v.feed, v.hash)
	}
	fetchesInFlight.WithLabelValues(kindStream).Inc()
	if err := v.feed.open(); err != nil {
		v.err = v.job.failure(err)
		_ = v.Close()
		return nil, v.err
	}
	return v, nil
}

// Read implements io.Reader.
func (v *verified) Read(p []byte) (int, error) {
	if v.err == nil && v.held == nil && (v.hash == nil || v.pos < v.job.Size-heldBack) {
		return v.pass(p)
	}
	if v.err == nil && v.held == nil {
		v.err = v.hold()
	}
	if v.err != nil {
		return 0, v.err
	}
	if len(v.held) == 0 {
		return 0, io.EOF
	}
	n := copy(p, v.held)
	v.held = v.held[n:]
	return n, nil
}

// pass reads bytes that need not be held back.
func (v *verified) pass(p []byte) (int, error) {
	if v.hash != nil {
		p = p[:min(int64(len(p)), v.job.Size-heldBack-v.pos)]
	}
	n, err := v.src.Read(p)
	v.pos += int64(n)
	switch {
	case errors.Is(err, io.EOF) && v.pos >= v.job.Size:
		v.err = io.EOF
	case errors.Is(err, io.EOF):
		v.err = v.job.failure(io.ErrUnexpectedEOF)
	case err != nil:
		v.err = v.job.failure(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, v.err
}

// hold reads the held-back bytes and verifies the digest.
func (v *verified) hold() error {
	rest := make([]byte, max(v.job.Size-v.pos, 0))
	if _, err := io.ReadFull(v.src, rest); err != nil {
		return v.job.failure(err)
	}
	if got := digest.NewDigest(v.job.Digest.Algorithm(), v.hash); got != v.job.Digest {
		return v.job.failure(v.feed.wrong(got))
	}
	v.held = rest
	return nil
}

// Close ends the stream.
func (v *verified) Close() error {
	if v.ended {
		return nil
	}
	v.ended = true
	v.stop()
	v.feed.close()
	v.cancel(nil)
	fetchesInFlight.WithLabelValues(kindStream).Dec()
	outcome := upstream.OutcomeSuccess
	if v.err != nil && !errors.Is(v.err, io.EOF) {
		outcome = outcomeOf(v.err)
	}
	fetchesTotal.WithLabelValues(kindStream, outcome).Inc()
	return nil
}
