package pullthrough

import (
	"context"

	digest "github.com/opencontainers/go-digest"
)

// fetchKey identifies a fetch. Callers share one only if they want the digest from the same
// sources with the same credentials: a fetch of another namespace does not prove that these
// sources have the content.
type fetchKey struct {
	digest  digest.Digest
	sources string
}

// join finds the fetch of a job, or starts one. The caller holds the fetch until its context
// ends. It returns nil if the caller must fetch without sharing: there is no candidate, or the
// fetch could be waiting for this caller.
func (m *Mirror) join(ctx context.Context, j *job) *fetch {
	if len(j.candidates) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f, found := m.fetches[j.shareKey()]
	if found && !f.begun() && len(j.chain) > 0 {
		// The caller is another registry. If this very fetch caused its request, waiting
		// would be a deadlock.
		return nil
	}
	if found {
		sharedTotal.Inc()
	} else if f = m.begin(j); f == nil {
		return nil
	}
	f.holders++
	m.leaveBackground(f)
	context.AfterFunc(ctx, func() { m.release(f) })
	return f
}

// begin starts a fetch. It returns nil after Close. The caller holds m.mu.
func (m *Mirror) begin(j *job) *fetch {
	f := &fetch{m: m, key: j.shareKey(), d: j.Digest, size: j.Size}
	f.ctx, f.cancel = context.WithCancelCause(m.base)
	f.feed = m.newFeed(f.ctx, j, 0)
	if !m.start(f.run) {
		f.cancel(nil)
		return nil
	}
	m.fetches[f.key] = f
	return f
}

func (f *fetch) begun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answered
}

// release ends a caller's hold. A fetch without callers continues in the background if little is
// missing, since clients often retry. Beyond MaxBackground it is canceled.
func (m *Mirror) release(f *fetch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.holders--
	switch {
	case f.holders > 0 || f.over:
	case m.background < m.opts.MaxBackground && f.nearlyDone():
		m.background++
		f.background = true
		backgroundFetches.Inc()
	default:
		if m.fetches[f.key] == f {
			delete(m.fetches, f.key)
		}
		f.cancel(errAbandoned)
	}
}

// leaveBackground removes a fetch from the background. The caller holds m.mu.
func (m *Mirror) leaveBackground(f *fetch) {
	if f.background {
		m.background--
		f.background = false
		backgroundFetches.Dec()
	}
}

// forget removes a fetch: the next caller starts another one or finds the blob in storage.
func (m *Mirror) forget(f *fetch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.over = true
	m.leaveBackground(f)
	if m.fetches[f.key] == f {
		delete(m.fetches, f.key)
	}
}
