package ociregistry

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// minProgress is how many bytes a client has to send for its time to be counted anew.
// The slowest of real lines manage that in a minute; a byte now and then does not.
const minProgress = 1 << 10

// body is what a client sends. It counts it, and gives a client that stands still a
// limited time: a request may take as long as its upload takes, as long as it goes on.
type body struct {
	src     io.ReadCloser
	w       http.ResponseWriter
	timeout time.Duration
	read    int64
	armedAt int64 // read, when the time was last counted anew
	failed  error // why it did not arrive whole
}

func (b *body) begin(w http.ResponseWriter, r *http.Request, timeout time.Duration) {
	b.src, b.w, b.timeout = r.Body, w, timeout
	if r.Body != nil && r.Body != http.NoBody {
		// Also for handlers that do not read it: net/http drains what is left.
		b.allowTime(time.Now().Add(timeout))
		// Else the deadline of the connection's last answer could hit "100 Continue".
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
}

func (b *body) allowTime(until time.Time) {
	// A writer that has no deadlines belongs to a test or to a wrapper of its own.
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
		// From now on net/http waits for the client to go away, which is no fault.
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
