package blobstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// receive has all of some content arrive.
func receive(t testing.TB, in *blobstore.Ingest, content []byte) {
	t.Helper()
	if n, err := in.Receive(t.Context(), bytes.NewReader(content), nil); err != nil || n != int64(len(content)) {
		t.Fatalf("%d bytes of %d, %v", n, len(content), err)
	}
}

const pieceBytes = 256 << 10

// However content arrives, it is written and hashed in its order, and whoever waits for it
// is told of every piece once.
func TestReceive(t *testing.T) {
	s, ctx := storeOf(t, onDisk(t, t.TempDir())), t.Context()
	for name, as := range map[string]func(io.Reader) io.Reader{
		"at once":            whole,
		"in halves":          iotest.HalfReader,
		"its end with it":    iotest.DataErrReader,
		"in odd pieces":      func(r io.Reader) io.Reader { return oddReader{r, 70_001} },
		"with empty reads":   func(r io.Reader) io.Reader { return &stutter{Reader: r} },
		"in several batches": whole,
	} {
		for _, size := range []int{0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 2 * pieceBytes, 7*pieceBytes + 3} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				content := random(size)
				d := digest.FromBytes(content)
				in, err := s.Ingest(ctx, d)
				must(t, err)
				defer in.Cancel(ctx)
				var told []byte
				wrote := func(p []byte) {
					told = append(told, p...)
					if in.Size() != int64(len(told)) {
						t.Errorf("size %d of %d", in.Size(), len(told))
					}
				}
				batches := [][]byte{content}
				if name == "in several batches" {
					batches = [][]byte{content[:size/3], content[size/3:]}
				}
				for _, batch := range batches {
					if n, err := in.Receive(ctx, as(bytes.NewReader(batch)), wrote); err != nil || n != int64(len(batch)) {
						t.Fatalf("%d bytes of %d, %v", n, len(batch), err)
					}
				}
				if !bytes.Equal(told, content) {
					t.Errorf("told of %d bytes", len(told))
				}
				must(t, in.Commit(ctx))
				wantBlob(t, s, d, content)
			})
		}
	}
}

func whole(r io.Reader) io.Reader { return r }

// oddReader gives at most so much at a time.
type oddReader struct {
	io.Reader
	most int
}

func (r oddReader) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), r.most)]) }

// stutter gives nothing every other time.
type stutter struct {
	io.Reader
	n int
}

func (r *stutter) Read(p []byte) (int, error) {
	if r.n++; r.n%2 == 1 {
		return 0, nil
	}
	return r.Reader.Read(p)
}

// A reader that fails takes nothing back, and another one can go on.
func TestReceiveGoesOn(t *testing.T) {
	s, ctx := storeOf(t, onDisk(t, t.TempDir())), t.Context()
	content := random(5*pieceBytes + 5)
	d := digest.FromBytes(content)
	for _, first := range []int{0, 1, pieceBytes, 3*pieceBytes + 1} {
		in, err := s.Ingest(ctx, d)
		must(t, err)
		n, err := in.Receive(ctx, io.MultiReader(bytes.NewReader(content[:first]), iotest.ErrReader(io.ErrUnexpectedEOF)), nil)
		var received *blobstore.ReceiveError
		if !errors.As(err, &received) || !errors.Is(err, io.ErrUnexpectedEOF) || n != int64(first) || in.Size() != n {
			t.Fatalf("%d bytes of %d, %v", n, first, err)
		}
		receive(t, in, content[first:])
		must(t, in.Commit(ctx))
		wantBlob(t, s, d, content)
		must(t, s.Delete(ctx, d))
	}
	in, err := s.Ingest(ctx, d)
	must(t, err)
	defer in.Cancel(ctx)
	_, err = in.Receive(ctx, &stutter{Reader: stutterer{}}, nil)
	wantIs(t, err, io.ErrNoProgress)
}

// stutterer gives nothing, for ever.
type stutterer struct{}

func (stutterer) Read([]byte) (int, error) { return 0, nil }

// Receiving ends with its context, in the middle of what others are busy with.
func TestReceiveIsCancelled(t *testing.T) {
	st := storeOf(t, onDisk(t, t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	in, err := st.Ingest(ctx, digest.FromString("x"))
	must(t, err)
	piece := random(100_000)
	var n int64
	began := time.Now()
	_, err = in.Receive(ctx, endless(piece), func(p []byte) {
		if n += int64(len(p)); n > 8*pieceBytes {
			cancel()
		}
	})
	var received *blobstore.ReceiveError
	if !errors.As(err, &received) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if in.Size() != n || n > 12*pieceBytes || time.Since(began) > 10*time.Second {
		t.Errorf("%d bytes of %d in %s", in.Size(), n, time.Since(began))
	}
	must(t, in.Cancel(ctx))
}

// endless gives the same again and again.
type endless []byte

func (e endless) Read(p []byte) (int, error) { return copy(p, e), nil }

// What is verified is not stored yet, and nothing can be added to it.
func TestVerify(t *testing.T) {
	s, ctx := storeOf(t, onDisk(t, t.TempDir())), t.Context()
	content := random(3*pieceBytes + 1)
	d := digest.FromBytes(content)
	in, err := s.Ingest(ctx, d)
	must(t, err)
	receive(t, in, content)
	must(t, in.Verify())
	must(t, in.Verify())
	wantUnknown(t, s, d)
	r, err := in.Open(ctx, 0)
	must(t, err)
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_, err = in.Receive(ctx, bytes.NewReader(content), nil)
	wantIs(t, err, blobstore.ErrUnknown)
	must(t, in.Commit(ctx))
	wantBlob(t, s, d, content)
	wantIs(t, in.Verify(), blobstore.ErrUnknown)

	// Of something else there is nothing but the error, however often it is asked for.
	root := t.TempDir()
	s = storeOf(t, onDisk(t, root))
	in, err = s.Ingest(ctx, d)
	must(t, err)
	receive(t, in, content[1:])
	var mismatch *blobstore.DigestMismatch
	for _, try := range []func() error{in.Verify, in.Verify, func() error { return in.Commit(ctx) }} {
		if err := try(); !errors.As(err, &mismatch) || mismatch.Want != d || mismatch.Got != digest.FromBytes(content[1:]) {
			t.Errorf("%v", err)
		}
	}
	wantUnknown(t, s, d)
	if left := uploadsIn(t, root); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// Storing can fail after verifying: then there is nothing, but for those who have it open.
func TestCommitFailsAfterVerify(t *testing.T) {
	root := t.TempDir()
	s, ctx := storeOf(t, onDisk(t, root)), t.Context()
	content := random(pieceBytes + 1)
	d := digest.FromBytes(content)
	// A file stands where the blob's folder should be.
	folder := filepath.Join(root, "docker/registry/v2/blobs/sha256", d.Encoded()[:2])
	must(t, os.MkdirAll(filepath.Dir(folder), 0o700))
	must(t, os.WriteFile(folder, nil, 0o600))
	in, err := s.Ingest(ctx, d)
	must(t, err)
	receive(t, in, content)
	must(t, in.Verify())
	r, err := in.Open(ctx, 0)
	must(t, err)
	defer r.Close()
	if err := in.Commit(ctx); err == nil {
		t.Fatal("it is stored where nothing can be")
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	wantUnknown(t, s, d)
	if left := uploadsIn(t, root); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// What storage did not take whole cannot become a blob, not even where what was hashed of
// it is one.
func TestStorageFailsWhileReceiving(t *testing.T) {
	s, ctx := storeOf(t, onDisk(t, tmpfs(t, "size=2m"))), t.Context()
	content := random(pieceBytes)
	in, err := s.Ingest(ctx, digest.FromBytes(content))
	must(t, err)
	receive(t, in, content)
	_, err = in.Receive(ctx, endless(random(4096)), nil)
	for _, err := range []error{err, in.Verify(), in.Commit(ctx)} {
		wantIs(t, err, blobstore.ErrFull)
		wantIs(t, err, syscall.ENOSPC)
	}
	wantUnknown(t, s, digest.FromBytes(content))
	in, err = s.Ingest(ctx, digest.FromBytes(content)) // there is room again
	must(t, err)
	receive(t, in, content)
	must(t, in.Commit(ctx))
}

// BenchmarkIngest is a layer of 64 MiB that arrives. verified-MB/s is how fast it is
// known to be right, which is what its readers wait for.
func BenchmarkIngest(b *testing.B) {
	content := random(64 << 20)
	s := storeOf(b, onDisk(b, b.TempDir()))
	d := digest.FromBytes(content)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	var verified time.Duration
	for b.Loop() {
		began := time.Now()
		in, err := s.Ingest(b.Context(), d)
		must(b, err)
		if _, err := in.Receive(b.Context(), oddReader{bytes.NewReader(content), 64 << 10}, nil); err != nil {
			b.Fatal(err)
		}
		must(b, in.Verify())
		verified += time.Since(began)
		must(b, in.Commit(b.Context()))
		must(b, s.Delete(b.Context(), d))
	}
	b.ReportMetric(float64(b.N)*float64(len(content))/1e6/verified.Seconds(), "verified-MB/s")
}
