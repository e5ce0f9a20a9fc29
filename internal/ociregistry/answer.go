package ociregistry

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// answer is the response of an exchange. It counts the bytes sent, times out clients that
// stop reading, and implements io.ReaderFrom, so that net/http uses sendfile for files.
type answer struct {
	http.ResponseWriter
	status  int // 0 until the header is sent
	sent    int64
	failed  bool // writing to the client failed
	aborted bool
	timeout time.Duration
	// direct is set when files can go to the connection as they are.
	direct bool
}

func (a *answer) begin(w http.ResponseWriter, r *http.Request, timeout time.Duration) {
	a.ResponseWriter, a.timeout = w, timeout
	_, readsFrom := w.(io.ReaderFrom)
	a.direct = readsFrom && r.TLS == nil
}

// Unwrap lets http.ResponseController find the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader sends the header. From here on the client has to keep reading.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
		// Before it sends the header, net/http reads the rest of the request body, which
		// may take the client as long again.
		a.allowTime(2 * a.timeout)
	}
	a.ResponseWriter.WriteHeader(status)
}

// allowTime moves the write deadline to span from now.
func (a *answer) allowTime(span time.Duration) {
	// Only test recorders and wrappers do not support deadlines.
	_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(span))
}

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	n, err := a.ResponseWriter.Write(p)
	a.sent += int64(n)
	a.failed = a.failed || err != nil
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (a *answer) ReadFrom(src io.Reader) (int64, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	direct, ok := a.ResponseWriter.(io.ReaderFrom)
	if !ok { // HTTP/2
		buffer := buffers.Get().(*[bufferBytes]byte)
		defer buffers.Put(buffer)
		return io.CopyBuffer(struct{ io.Writer }{a}, struct{ io.Reader }{src}, buffer[:])
	}
	n, err := direct.ReadFrom(src)
	a.sent += n
	return n, err
}

const (
	bufferBytes = 128 << 10
	// sliceBytes is how much of a file is sent before the deadline is moved.
	sliceBytes = 1 << 20
)

var buffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

var errShort = errors.New("the content ended before its length")

// send sends n bytes. A plain file goes from the page cache to the connection without
// passing through this process.
func (a *answer) send(src io.Reader, n int64) error {
	if file, ok := src.(*os.File); ok && a.direct {
		return a.sendFile(file, n)
	}
	buffer := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(buffer)
	due := time.Now()
	for n > 0 {
		read, err := src.Read(buffer[:min(n, bufferBytes)])
		if read > 0 {
			// The clock is read for each piece; the deadline moves only now and then.
			if now := time.Now(); now.After(due) {
				a.allowTime(a.timeout)
				due = now.Add(a.timeout / 8)
			}
			if _, err := a.Write(buffer[:read]); err != nil {
				return err
			}
			n -= int64(read)
		}
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return errShort
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
	}
	return nil
}

func (a *answer) sendFile(file *os.File, n int64) error {
	for n > 0 {
		a.allowTime(a.timeout)
		sent, err := io.CopyN(a, file, min(n, sliceBytes))
		n -= sent
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && sent > 0:
			// The client is slow but still reading. Nothing is lost: the file offset is
			// where sending stopped.
		case errors.Is(err, io.EOF):
			return errShort
		case err != nil:
			a.failed = true
			return err
		}
	}
	return nil
}
