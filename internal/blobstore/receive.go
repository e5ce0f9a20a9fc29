package blobstore

import (
	"context"
	"io"
	"sync"
)

// bufferSize is how much is read, hashed and written at a time: enough that the calls of
// the operating system do not count, little enough for a thousand uploads at once.
const bufferSize = 256 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// fill reads until the buffer is full or there is an error, which is io.EOF at the end.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var m int
		m, err = some(r, buffer[n:])
		n += m
	}
	return n, err
}

// some reads something, or there is an error.
func some(r io.Reader, buffer []byte) (n int, err error) {
	for range 100 {
		if n, err = r.Read(buffer); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// receiver copies content that arrives into a file and into its hash. What has been
// written is hashed beside what comes next.
type receiver struct {
	to   io.Writer
	hash *runningHash // nil for none
	// max bytes may come, a negative number for any.
	max int64
	// wrote is called for what has been written, in the goroutine that copies, and may look
	// at it until it returns. Then all is written as it comes: a reader waits for it.
	// Nil without a reader; then a buffer is filled first.
	wrote func(p []byte)
}

// copy returns how many bytes were written. What was received before an error is
// written, and hashed by then. The error of the reader is a *ReceiveError, one of the
// bound *SizeMismatch, and any other is the writer's; then the hash is not to be used
// any more.
func (c receiver) copy(ctx context.Context, r io.Reader) (written int64, err error) {
	beside := &hashing{hash: c.hash}
	defer beside.end()
	for {
		buffer := buffers.Get().(*[bufferSize]byte)
		n, readErr, err := c.fill(ctx, r, buffer[:], &written)
		beside.add(buffer, n, readErr != nil || err != nil)
		if err != nil {
			return written, err
		}
		if readErr == io.EOF { //nolint:errorlint // a reader's end is never wrapped
			return written, nil
		}
		if readErr != nil {
			return written, &ReceiveError{readErr}
		}
	}
}

// fill fills a buffer with what is received, n bytes of which are written.
func (c receiver) fill(ctx context.Context, r io.Reader, buffer []byte, written *int64) (n int, readErr, err error) {
	read := fill
	if c.wrote != nil {
		read = some
	}
	for n < len(buffer) && readErr == nil && err == nil {
		var m int
		m, readErr = read(r, buffer[n:])
		if err = c.write(buffer[n:n+m], written); err == nil {
			n += m
		}
		if readErr == nil {
			readErr = ctx.Err()
		}
	}
	return n, readErr, err
}

func (c receiver) write(p []byte, written *int64) error {
	if c.max >= 0 && int64(len(p)) > c.max-*written {
		return &SizeMismatch{Want: c.max, Got: *written + int64(len(p))}
	}
	if len(p) == 0 {
		return nil
	}
	n, err := c.to.Write(p)
	*written += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err == nil && c.wrote != nil {
		c.wrote(p)
	}
	return err
}

// hashing hashes buffers in the order in which they come, in a goroutine of its own once
// there are several: a hash takes about as long as receiving and writing together.
type hashing struct {
	hash   *runningHash // nil for none
	queue  chan hashed
	worker sync.WaitGroup
}

// hashed is a buffer of which n bytes are to be hashed.
type hashed struct {
	buffer *[bufferSize]byte
	n      int
}

// queueLength is how many buffers wait to be hashed, beside the one that is being hashed
// and the one that is being filled. One evens out what scheduling does to either side.
const queueLength = 1

// add hashes n bytes of a buffer, which is not the caller's any more, and waits while too
// many are queued.
func (h *hashing) add(buffer *[bufferSize]byte, n int, last bool) {
	switch {
	case h.hash == nil || n == 0:
		buffers.Put(buffer)
		return
	case h.queue == nil && last:
		h.do(hashed{buffer, n})
		return
	case h.queue == nil:
		h.queue = make(chan hashed, queueLength)
		h.worker.Go(func() {
			for p := range h.queue {
				h.do(p)
			}
		})
	}
	h.queue <- hashed{buffer, n}
}

func (h *hashing) do(p hashed) {
	_, _ = h.hash.Write(p.buffer[:p.n]) // it never fails
	buffers.Put(p.buffer)
}

// end returns when all is hashed.
func (h *hashing) end() {
	if h.queue != nil {
		close(h.queue)
		h.worker.Wait()
	}
}
