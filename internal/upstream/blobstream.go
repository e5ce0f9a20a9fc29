package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// BlobStream is a blob on its way from a registry. It is read by one goroutine; Close
// may be called by any. Errors are of type *Error, io.EOF apart.
type BlobStream struct {
	// Size is that of the whole blob in bytes, as the registry announces it; -1 when it
	// does not.
	Size int64
	// Offset is where in the blob the first byte read stands.
	Offset int64
	// Source is the host/repository that sends it: a mirror or the source.
	Source string

	client *Client
	host   string
	turn   *hostBudget
	sent   time.Time
	body   io.ReadCloser
	skip   int64 // bytes to throw away first
	left   int64 // bytes to come, those to skip included; -1 when unknown
	got    int64 // bytes that came
	err    error // what Read returns from now on

	// life ends with the stream, its cause says why. moved counts for the watch.
	life  context.Context
	end   context.CancelCauseFunc
	moved atomic.Int64
	once  sync.Once
}

// errStreamClosed is the cause of reading a stream that was closed.
var errStreamClosed = errors.New("the stream is closed")

// Read reads on. A connection that breaks, stalls or ends before its time is
// CodeUnavailable; what was read before counts.
func (b *BlobStream) Read(p []byte) (int, error) {
	if b.err == nil && b.skip > 0 {
		b.err = b.skipAhead()
	}
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.read(p)
	b.err = err
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// skipAhead discards the bytes that a server without ranges sends once more.
func (b *BlobStream) skipAhead() error {
	buffer := make([]byte, 64<<10)
	for b.skip > 0 {
		n, err := b.read(buffer[:min(b.skip, int64(len(buffer)))])
		b.skip -= int64(n)
		if errors.Is(err, io.EOF) && b.skip == 0 {
			return io.EOF
		}
		if errors.Is(err, io.EOF) {
			return b.fail(protocol("the blob has %d bytes, fewer than the %d that were there before", b.got, b.Offset))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads from the connection, for as long as that moves.
func (b *BlobStream) read(p []byte) (int, error) {
	if b.left == 0 {
		b.shut(nil)
		return 0, io.EOF
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	stalled := time.AfterFunc(b.client.opts.Downloads.Stall, func() {
		b.end(&Error{Code: CodeUnavailable, Text: "the registry sends nothing any more"})
	})
	n, err := b.body.Read(p)
	stalled.Stop()
	b.moved.Add(int64(n))
	b.got += int64(n)
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case err == nil && b.left == 0, errors.Is(err, io.EOF) && b.left <= 0:
		b.shut(nil)
		return n, io.EOF
	case err != nil:
		return n, b.fail(b.failure(err))
	}
	return n, nil
}

// failure is the error of a connection that does not go on.
func (b *BlobStream) failure(err error) *Error {
	cause := context.Cause(b.life)
	var own *Error
	switch {
	case errors.As(cause, &own):
		return own
	case cause != nil:
		return canceled(cause)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Code: CodeUnavailable, Text: fmt.Sprintf("the connection ended %d bytes too early", b.left), Err: io.ErrUnexpectedEOF}
	}
	return b.client.brokenOff(b.life, err)
}

// fail ends the stream with an error, in its own words for this source.
func (b *BlobStream) fail(err *Error) error {
	b.shut(err)
	return err.at("", b.Source)
}

// Close gives up what was not read. It does not wait for a Read that is under way,
// which ends with an error.
func (b *BlobStream) Close() error {
	b.shut(nil)
	return nil
}

// shut ends the stream once: its connection, its turn, and its observation.
func (b *BlobStream) shut(why *Error) {
	b.once.Do(func() {
		if why != nil {
			b.end(why)
		} else {
			b.end(errStreamClosed)
		}
		if b.body != nil {
			b.body.Close()
			o := Observation{Host: b.host, Kind: KindBlob, Outcome: OutcomeSuccess, Duration: time.Since(b.sent)}
			if why != nil {
				o.Outcome = string(why.Code)
			}
			b.client.observe(o)
		}
		b.turn.releaseDownload()
	})
}

// watch ends a stream that hardly moves, and one whose caller or client is gone.
func (b *BlobStream) watch() {
	opts := b.client.opts.Downloads
	ticker := time.NewTicker(opts.Window)
	defer ticker.Stop()
	var before int64
	for {
		select {
		case <-b.life.Done():
			b.shut(b.failure(context.Cause(b.life)))
			return
		case <-b.client.base.Done():
			b.shut(canceled(errClosed))
			return
		case <-ticker.C:
		}
		now := b.moved.Load()
		if now-before < opts.least() {
			b.shut(&Error{Code: CodeUnavailable, Text: fmt.Sprintf("the download moved %d bytes in %s", now-before, opts.Window)})
			return
		}
		before = now
	}
}
