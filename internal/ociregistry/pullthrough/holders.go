package pullthrough

import (
	"context"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/upstream"
)

// fetchKey tells fetches apart. Content that is only said to be somewhere is given to
// those who say so of the same places, and would be shown the same there: that another
// namespace is about to have it proves nothing.
type fetchKey struct {
	digest digest.Digest
	sites  string
}

func keyOf(d digest.Digest, places []*place) fetchKey { return fetchKey{d, sitesOf(places)} }

// join finds the fetch of a digest from the caller's places whose content may be kept, or
// begins one. The caller holds the fetch until its context ends. Nil when the caller has to
// fetch by itself: it brings no place, or waiting could be waiting for itself.
func (m *Mirror) join(ctx context.Context, d digest.Digest, size int64, places []*place) *fetch {
	if len(places) == 0 {
		return nil
	}
	key := keyOf(d, places)
	m.mu.Lock()
	defer m.mu.Unlock()
	f, found := m.fetches[key]
	if found && !f.begun() && len(upstream.RequestURLs(ctx)) > 0 {
		// Another registry asks. It may do so because this very fetch asked it, and
		// then nobody would ever answer.
		return nil
	}
	if found && !f.feed.over() {
		sharedTotal.Inc()
	} else if f = m.begin(key, size, places); f == nil {
		return nil
	}
	f.holders++
	m.leaveBackground(f)
	context.AfterFunc(ctx, func() { m.release(f) })
	return f
}

// begin starts a fetch; nil after Close. m.mu is held.
func (m *Mirror) begin(key fetchKey, size int64, places []*place) *fetch {
	f := &fetch{m: m, key: key, d: key.digest, size: size}
	f.ctx, f.cancel = context.WithCancelCause(m.base)
	f.feed = m.newFeed(f.ctx, f.d, size, 0, again(places))
	if !m.start(f.run) {
		f.cancel(nil)
		return nil
	}
	m.fetches[key] = f
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
		if m.fetches[f.key] == f {
			delete(m.fetches, f.key)
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
	if m.fetches[f.key] == f {
		delete(m.fetches, f.key)
	}
}
