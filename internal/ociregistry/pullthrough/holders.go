package pullthrough

import (
	"context"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/upstream"
)

// join finds the fetch of a digest, or begins one. places are the caller's whose content
// may be kept; they help a fetch that another began, so that one namespace's refused
// pull secret is not everybody's failure. The caller holds the fetch until its context
// ends. Nil when the caller has to fetch by itself: it brings no place and nobody else
// did, or waiting could be waiting for itself.
func (m *Mirror) join(ctx context.Context, d digest.Digest, size int64, places []*place) *fetch {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, found := m.fetches[d]
	if found && !f.begun() && len(upstream.RequestURLs(ctx)) > 0 {
		// Another registry asks. It may do so because this very fetch asked it, and
		// then nobody would ever answer.
		return nil
	}
	if !found || !f.feed.join(places) {
		if len(places) == 0 {
			return nil
		}
		if f = m.begin(d, size, places); f == nil {
			return nil
		}
	} else {
		sharedTotal.Inc()
	}
	f.holders++
	m.leaveBackground(f)
	context.AfterFunc(ctx, func() { m.release(f) })
	return f
}

// begin starts a fetch; nil after Close. m.mu is held.
func (m *Mirror) begin(d digest.Digest, size int64, places []*place) *fetch {
	f := &fetch{m: m, d: d, size: size}
	f.ctx, f.cancel = context.WithCancelCause(m.base)
	f.feed = m.newFeed(f.ctx, d, size, 0, again(places))
	if !m.start(f.run) {
		f.cancel(nil)
		return nil
	}
	m.fetches[d] = f
	return f
}

func (f *fetch) begun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answered
}

// release ends a caller's hold. A fetch that nobody holds goes on in the background:
// who pulled once comes again. One too many there is given up.
func (m *Mirror) release(f *fetch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.holders--
	switch {
	case f.holders > 0 || f.over:
	case m.background < m.opts.MaxBackground:
		m.background++
		f.background = true
		backgroundFetches.Inc()
	default:
		if m.fetches[f.d] == f {
			delete(m.fetches, f.d)
		}
		f.cancel(errNobody)
	}
}

// leaveBackground makes room for another one there. m.mu is held.
func (m *Mirror) leaveBackground(f *fetch) {
	if f.background {
		m.background--
		f.background = false
		backgroundFetches.Dec()
	}
}

// forget has the next caller begin anew, or find the blob in storage.
func (m *Mirror) forget(f *fetch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.over = true
	m.leaveBackground(f)
	if m.fetches[f.d] == f {
		delete(m.fetches, f.d)
	}
}
