package blobstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"weir.dev/weir/internal/blobstore"
)

// TestUploadsAreBounded holds that a namespace has a bounded number of unfinished uploads, over all
// of its repositories and also after a restart, and that those that rest make room.
func TestUploadsAreBounded(t *testing.T) {
	driver := inmemory.New()
	var later time.Duration
	open := func() *blobstore.Store {
		s, err := blobstore.New(blobstore.Options{Driver: driver, MaxUploads: 3, Now: func() time.Time { return time.Now().Add(later) }})
		must(t, err)
		return s
	}
	begin := func(s *blobstore.Store, repo string) (*blobstore.Upload, bool) {
		t.Helper()
		u, err := s.StartUpload(t.Context(), repo, "")
		if many := (*blobstore.TooManyUploads)(nil); errors.As(err, &many) {
			if many.Namespace != "shop" || many.Most != 3 {
				t.Errorf("the error is %v", err)
			}
			return nil, false
		}
		must(t, err)
		return u, true
	}
	s := open()
	var begun []*blobstore.Upload
	for _, repo := range []string{"shop/a", "shop/b", "shop/b"} {
		u, _ := begin(s, repo)
		appendAll(t, u, []byte("content"))
		begun = append(begun, u)
	}
	if _, more := begin(s, "shop/c"); more {
		t.Error("a namespace has more uploads than it may")
	}
	if _, more := begin(s, "shopping/a"); !more {
		t.Error("another namespace has none")
	}
	must(t, begun[0].Cancel(t.Context()))
	begun[0], _ = begin(s, "shop/c")
	for _, u := range begun {
		must(t, u.Close())
	}

	s = open()
	if n, err := s.RemoveAbandonedUploads(t.Context(), 24*time.Hour); err != nil || n != 0 {
		t.Fatalf("%d are abandoned, %v", n, err)
	}
	if _, more := begin(s, "shop/d"); more || s.OpenUploads() != 4 {
		t.Errorf("after a restart there are %d", s.OpenUploads())
	}
	later = 50 * time.Minute
	if _, more := begin(s, "shop/d"); more {
		t.Error("uploads make room that may go on yet")
	}
	later = 70 * time.Minute
	u, more := begin(s, "shop/d")
	if !more {
		t.Fatal("uploads that rest make no room")
	}
	must(t, u.Cancel(t.Context()))

	// Another process finishes what this one counts.
	next, _ := begin(s, "shop/e")
	must(t, next.Close())
	other, err := open().Upload(t.Context(), "shop/e", next.ID())
	must(t, err)
	must(t, other.Cancel(t.Context()))
	before := s.OpenUploads()
	later += time.Minute
	if _, err := s.RemoveAbandonedUploads(t.Context(), 24*time.Hour); err != nil || s.OpenUploads() >= before {
		t.Errorf("%d are counted, %d before, %v", s.OpenUploads(), before, err)
	}
}

// TestEmptyUploadsAreRemovedSoon holds that an upload that nothing was sent to is removed after an
// hour, and one with data only when it is as old as it may be.
func TestEmptyUploadsAreRemovedSoon(t *testing.T) {
	var later time.Duration
	s, err := blobstore.New(blobstore.Options{Driver: inmemory.New(), Now: func() time.Time { return time.Now().Add(later) }})
	must(t, err)
	empty, filled := start(t, s), start(t, s)
	appendAll(t, filled, []byte("content"))
	must(t, empty.Close())
	must(t, filled.Close())
	for _, look := range []struct {
		at      time.Duration
		removed int
	}{{50 * time.Minute, 0}, {70 * time.Minute, 1}, {23 * time.Hour, 0}, {25 * time.Hour, 1}} {
		later = look.at
		if n, err := s.RemoveAbandonedUploads(t.Context(), 24*time.Hour); err != nil || n != look.removed {
			t.Errorf("after %s %d are removed, want %d, %v", look.at, n, look.removed, err)
		}
	}
}

// listing is a driver that calls after each list of a folder.
type listing struct {
	storagedriver.StorageDriver
	after func(folder string)
}

func (l *listing) List(ctx context.Context, folder string) ([]string, error) {
	names, err := l.StorageDriver.List(ctx, folder)
	if l.after != nil {
		l.after(folder)
	}
	return names, err
}

// TestUploadsThatEndDuringALook holds that an upload which ends after a look through storage has
// listed it is not counted.
func TestUploadsThatEndDuringALook(t *testing.T) {
	driver := &listing{StorageDriver: inmemory.New()}
	s, err := blobstore.New(blobstore.Options{Driver: driver})
	must(t, err)
	u := start(t, s)
	appendAll(t, u, []byte("content"))
	driver.after = func(folder string) {
		if strings.HasSuffix(folder, "/_uploads") && u != nil {
			must(t, u.Cancel(t.Context()))
			u = nil
		}
	}
	if n, err := s.RemoveAbandonedUploads(t.Context(), 24*time.Hour); err != nil || n != 0 {
		t.Errorf("%d are abandoned, %v", n, err)
	}
	if u != nil {
		t.Fatal("the uploads were not listed")
	}
	if n := s.OpenUploads(); n != 0 {
		t.Errorf("%d are counted", n)
	}
}
