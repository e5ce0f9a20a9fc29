package pullthrough

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"weir.dev/weir/internal/blobstore/disk"
	"weir.dev/weir/internal/ociregistry"
)

// ways are how nothing is to be kept.
var ways = map[string]struct {
	mirror bool // of the server
	source bool
}{"by the server": {false, true}, "by the tag": {true, false}, "by both": {false, false}}

func TestNothingIsKept(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 1, heldBack, heldBack + 1, layerSize} {
				for _, known := range []bool{true, false} {
					content, d := random(size)
					r, other := newRig(t, func(s *setup) { s.Mirror = way.mirror }), elsewhere(t, content)
					o := from(t, size, other)
					o.Sources[0].Mirror = way.source
					if !known {
						o.Size = -1
					}
					for range 2 {
						r.wantPull(d, o, content)
					}
					for _, offset := range []int{size / 3, size} {
						if got, err := r.pullFrom(app, d, o, int64(offset)); err != nil || !bytes.Equal(got, content[offset:]) {
							t.Errorf("%d bytes from %d: %d bytes, %v", size, offset, len(got), err)
						}
					}
					r.wantNotStored(d)
				}
			}
		})
	}
}

func TestStreamOfOneCallerIsVerified(t *testing.T) {
	for _, size := range []int{1, heldBack, heldBack + 1, layerSize} {
		content, d := random(size)
		r, other := newRig(t, func(s *setup) { s.Mirror = false }), elsewhere(t, content)
		blobScript(other, d, sendWrong(content, 0))
		got, err := r.pull(d, from(t, size, other))
		wantError(t, err, ociregistry.CodeUnavailable, other.Host())
		if len(got) > max(size-heldBack, 0) {
			t.Errorf("%d bytes of %d were given", len(got), size)
		}
		// A part from the middle is what it is, and the client's to verify.
		if size == layerSize {
			if got, err := r.pullFrom(app, d, from(t, size, other), 7); err != nil || !bytes.Equal(got, content[7:]) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		}
	}
}

func TestStreamOfOneCallerIsGoneOnWith(t *testing.T) {
	content, d := random(layerSize)
	for _, stop := range interesting[1:] {
		r, first, second := newRig(t, func(s *setup) { s.Mirror = false }), elsewhere(t, content), elsewhere(t, content)
		blobScript(first, d, breaking(content, stop))
		r.wantPull(d, from(t, layerSize, first, second), content)
		if gets(second, d) == 0 {
			t.Errorf("broken at %d: the other registry was not asked", stop)
		}
		got, err := r.pull(d, from(t, layerSize, first))
		wantError(t, err, ociregistry.CodeUnavailable, first.Host())
		if len(got) > layerSize-heldBack {
			t.Errorf("broken at %d: %d bytes", stop, len(got))
		}
	}
}

// A caller that takes nothing for a while gives its turn back and gets the rest all the
// same.
func TestIdleCallerOfAStream(t *testing.T) {
	content, d := random(8 << 20)
	r := newRig(t, func(s *setup) { s.Mirror = false; s.upstream.Downloads.Window = 50 * time.Millisecond })
	other := elsewhere(t, content)
	b, err := r.Blob(t.Context(), in(app, d, from(t, len(content), other)))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := b.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	first := make([]byte, 1000)
	io.ReadFull(reader, first)
	r.eventually("the turn is given back", func() bool {
		for _, b := range r.opts.Upstream.Budgets() {
			if b.Downloads > 0 {
				return false
			}
		}
		return true
	})
	rest, err := io.ReadAll(reader)
	if err != nil || !bytes.Equal(append(first, rest...), content) {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
}

// One tag says that content is not to be kept, another that it may be.
func TestOneSourceMayBeKept(t *testing.T) {
	content, d := random(layerSize)
	r, private, public := newRig(t), elsewhere(t, content), elsewhere(t, content)
	o := from(t, layerSize, private, public)
	o.Sources[0].Mirror = false
	r.wantPull(d, o, content)
	r.wantStored(d, content)
	if gets(private, d) != 0 || gets(public, d) != 1 {
		t.Errorf("asked %d and %d times", gets(private, d), gets(public, d))
	}
	other, d2 := random(layerSize + 1)
	putLayers(t, private, "team/app:2", other) // the public one does not have it
	o.Size = layerSize + 1
	r.wantPull(d2, o, other)
	r.wantNotStored(d2)
}

// fullDisk is the disk driver with room for some bytes.
type fullDisk struct {
	*disk.Driver
	room *atomic.Int64
}

func (f fullDisk) Writer(ctx context.Context, path string, appending bool) (storagedriver.FileWriter, error) {
	if f.room.Load() < 0 {
		return nil, fmt.Errorf("writing: %w", syscall.ENOSPC)
	}
	w, err := f.Driver.Writer(ctx, path, appending)
	return fullWriter{w, f.room}, err
}

type fullWriter struct {
	storagedriver.FileWriter
	room *atomic.Int64
}

func (f fullWriter) Write(p []byte) (int, error) {
	if left := f.room.Add(-int64(len(p))); left < 0 {
		return 0, fmt.Errorf("writing: %w", syscall.ENOSPC)
	}
	return f.FileWriter.Write(p)
}

// Commit fails when exactly nothing is left.
func (f fullWriter) Commit(ctx context.Context) error {
	if f.room.Load() == 0 {
		return fmt.Errorf("syncing: %w", syscall.ENOSPC)
	}
	return f.FileWriter.Commit(ctx)
}

// A full disk ends the readers of a fetch, whose next attempt does without it; when there
// is room again, content is kept again.
func TestFullDisk(t *testing.T) {
	content, d := random(layerSize)
	for name, room := range map[string]int64{
		"from the beginning": -1, "at the first byte": 1, "in the middle": pieceBytes + 10, "at the last byte": layerSize - 1, "at the end": layerSize,
	} {
		t.Run(name, func(t *testing.T) {
			var left atomic.Int64
			left.Store(room)
			r := newRig(t, func(s *setup) {
				s.driver = func(folder string) storagedriver.StorageDriver {
					return fullDisk{onDisk(folder).(*disk.Driver), &left}
				}
			})
			other := elsewhere(t, content)
			o := from(t, layerSize, other)
			var work sync.WaitGroup
			for i := range 8 {
				work.Go(func() {
					r.pullAgain(d, o, int64(i%2)*270_000, content)
				})
			}
			work.Wait()
			r.wantNotStored(d)
			if r.keeps() {
				t.Error("storage is not left alone")
			}
			left.Store(10 * layerSize)
			r.pausedUntil.Store(0)
			r.wantPull(d, o, content)
			r.wantStored(d, content)
			r.wantNothingAside()
		})
	}
}

// What is served without storage is verified from the first byte.
func TestFullDiskAndWrongContent(t *testing.T) {
	content, d := random(layerSize)
	var left atomic.Int64
	left.Store(200_000)
	r := newRig(t, func(s *setup) {
		s.driver = func(folder string) storagedriver.StorageDriver {
			return fullDisk{onDisk(folder).(*disk.Driver), &left}
		}
	})
	other := elsewhere(t, content)
	blobScript(other, d, sendWrong(content, 10))
	for r.keeps() { // this one finds out that there is no room
		_, _ = r.pull(d, from(t, layerSize, other))
	}
	got, err := r.pull(d, from(t, layerSize, other))
	wantError(t, err, ociregistry.CodeUnavailable, other.Host())
	if len(got) > layerSize-heldBack {
		t.Errorf("%d bytes were given", len(got))
	}
	r.wantNotStored(d)
}

// Callers of storage that cannot be read while it is written wait, when there is no room
// for a copy either.
func TestNoRoomForTemporaryFiles(t *testing.T) {
	content, d := random(4 << 20)
	for name, change := range map[string]func(*setup){
		"bound":     func(s *setup) { s.MaxTempBytes = 1 << 20 },
		"no folder": func(s *setup) { s.TempDir += "/gone" },
	} {
		t.Run(name, func(t *testing.T) {
			r, other := newRig(t, func(s *setup) { s.driver = inMemory }, change), elsewhere(t, content)
			o := from(t, len(content), other)
			var work sync.WaitGroup
			for range 5 {
				work.Go(func() {
					if got, err := r.pull(d, o); err != nil || !bytes.Equal(got, content) {
						t.Errorf("%d bytes, %v", len(got), err)
					}
				})
			}
			work.Wait()
			r.wantStored(d, content)
			if n := gets(other, d); n != 1 {
				t.Errorf("%d requests for the content", n)
			}
		})
	}
}

// Digests that storage has no place for are served all the same.
func TestOtherAlgorithms(t *testing.T) {
	content, _ := random(layerSize)
	for _, algorithm := range []string{"sha384", "sha512"} {
		d := digestOf(algorithm, content)
		r, other := newRig(t), elsewhere(t)
		other.On("/blobs/"+d.String(), func(w http.ResponseWriter, req *http.Request) bool {
			serveRange(w, req, content, -1)
			return true
		})
		r.wantPull(d, from(t, layerSize, other), content)
		r.wantIdle()
		if _, err := r.store.Confirm(t.Context(), d); (err == nil) != (algorithm == "sha512") {
			t.Errorf("%s: stored %v", algorithm, err)
		}
		if !r.keeps() {
			t.Error("storage is taken for broken")
		}
		blobScript(other, d, sendWrong(content, 0))
	}
	r, other := newRig(t), elsewhere(t)
	for _, d := range []string{"sha1:abc", "sha256:xyz", "", "../../x"} {
		_, err := r.Blob(t.Context(), in(app, digestText(d), from(t, layerSize, other)))
		wantError(t, err, ociregistry.CodeBlobUnknown, "")
		_, err = r.Stat(t.Context(), in(app, digestText(d), from(t, layerSize, other)))
		wantError(t, err, ociregistry.CodeBlobUnknown, "")
		_, _, err = r.Manifest(t.Context(), in(app, digestText(d), from(t, layerSize, other)))
		wantError(t, err, ociregistry.CodeManifestUnknown, "")
	}
}
