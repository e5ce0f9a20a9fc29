package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// A HEAD saves work and decides nothing: registries and what stands before them serve it
// worse than GET, and its answer has no room for a reason. Everything but a 200 with what
// was looked for leads to a GET, a 429 too: the GET waits for the pause that the registry
// asked for, like any other request.

func (s *source) head(ctx context.Context) (Descriptor, error) {
	c := s.client
	return c.headFlights.do(ctx, c, s.flightKey("head", chainOf(ctx).key()), c.opts.Timeouts.Call.Duration, s.headNow)
}

func (s *source) headNow(ctx context.Context) (Descriptor, error) {
	q := query{kind: KindHead, header: http.Header{"Accept": {acceptManifests}}}
	ans, l, err := s.askByHead(ctx, "/manifests/"+s.Reference, q)
	if err != nil {
		return Descriptor{}, err
	}
	if d, ok := s.described(ans); ok {
		return d, nil
	}
	m, err := s.manifestAs(ctx, l)
	return m.Descriptor, err
}

// described returns the descriptor in an answer to HEAD; false without one.
func (s *source) described(ans *answer) (Descriptor, bool) {
	if ans == nil || ans.status != http.StatusOK {
		return Descriptor{}, false
	}
	announced := announcedDigest(ans.header)
	if want := s.wanted(); announced == "" || want != "" && want != announced {
		return Descriptor{}, false
	}
	return Descriptor{Digest: announced, MediaType: mediaType(ans.header), Size: ans.length, Source: s.Repository()}, true
}

// askByHead sends a query as a HEAD. The answer is nil when the connection broke on it. The
// error is one after which a GET is of no use.
func (s *source) askByHead(ctx context.Context, path string, q query) (*answer, login, error) {
	l, err := s.login(ctx, path)
	if err != nil {
		return nil, l, err
	}
	q.method = http.MethodHead
	ans, l, err := s.ask(ctx, l, path, q)
	if err != nil && (ans != nil || unreached(asError(err))) {
		return nil, l, err
	}
	if err != nil {
		ans = nil
	}
	return ans, l, nil
}

// unreached reports whether a request failed before the registry had it, or the time for it
// is over.
func unreached(e *Error) bool {
	switch e.Code {
	case CodeTooManyRequests, CodeForbiddenAddress, CodeCanceled:
		return true
	}
	var op *net.OpError
	return isContextError(e.Err) || errors.As(e.Err, &op) && op.Op == "dial"
}

// blobSize finds the size of a blob. The word of a HEAD is taken if it is the expected size,
// or none is expected (-1).
func (s *source) blobSize(ctx context.Context, expected int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.client.opts.Timeouts.Call.Duration)
	defer cancel()
	ans, l, err := s.askByHead(ctx, "/blobs/"+s.Reference, query{kind: KindBlob, header: http.Header{}})
	if err != nil {
		return 0, err
	}
	if ans != nil && ans.status == http.StatusOK && s.couldBe(ans.length) && (expected < 0 || ans.length == expected) {
		return ans.length, nil
	}
	return s.blobSizeByGet(ctx, l)
}

// couldBe reports whether the blob can have a size. Some answer every HEAD with a length of 0.
func (s *source) couldBe(size int64) bool {
	return size > 0 || size == 0 && s.wanted() == digest.FromBytes(nil)
}

// blobSizeByGet requests the first byte of a blob, to read the size from the header.
func (s *source) blobSizeByGet(ctx context.Context, l login) (int64, error) {
	ans, err := s.askForBlob(ctx, l, "bytes=0-0")
	if err != nil {
		return 0, err
	}
	ans.stream.Close()
	s.client.observe(Observation{Host: s.Host, Kind: KindBlob, Outcome: OutcomeSuccess, Duration: time.Since(ans.sent)})
	size := ans.length
	if ans.status == http.StatusPartialContent {
		size = -1
		if r, ok := parseContentRange(ans.header.Get("Content-Range")); ok {
			size = r.size
		}
	}
	if size < 0 {
		return 0, protocol("the registry does not tell the size of blob %s", s.Reference)
	}
	return size, nil
}
