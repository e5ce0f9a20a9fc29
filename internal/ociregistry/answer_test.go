package ociregistry

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// slowTaker is a connection that takes a part of what it is given before its deadline.
type slowTaker struct {
	http.ResponseWriter
	got       bytes.Buffer
	each      int64
	deadlines int
}

func (s *slowTaker) Header() http.Header { return http.Header{} }
func (s *slowTaker) WriteHeader(int)     {}
func (s *slowTaker) SetWriteDeadline(time.Time) error {
	s.deadlines++
	return nil
}

func (s *slowTaker) Write(p []byte) (int, error) { return s.got.Write(p) }

func (s *slowTaker) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.CopyN(&s.got, src, s.each)
	if err == nil {
		err = os.ErrDeadlineExceeded
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// TestSendFileSlowly holds that a file goes on where the connection stopped taking it, as
// long as that takes something in its time.
func TestSendFileSlowly(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	path := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		each      int64
		deadlines int // 0 for a client that is given up
	}{{100_000, 32}, {3 << 20, 3}, {0, 0}} {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		taker := &slowTaker{each: c.each}
		a := &answer{}
		a.begin(taker, &http.Request{}, time.Minute)
		a.WriteHeader(http.StatusOK)
		taker.deadlines = 0
		err = a.send(file, int64(len(content)))
		file.Close()
		if c.deadlines == 0 {
			if !errors.Is(err, os.ErrDeadlineExceeded) || !a.failed {
				t.Errorf("a client that takes nothing ends with %v", err)
			}
			continue
		}
		if err != nil || !bytes.Equal(taker.got.Bytes(), content) || a.sent != int64(len(content)) {
			t.Errorf("taking %d a time: %d bytes, %v", c.each, taker.got.Len(), err)
		}
		if taker.deadlines != c.deadlines {
			t.Errorf("taking %d a time: its time was counted anew %d times, not %d", c.each, taker.deadlines, c.deadlines)
		}
	}
}

// TestSendShort holds that content which ends before its length is an error.
func TestSendShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, src := range []io.Reader{file, bytes.NewReader([]byte("short"))} {
		a := &answer{}
		a.begin(&slowTaker{each: 1 << 20}, &http.Request{}, time.Minute)
		if err := a.send(struct{ io.Reader }{src}, 6); !errors.Is(err, errShort) {
			t.Errorf("%T: %v", src, err)
		}
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	a := &answer{}
	a.begin(&slowTaker{each: 1 << 20}, &http.Request{}, time.Minute)
	if err := a.send(file, 6); !errors.Is(err, errShort) {
		t.Errorf("a file: %v", err)
	}
}
