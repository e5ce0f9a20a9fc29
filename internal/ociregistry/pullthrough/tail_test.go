package pullthrough

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/disk"
	"weir.dev/weir/internal/ociregistry"
)

// slowStorage is storage that completes no file before it is told to.
type slowStorage struct {
	begun atomic.Int32 // files that wait to be completed
	gate  chan struct{}
	open  func()
	err   error // what becomes of them
}

func newSlowStorage(err error) *slowStorage {
	s := &slowStorage{gate: make(chan struct{}), err: err}
	s.open = sync.OnceFunc(func() { close(s.gate) })
	return s
}

// drivers are the storages of this package's tests, made slow.
func (s *slowStorage) drivers() map[string]func(*setup) {
	return map[string]func(*setup){
		"disk": func(o *setup) {
			o.driver = func(folder string) storagedriver.StorageDriver { return slowDisk{onDisk(folder).(*disk.Driver), s} }
		},
		"unreadable while written": func(o *setup) {
			o.driver = func(folder string) storagedriver.StorageDriver { return slowMemory{inMemory(folder), s} }
		},
		"unreadable while written, without room for copies": func(o *setup) {
			o.driver = func(folder string) storagedriver.StorageDriver { return slowMemory{inMemory(folder), s} }
			o.MaxTempBytes = 1000
		},
	}
}

type slowDisk struct {
	*disk.Driver
	s *slowStorage
}

func (d slowDisk) Writer(ctx context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	w, err := d.Driver.Writer(ctx, path, appending)
	return slowWriter{w, d.s}, err
}

type slowMemory struct {
	storagedriver.StorageDriver
	s *slowStorage
}

func (d slowMemory) Writer(ctx context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	w, err := d.StorageDriver.Writer(ctx, path, appending)
	return slowWriter{w, d.s}, err
}

type slowWriter struct {
	storagedriver.FileWriter
	s *slowStorage
}

func (w slowWriter) Commit(ctx context.Context) error {
	w.s.begun.Add(1)
	<-w.s.gate
	if w.s.err != nil {
		return w.s.err
	}
	return w.FileWriter.Commit(ctx)
}

// wantPullSoon is wantPull that fails where it waited for something else.
func (r *rig) wantPullSoon(d digest.Digest, o ociregistry.Wanted, want []byte) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	if got, err := r.pullWith(ctx, app, d, o, 0); err != nil || !bytes.Equal(got, want) {
		r.t.Fatalf("pulled %d bytes of %d, %v", len(got), len(want), err)
	}
}

// Readers have all of a blob when it is verified; storing it is not theirs to wait for.
// Those who come meanwhile get it too, and it is not fetched again.
func TestReadersDoNotWaitForStorage(t *testing.T) {
	for _, name := range []string{"disk", "unreadable while written"} {
		for _, size := range []int{1, heldBack, heldBack + 1, 3<<20 + 7} {
			for _, known := range []bool{true, false} {
				t.Run(fmt.Sprint(name, size, known), func(t *testing.T) {
					slow := newSlowStorage(nil)
					defer slow.open() // before the rig is closed
					content, d := random(size)
					r, other := newRig(t, slow.drivers()[name]), elsewhere(t, content)
					o := from(t, size, other)
					if !known {
						o.Size = -1
					}
					r.wantPullSoon(d, o, content)
					r.eventually("it is being stored", func() bool { return slow.begun.Load() == 1 })
					var work sync.WaitGroup
					for i := range 8 {
						work.Go(func() {
							offset := int64(i) * int64(size) / 8
							if got, err := r.pullFrom(app, d, o, offset); err != nil || !bytes.Equal(got, content[offset:]) {
								t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
							}
						})
					}
					work.Wait()
					if _, err := r.store.Confirm(t.Context(), d); !errors.Is(err, blobstore.ErrUnknown) {
						t.Errorf("it is stored before it is on the disk: %v", err)
					}
					slow.open()
					r.wantStored(d, content)
					if n := gets(other, d); n != 1 {
						t.Errorf("asked %d times", n)
					}
				})
			}
		}
	}
}

// What is only to be stored yet takes no place in the background, and is not given up
// when its callers go.
func TestVerifiedBlobsAreNotGivenUp(t *testing.T) {
	slow := newSlowStorage(nil)
	defer slow.open() // before the rig is closed
	r := newRig(t, slow.drivers()["disk"], func(s *setup) { s.MaxBackground = 1 })
	blobs := map[digest.Digest][]byte{}
	for i := range 4 {
		content, d := random(layerSize + i)
		r.wantPullSoon(d, from(t, len(content), elsewhere(t, content)), content)
		blobs[d] = content
	}
	r.eventually("all callers have left", func() bool {
		for d := range blobs {
			if r.holdersOf(d) != 0 {
				return false
			}
		}
		return true
	})
	r.mu.Lock()
	if r.background != 0 {
		t.Errorf("%d are in the background", r.background)
	}
	r.mu.Unlock()
	slow.open()
	for d, content := range blobs {
		r.wantStored(d, content)
	}
}

// When storage fails at the very end, readers are served to the end from what has arrived,
// and where that cannot be read their next attempt does without storage.
func TestStorageFailsAfterVerification(t *testing.T) {
	for name := range (&slowStorage{}).drivers() {
		t.Run(name, func(t *testing.T) {
			slow := newSlowStorage(fmt.Errorf("syncing: %w", syscall.ENOSPC))
			defer slow.open() // before the rig is closed
			content, d := random(layerSize)
			r, other := newRig(t, slow.drivers()[name]), elsewhere(t, content)
			o := from(t, layerSize, other)
			open := func() io.ReadCloser {
				b, err := r.Blob(t.Context(), in(app, d, o))
				if err != nil {
					t.Fatal(err)
				}
				reader, err := b.Open(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				return reader
			}
			begun, late := open(), open()
			shown := r.opts.MaxTempBytes > layerSize
			var first []byte
			if shown {
				first = make([]byte, 1000)
				if _, err := io.ReadFull(begun, first); err != nil {
					t.Fatal(err)
				}
			}
			r.eventually("it is being stored", func() bool { return slow.begun.Load() == 1 })
			slow.open()
			r.eventually("it is given up", func() bool { return r.holdersOf(d) < 0 })
			if r.pausedUntil.Load() == 0 {
				t.Error("storage is not left alone")
			}
			if !shown {
				for _, reader := range []io.ReadCloser{begun, late} {
					got, err := io.ReadAll(reader)
					if !isNotStored(err) || len(got) > 0 {
						t.Errorf("%d bytes, %v", len(got), err)
					}
					reader.Close()
				}
				r.wantPull(d, o, content)
				r.wantNotStored(d)
				return
			}
			asked := gets(other, d)
			if rest, err := io.ReadAll(begun); err != nil || !bytes.Equal(append(first, rest...), content) {
				t.Errorf("who had begun: %d bytes, %v", len(rest), err)
			}
			if got, err := io.ReadAll(late); err != nil || !bytes.Equal(got, content) {
				t.Errorf("who had not: %d bytes, %v", len(got), err)
			}
			if n := gets(other, d) - asked; n != 0 {
				t.Errorf("%d more requests for what is there", n)
			}
			begun.Close()
			late.Close()
			r.wantNotStored(d)
		})
	}
}

// Content that is not what it should be is not even brought onto the disk.
func TestWrongContentIsNotCommitted(t *testing.T) {
	for name := range (&slowStorage{}).drivers() {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprint(name, known), func(t *testing.T) {
				slow := newSlowStorage(nil)
				defer slow.open() // before the rig is closed
				content, d := random(layerSize)
				r, other := newRig(t, slow.drivers()[name]), elsewhere(t, content)
				blobScript(other, d, sendWrong(content, layerSize-1))
				o := from(t, layerSize, other)
				if !known {
					o.Size = -1
				}
				got, err := r.pull(d, o)
				wantError(t, err, ociregistry.CodeUnavailable, other.Host())
				if len(got) > layerSize-heldBack {
					t.Errorf("%d bytes were given", len(got))
				}
				r.wantNotStored(d)
				if n := slow.begun.Load(); n != 0 {
					t.Errorf("%d files were completed", n)
				}
			})
		}
	}
}

// Close waits for what is verified to be stored.
func TestCloseWaitsForStorage(t *testing.T) {
	slow := newSlowStorage(nil)
	defer slow.open() // before the rig is closed
	content, d := random(layerSize)
	r := newRig(t, slow.drivers()["disk"])
	r.wantPullSoon(d, from(t, layerSize, elsewhere(t, content)), content)
	closed := make(chan struct{})
	go func() {
		r.Close()
		close(closed)
	}()
	<-r.base.Done()
	r.eventually("it is being stored", func() bool { return slow.begun.Load() == 1 })
	select {
	case <-closed:
		t.Error("it did not wait")
	default:
	}
	slow.open()
	<-closed
	r.wantStored(d, content)
	r.wantNothingAside()
}
