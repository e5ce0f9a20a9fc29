package blobstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/disk"
)

func wantDamaged(t *testing.T, s *blobstore.Store, d digest.Digest, damaged []byte) {
	t.Helper()
	var mismatch *blobstore.DigestMismatch
	if err := s.Verify(t.Context(), d); !errors.As(err, &mismatch) || mismatch.Want != d || mismatch.Got != digest.FromBytes(damaged) {
		t.Errorf("%v, want a DigestMismatch", err)
	}
}

func wantQuarantine(t *testing.T, s *blobstore.Store, d digest.Digest, want bool) {
	t.Helper()
	if got, err := s.Quarantine(t.Context(), d); err != nil || got != want {
		t.Errorf("quarantined: %t, %v, want %t", got, err, want)
	}
}

func testQuarantine(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	wantIs(t, s.Verify(ctx, digest.FromString("nothing")), blobstore.ErrUnknown)
	wantIs(t, second(s.Quarantine(ctx, digest.FromString("nothing"))), blobstore.ErrUnknown)
	wantIs(t, s.Verify(ctx, "x"), blobstore.ErrInvalid)
	wantIs(t, second(s.Quarantine(ctx, "x")), blobstore.ErrInvalid)
	for way, store := range waysToStore {
		for _, size := range []int{1000, 300_000} {
			content := append(random(size), way...)
			d := digest.FromBytes(content)
			damagedPath := strings.TrimSuffix(blobPath(d), "data") + "damaged"
			must(t, store(ctx, s, d, content))
			must(t, s.LinkBlob(ctx, web, d))
			must(t, s.Verify(ctx, d))
			wantQuarantine(t, s, d, false)
			wantBlob(t, s, d, content)
			for name, with := range damages {
				damaged := with(content)
				damage(t, st.driver, d, damaged)
				wantDamaged(t, s, d, damaged)
				second(s.Stat(ctx, d)) // so that it is remembered
				wantQuarantine(t, s, d, true)
				wantUnknown(t, s, d)
				wantHas(t, s, web, d, true)
				if got, err := st.driver.GetContent(ctx, damagedPath); err != nil || !bytes.Equal(got, damaged) {
					t.Errorf("%s: %d bytes, %v, or other ones are kept", name, len(got), err)
				}
				must(t, store(ctx, s, d, content))
				must(t, s.Verify(ctx, d))
				wantBlob(t, s, d, content)
			}
			must(t, s.Delete(ctx, d))
			if _, err := st.driver.Stat(ctx, damagedPath); !errors.As(err, new(storagedriver.PathNotFoundError)) {
				t.Errorf("of a deleted blob the damaged data stays: %v", err)
			}
		}
	}
	wantNothingLeft(t, st)
}

// hooks runs something when a reader of a path is closed.
type hooks struct {
	path   string
	closed []func() // one after the other
}

func (h *hooks) reader(r io.ReadCloser, path string, err error) (io.ReadCloser, error) {
	if err != nil || path != h.path || len(h.closed) == 0 {
		return r, err
	}
	next := h.closed[0]
	h.closed = h.closed[1:]
	return closer{r, next}, nil
}

type closer struct {
	io.ReadCloser
	closed func()
}

func (c closer) Close() error {
	defer c.closed()
	return c.ReadCloser.Close()
}

// hooked and hookedDisk are a driver with hooks.
type (
	hooked struct {
		storagedriver.StorageDriver
		*hooks
	}
	hookedDisk struct {
		*disk.Driver
		*hooks
	}
)

func (h hooked) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	r, err := h.StorageDriver.Reader(ctx, path, offset)
	return h.reader(r, path, err)
}

func (h hookedDisk) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	r, err := h.Driver.Reader(ctx, path, offset)
	return h.reader(r, path, err)
}

func withHooks(driver storagedriver.StorageDriver, h *hooks) storagedriver.StorageDriver {
	if d, ok := driver.(*disk.Driver); ok {
		return hookedDisk{d, h}
	}
	return hooked{driver, h}
}

// testQuarantineAndPush pushes a blob while its data is being taken out of service, at each
// time at which it was just read.
func testQuarantineAndPush(t *testing.T, st storage) {
	elsewhere, ctx := storeOf(t, st.driver), t.Context()
	content := random(300_000)
	d := digest.FromBytes(content)
	repair := func() {
		before, err := st.driver.Stat(ctx, blobPath(d))
		must(t, err)
		for after := before; after.ModTime().Equal(before.ModTime()); { // there may be one a second only
			must(t, waysToStore["PutStream"](ctx, elsewhere, d, content))
			after, err = st.driver.Stat(ctx, blobPath(d))
			must(t, err)
		}
	}
	reads := 1
	if st.driver.Name() == "s3aws" {
		reads = 2 // it is copied, too
	}
	for n := range reads {
		damage(t, st.driver, d, damages["flipped"](content))
		h := &hooks{path: blobPath(d)}
		for range n {
			h.closed = append(h.closed, func() {})
		}
		h.closed = append(h.closed, repair)
		s := storeOf(t, withHooks(st.driver, h))
		wantQuarantine(t, s, d, false)
		if len(h.closed) > 0 {
			t.Errorf("the data was not read %d times", n+1)
		}
		wantBlob(t, s, d, content)
	}
	wantNothingLeft(t, st)
}

// The pace is asked for every byte, and ends the reading.
func TestVerifyPaced(t *testing.T) {
	s, ctx := storeOf(t, inMemory(t)), t.Context()
	content := random(3*pieceBytes + 1)
	d := digest.FromBytes(content)
	must(t, s.Put(ctx, d, content))
	read := 0
	size, err := s.VerifyPaced(ctx, d, func(_ context.Context, n int) error {
		read += n
		return nil
	})
	if err != nil || size != int64(len(content)) || read != len(content) {
		t.Errorf("%d bytes, %d paced, %v", size, read, err)
	}
	enough := errors.New("enough")
	size, err = s.VerifyPaced(ctx, d, func(context.Context, int) error { return enough })
	if !errors.Is(err, enough) || size != pieceBytes {
		t.Errorf("%d bytes, %v", size, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	_, err = s.VerifyPaced(ctx, d, func(context.Context, int) error {
		cancel()
		return nil
	})
	wantIs(t, err, context.Canceled)
}
