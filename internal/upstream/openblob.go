package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// OpenBlob begins to stream the blob from an offset on, in bytes. Everything up to the
// response's header is bounded and repeated as in other calls, and the body has no limit
// but Options.Downloads.
//
// Nothing is verified: the caller compares what it read with the digest. The context
// bounds the whole stream; the caller closes it.
func (c *Candidate) OpenBlob(ctx context.Context, offset int64) (*BlobStream, error) {
	if offset < 0 {
		return nil, &Error{Code: CodeName, Text: fmt.Sprintf("a blob has no byte %d", offset)}
	}
	return c.openBlob(ctx, offset)
}

// errHeaderLate is the end of a request whose answer does not begin.
var errHeaderLate = &Error{Code: CodeUnavailable, Text: unreachable, Detail: "timed out", Err: context.DeadlineExceeded}

func (s *source) openBlob(ctx context.Context, offset int64) (*BlobStream, error) {
	turn, waited := s.client.budgets.acquireDownload(ctx, s.Host)
	if waited != nil {
		return nil, waited
	}
	life, end := context.WithCancelCause(ctx)
	b := &BlobStream{Offset: offset, Source: s.Repository(), client: s.client, host: s.Host, turn: turn, life: life, end: end}
	closed := context.AfterFunc(s.client.base, func() { end(canceled(errClosed)) })
	defer closed()
	late := time.AfterFunc(s.client.opts.Timeouts.Call.Duration, func() { end(errHeaderLate) })
	defer late.Stop()
	ans, err := s.startBlob(life, offset)
	if err == nil {
		err = b.begin(ans)
	}
	if err != nil {
		var own *Error
		if errors.As(context.Cause(life), &own) {
			err = own
		}
		b.shut(asError(err))
		return nil, err
	}
	if !s.client.start(b.watch) {
		b.shut(canceled(errClosed))
		return nil, canceled(errClosed)
	}
	return b, nil
}

// startBlob sends the request of a stream from an offset on.
func (s *source) startBlob(ctx context.Context, offset int64) (*answer, error) {
	l, err := s.login(ctx, "/blobs/"+s.Reference)
	if err != nil {
		return nil, err
	}
	bytes := ""
	if offset > 0 {
		bytes = fmt.Sprintf("bytes=%d-", offset)
	}
	return s.askForBlob(ctx, l, bytes)
}

// askForBlob requests a range of the blob, "" for all of it. The answer is a 200 or a 206,
// not yet looked into, whose stream the caller closes.
func (s *source) askForBlob(ctx context.Context, l login, bytes string) (*answer, error) {
	q := query{kind: KindBlob, method: http.MethodGet, header: http.Header{}, limit: s.client.opts.bounds.errorBody, stream: true}
	// A server that compresses on the fly would change what offsets and sizes are of.
	q.header.Set("Accept-Encoding", "identity")
	if bytes != "" {
		q.header.Set("Range", bytes)
	}
	ans, l, err := s.ask(ctx, l, "/blobs/"+s.Reference, q)
	if err == nil && ans.status == http.StatusRequestedRangeNotSatisfiable && bytes != "" {
		// Some know ranges with an end only; all know the whole.
		q.header.Del("Range")
		ans, l, err = s.ask(ctx, l, "/blobs/"+s.Reference, q)
	}
	if err != nil {
		return nil, err
	}
	if ans.stream == nil {
		return nil, s.refusal(ans, KindBlob, l)
	}
	return ans, nil
}

// begin takes an answer's sizes and puts the stream onto its first byte.
func (b *BlobStream) begin(ans *answer) error {
	b.body, b.sent = ans.stream, ans.sent
	if ans.status == http.StatusOK {
		// All of it, whether or not a part was requested.
		b.Size, b.left, b.skip = ans.length, ans.length, b.Offset
		if b.Size >= 0 && b.Offset > b.Size {
			return protocol("the blob has %d bytes, fewer than the %d that were there before", b.Size, b.Offset)
		}
		return nil
	}
	r, ok := parseContentRange(ans.header.Get("Content-Range"))
	switch {
	case b.Offset == 0:
		return protocol("the registry answers with a part of the blob where the whole was asked for")
	case !ok:
		return protocol("the registry answers with a part of the blob and does not say which")
	case r.first != b.Offset:
		return protocol("the registry answers with the bytes from %d where those from %d were asked for", r.first, b.Offset)
	}
	b.Size, b.left = r.size, r.last-r.first+1
	if ans.length >= 0 && ans.length != b.left {
		return protocol("the registry announces %d bytes in one place and %d in another", b.left, ans.length)
	}
	return nil
}

func protocol(format string, args ...any) *Error {
	return &Error{Code: CodeProtocol, Text: fmt.Sprintf(format, args...)}
}
