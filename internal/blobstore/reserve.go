package blobstore

import (
	"fmt"
	"io"
)

// Reserve is room that is kept free in storage. *diskspace.Reserve is one.
type Reserve interface {
	// Admit is an error when so many more bytes would not leave the reserve.
	Admit(bytes int64) error
}

// smallFile is about what a file of a few bytes and its folder take.
const smallFile = 8 << 10

// Room is ErrFull when there is no room for new content. What is taken away, linked or
// recorded about content that is there needs none: it takes little, and goes on.
func (s *Store) Room() error { return s.admit(smallFile) }

func (s *Store) admit(bytes int64) error {
	if s.reserve == nil {
		return nil
	}
	if err := s.reserve.Admit(bytes); err != nil {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return nil
}

// sparing writes to w what there is room for.
func (s *Store) sparing(w io.Writer) io.Writer {
	if s.reserve == nil {
		return w
	}
	return sparingWriter{w, s}
}

type sparingWriter struct {
	to    io.Writer
	store *Store
}

func (w sparingWriter) Write(p []byte) (int, error) {
	if err := w.store.admit(int64(len(p))); err != nil {
		return 0, err
	}
	return w.to.Write(p)
}
