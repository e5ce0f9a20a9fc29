package pullthrough

import (
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
	// enoughProgress is how many bytes clear a place of its earlier failures.
	enoughProgress = 1 << 20
	// longestPause is the longest Retry-After that is waited for in the middle of a blob.
	longestPause = 30 * time.Second
)

// broke gives up a stream that does not go on. Of a place that has it from several
// registries, another one is asked when the same one breaks twice.
func (f *feed) broke(err error) {
	b := f.stream
	f.close()
	if f.ctx.Err() != nil {
		return
	}
	if errors.Is(err, io.EOF) {
		err = &upstream.Error{
			Code: upstream.CodeUnavailable, Source: b.Source,
			Text: fmt.Sprintf("the blob ended after %d bytes of %d", f.pos, f.size),
		}
	}
	f.failed(f.from, err)
	if f.from.tries >= 2 {
		f.shun(b.Source)
	}
}

// shun asks a registry after all others from now on.
func (f *feed) shun(source string) {
	if !slices.Contains(f.avoid, source) {
		f.avoid = append(f.avoid, source)
	}
}

// failed notes a failure and whether the place may be asked again. Before anything has
// arrived it may not: the client has repeated what was worth it, and a caller waits for
// an answer. In the middle of a blob patience is cheaper than to begin anew.
func (f *feed) failed(p *place, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pos-p.since >= enoughProgress {
		p.tries, f.pauses = 0, 0
	}
	p.failure, p.since = err, f.pos
	p.tries++
	e := upstreamError(err)
	switch {
	case e == nil, errors.Is(err, errLied), p.tries >= f.m.opts.Attempts:
		p.gone = true
	case !f.began && e.Code != upstream.CodeIntegrity:
		p.gone = true
	case e.RetryAfter > longestPause, e.Code == upstream.CodeCanceled, e.Code == upstream.CodeLoop:
		p.gone = true
	}
	if p.gone || p.tries%2 == 0 {
		f.at++
	}
}

// pause waits before a place is asked again.
func (f *feed) pause(p *place) error {
	if !f.began || f.pauses == 0 && p.failure == nil {
		return nil
	}
	wait := min(f.m.opts.RetryBase<<min(f.pauses, 16), f.m.opts.RetryMax)
	f.pauses++
	wait = wait/2 + rand.N(wait+1)
	if e := upstreamError(p.failure); e != nil {
		wait = max(wait, e.RetryAfter)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-f.ctx.Done():
		return context.Cause(f.ctx)
	}
}

// lied remembers who sent what turned out to be something else, and goes back to the
// beginning.
func (f *feed) lied() {
	f.close()
	for _, source := range f.used {
		f.m.distrust(f.d, source)
		f.shun(source)
	}
	f.liars = append(f.liars, f.used...)
	f.pos, f.size, f.used, f.givers = 0, f.want, nil, nil
}

// distrust has a registry asked for a digest after all others for a while.
func (m *Mirror) distrust(d digest.Digest, source string) {
	known, _ := m.liars.get(d.String())
	if !slices.Contains(known, source) {
		m.liars.put(d.String(), append(slices.Clip(known), source))
	}
}
