package ociregistry

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// minProgress is how many bytes a client has to send before its deadline moves. The slowest
// real connections manage that in a minute; a byte now and then does not count.
const minProgress = 1 << 10

// body is the request body. It counts the bytes received and times out a client that stalls:
// an upload may take any time while it makes progress.
type body struct {
	src     io.ReadCloser
	w       http.ResponseWriter
	timeout time.Duration
	read    int64
	armedAt int64 // value of read when the deadline last moved
	failed  error // why the body is incomplete
}

func (b *body) begin(w http.ResponseWriter, r *http.Request, timeout time.Duration) {
	b.src, b.w, b.timeout = r.Body, w, timeout
	if r.Body != nil && r.Body != http.NoBody {
		// Also for handlers that do not read it: net/http drains the rest.
		b.allowTime(time.Now().Add(timeout))
		// Otherwise the write deadline of the previous response could fail "100 Continue".
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
}

func (b *body) allowTime(until time.Time) {
	// Only test recorders and wrappers do not support deadlines.
	_ = http.NewResponseController(b.w).SetReadDeadline(until)
	b.armedAt = b.read
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	n, err := b.src.Read(p)
	b.read += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		// From now on net/http reads only to detect a disconnect, which may take any time.
		b.allowTime(time.Time{})
	case err != nil:
		b.failed = err
	case b.read-b.armedAt >= minProgress:
		b.allowTime(time.Now().Add(b.timeout))
	}
	return n, err
}

// hasMore reports whether there is more to read.
func (b *body) hasMore() bool {
	var one [1]byte
	n, _ := io.ReadFull(b, one[:])
	return n > 0
}
