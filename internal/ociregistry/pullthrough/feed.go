package pullthrough

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/upstream"
)

var (
	// errNoPlace ends a feed none of whose places goes on; each place has its own reason.
	errNoPlace = errors.New("no place is left to fetch from")
	// errLied is the cause with a registry that sent wrong content to this feed before:
	// it is asked after all others, so its place has nobody else.
	errLied = errors.New("sent wrong content before")
)

// feed reads one blob from the places that have it, one after the other. When a
// connection breaks it goes on where that stopped: once more at the same place, then at
// the next, with growing pauses and a bounded number of times. Nothing is verified but
// the size. Only over and failuresOf may be called while another goroutine reads.
type feed struct {
	m    *Mirror
	ctx  context.Context
	d    digest.Digest
	want int64 // size of the whole blob as the stream knows it, -1 when it does not
	size int64 // the same, or what a place has announced
	pos  int64 // the next byte

	stream *upstream.BlobStream
	from   *place // whose the stream is
	began  bool   // some place has answered
	pauses int    // since there was progress
	avoid  []string
	used   []string // who sent something
	givers []*place // whose content that was
	liars  []string // who sent something else

	mu     sync.Mutex
	places []*place
	at     int
	ended  bool // nobody may join
}

func (m *Mirror) newFeed(ctx context.Context, d digest.Digest, size, pos int64, places []*place) *feed {
	liars, _ := m.liars.get(d.String())
	// Places that have nobody else come last.
	slices.SortStableFunc(places, func(a, b *place) int {
		return cmp.Compare(trust(a, liars), trust(b, liars))
	})
	return &feed{m: m, ctx: ctx, d: d, want: size, size: size, pos: pos, places: places, avoid: slices.Clone(liars)}
}

func trust(p *place, liars []string) int {
	if len(liars) > 0 && within(p.sources, liars) {
		return 1
	}
	return 0
}

// over tells whether it has given up.
func (f *feed) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

// failuresOf are a caller's places with what became of them here.
func (f *feed) failuresOf(places []*place) []*place {
	f.mu.Lock()
	defer f.mu.Unlock()
	tried := again(places)
	for _, p := range tried {
		i := slices.IndexFunc(f.places, func(own *place) bool { return own.site() == p.site() })
		if i >= 0 {
			p.failure = f.places[i].failure
		}
	}
	return tried
}

// next is the place to ask, nil when none is left.
func (f *feed) next() *place {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range f.places {
		p := f.places[f.at%len(f.places)]
		if !p.gone {
			return p
		}
		f.at++
	}
	f.ended = true
	return nil
}

// end keeps others from joining.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
}

// open connects, unless there is nothing to read any more. Afterwards size is known if
// anybody tells it.
func (f *feed) open() error {
	for f.stream == nil && (f.size < 0 || f.pos < f.size) {
		p := f.next()
		if p == nil {
			return errNoPlace
		}
		if err := f.pause(p); err != nil {
			return err
		}
		b, err := p.openBlob(f.ctx, f.d, f.pos, f.avoid, f.began)
		if err == nil {
			err = f.accept(p, b)
		}
		if f.ctx.Err() != nil {
			if b != nil {
				_ = b.Close()
			}
			return context.Cause(f.ctx)
		}
		if err != nil {
			f.failed(p, err)
		}
	}
	return nil
}

// accept takes a stream whose size is right.
func (f *feed) accept(p *place, b *upstream.BlobStream) error {
	if slices.Contains(f.liars, b.Source) {
		_ = b.Close()
		e := integrity(b.Source, "it sends content with another digest")
		e.Err = errLied
		return e
	}
	if f.size >= 0 && b.Size >= 0 && b.Size != f.size {
		_ = b.Close()
		f.m.distrust(f.d, b.Source)
		f.shun(b.Source)
		return integrity(b.Source, "the blob is announced with %d bytes instead of %d", b.Size, f.size)
	}
	if f.size < 0 && b.Size >= 0 {
		f.size = b.Size
	}
	if f.began {
		resumesTotal.Inc()
	}
	f.stream, f.from, f.began = b, p, true
	if !slices.Contains(f.used, b.Source) {
		f.used = append(f.used, b.Source)
	}
	return nil
}

// Read implements io.Reader. Its errors are errNoPlace, the context's cause, an
// *upstream.Error for more than a blob of unknown size may have, and io.EOF, which is given
// at the right size only, or where the size is unknown.
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
			p = p[:f.size-f.pos] // whatever comes behind that is not looked at
		}
		n, err := f.stream.Read(p)
		f.pos += int64(n)
		receivedBytes.Add(float64(n))
		if n > 0 && !slices.Contains(f.givers, f.from) {
			f.givers = append(f.givers, f.from)
		}
		if err != nil {
			if f.size < 0 && errors.Is(err, io.EOF) {
				f.size = f.pos
			} else if f.size < 0 || f.pos < f.size {
				f.broke(err)
			}
		}
		if f.size < 0 && f.pos > f.m.opts.MaxBlobBytes {
			return 0, &upstream.Error{Code: upstream.CodeTooLarge, Source: firstOf(f.used), Text: "the blob is larger than a blob may be"}
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

func (f *feed) close() {
	if f.stream != nil {
		_ = f.stream.Close()
		f.stream = nil
	}
}
