package pullthrough

import (
	"context"
	"errors"
	"hash"
	"io"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/upstream"
)

// verified is a blob for one caller, straight from where it is. Its last bytes are given
// when all of them have the digest; of a part that does not begin at the beginning
// nobody can say.
type verified struct {
	m      *Mirror
	d      digest.Digest
	size   int64
	pos    int64
	places []*place
	feed   *feed
	src    io.Reader
	hash   hash.Hash // nil when nothing is verified
	held   []byte    // the last bytes, verified
	ended  bool
	err    error
	cancel context.CancelCauseFunc
	stop   func() bool
}

// newVerified reads from the places, beginning at an offset.
func (m *Mirror) newVerified(ctx context.Context, d digest.Digest, size, offset int64, places []*place) *verified {
	v := &verified{m: m, d: d, size: size, pos: offset, places: again(places)}
	ctx, v.cancel = context.WithCancelCause(ctx)
	v.stop = context.AfterFunc(m.base, func() { v.cancel(errClosed) })
	v.feed = m.newFeed(ctx, d, size, offset, v.places)
	v.src = v.feed
	if offset == 0 {
		v.hash = d.Algorithm().Hash()
		v.src = io.TeeReader(v.feed, v.hash)
	}
	fetchesInFlight.WithLabelValues(kindStream).Inc()
	return v
}

// Read implements io.Reader.
func (v *verified) Read(p []byte) (int, error) {
	if v.err == nil && v.held == nil && (v.hash == nil || v.pos < v.size-heldBack) {
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

// pass reads what need not be held back.
func (v *verified) pass(p []byte) (int, error) {
	if v.hash != nil {
		p = p[:min(int64(len(p)), v.size-heldBack-v.pos)]
	}
	n, err := v.src.Read(p)
	v.pos += int64(n)
	switch {
	case errors.Is(err, io.EOF) && v.pos >= v.size:
		v.err = io.EOF
	case errors.Is(err, io.EOF):
		v.err = v.failure(io.ErrUnexpectedEOF)
	case err != nil:
		v.err = v.failure(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, v.err
}

// hold reads the rest and compares the digest.
func (v *verified) hold() error {
	rest := make([]byte, max(v.size-v.pos, 0))
	if _, err := io.ReadFull(v.src, rest); err != nil {
		return v.failure(err)
	}
	if got := digest.NewDigest(v.d.Algorithm(), v.hash); got != v.d {
		source := firstOf(v.feed.used)
		v.feed.lied()
		return v.failure(integrity(source, "the content has digest %s", got))
	}
	v.held = rest
	return nil
}

// failure is what the caller is told.
func (v *verified) failure(err error) error {
	if errors.Is(err, errNoPlace) {
		return failureOf(ociregistry.CodeBlobUnknown, v.d, v.places)
	}
	if e := upstreamError(err); e != nil && len(v.places) > 0 {
		return toError(ociregistry.CodeBlobUnknown, v.d, v.places[0], e)
	}
	return ociregistry.NewError(ociregistry.CodeUnavailable, "fetching %s broke off", v.d).Because(err)
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
