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
	for empty := 0; n < len(buffer) && err == nil; {
		var m int
		m, err = r.Read(buffer[n:])
		n += m
		if m > 0 || err != nil {
			empty = 0
		} else if empty++; empty == 100 {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// receiver copies content that arrives into a file and into its hash.
type receiver struct {
	to   io.Writer
	hash *runningHash // nil for none
	// max bytes may come, a negative number for any.
	max int64
}

// copy returns how many bytes were written. What was received before an error is
// written. The error of the reader is a *ReceiveError, one of the bound *SizeMismatch, and
// any other is the writer's; then the hash is not to be used any more.
func (c receiver) copy(ctx context.Context, r io.Reader) (written int64, err error) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, readErr := fill(r, buffer[:])
		if err := c.write(buffer[:n], &written); err != nil {
			return written, err
		}
		if readErr == io.EOF { //nolint:errorlint // a reader's end is never wrapped
			return written, nil
		}
		if readErr == nil {
			readErr = ctx.Err()
		}
		if readErr != nil {
			return written, &ReceiveError{readErr}
		}
	}
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
	if err == nil && c.hash != nil {
		_, err = c.hash.Write(p)
	}
	return err
}
