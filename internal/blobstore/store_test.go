package blobstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore/disk"
	"weir.dev/weir/internal/caches"
)

var _ diskDriver = (*disk.Driver)(nil)

// web is a repository with its stream.
var web = Repository{Name: "shop/web", Stream: "0b9c1c52-7a51-4f6e-8f6d-1f0e5a2b3c02", Namespace: "6f1d9e0a-5a0e-4a52-9a52-0f6b1f3d7c01"}

func TestNew(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a store without driver is made")
	}
	d, err := disk.Open(t.TempDir(), disk.DefaultMaxThreads)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Driver: d})
	if err != nil || s.disk == nil || s.object {
		t.Errorf("%v, %v, %t", err, s.disk, s.object)
	}
}

// syncs notes which folders are synced, or fails to.
type syncs struct {
	*disk.Driver
	mu      sync.Mutex
	folders []string
	fail    error
}

func (s *syncs) SyncFolders(ctx context.Context, paths ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.folders = append(s.folders, paths...)
	return s.Driver.SyncFolders(ctx, paths...)
}

func (s *syncs) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.folders
	s.folders = nil
	slices.Sort(taken)
	return taken
}

// An acknowledged manifest depends on folders that the disk has.
func TestLinkManifestSyncs(t *testing.T) {
	root, ctx := t.TempDir(), t.Context()
	open := func() (*Store, *syncs) {
		d, err := disk.Open(root, disk.DefaultMaxThreads)
		if err != nil {
			t.Fatal(err)
		}
		noted := &syncs{Driver: d}
		s, err := New(Options{Driver: noted})
		if err != nil {
			t.Fatal(err)
		}
		return s, noted
	}
	s, noted := open()
	want := []string{ownersFolder("shop/web")}
	put := func(s *Store, n int) digest.Digest {
		t.Helper()
		content := bytes.Repeat([]byte{byte(n)}, n)
		d := digest.FromBytes(content)
		if _, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1); err != nil {
			t.Fatal(err)
		}
		want = append(want, blobFolder(d), linkFolder("shop/web", blobLinks, d))
		return d
	}
	linkAndCheck := func(s *Store, noted *syncs, d digest.Digest) {
		t.Helper()
		if err := s.LinkManifest(ctx, web, d); err != nil {
			t.Fatal(err)
		}
		want = append(want, linkFolder("shop/web", manifestLinks, d))
		slices.Sort(want)
		if got := noted.take(); !slices.Equal(got, want) {
			t.Errorf("synced %q, want %q", got, want)
		}
		want = nil
	}
	layer := put(s, 300_000)
	manifest := put(s, 100)
	if got := noted.take(); len(got) > 0 {
		t.Errorf("synced before anything depends on it: %q", got)
	}
	noted.fail = syscall.EIO
	for range 2 {
		if err := s.LinkManifest(ctx, web, manifest); !errors.Is(err, syscall.EIO) {
			t.Errorf("a disk that fails: %v", err)
		}
	}
	noted.fail = nil
	linkAndCheck(s, noted, manifest)

	// Once more: its own link alone, as the folder's link was written by nobody knows whom.
	linkAndCheck(s, noted, manifest)

	// Another process, which stored nothing of it, and depends on it.
	s, noted = open()
	if _, err := s.Confirm(ctx, layer); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(ctx, manifest); err != nil {
		t.Fatal(err)
	}
	want = []string{blobFolder(layer), ownersFolder("shop/web")}
	linkAndCheck(s, noted, manifest)
	if _, err := s.Confirm(ctx, layer); err != nil { // and knows it from then on
		t.Fatal(err)
	}
	linkAndCheck(s, noted, manifest)

	if err := s.Delete(ctx, layer); err != nil {
		t.Fatal(err)
	}
	put(s, 300_000) // stored anew
	linkAndCheck(s, noted, manifest)
}

// A client that pushes blobs and never a manifest loses a bounded number at most.
func TestPendingFoldersAreBounded(t *testing.T) {
	d, err := disk.Open(t.TempDir(), disk.DefaultMaxThreads)
	if err != nil {
		t.Fatal(err)
	}
	noted := &syncs{Driver: d}
	s, err := New(Options{Driver: noted})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxPendingFolders + 10 {
		if err := s.LinkBlob(t.Context(), web, digest.FromString(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(noted.take()); n != maxPendingFolders { // one of them is that of the owners
		t.Errorf("%d folders were synced", n)
	}
}

// Whoever returns from sync finds all on the disk that was noted before, also what
// another one took.
func TestPendingFoldersTogether(t *testing.T) {
	var p pendingFolders
	p.init(nil)
	var mu sync.Mutex
	synced, calls := map[string]bool{}, 0
	do := func(_ context.Context, folders ...string) error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls%5 == 0 {
			return errors.New("sometimes it fails")
		}
		for _, folder := range folders {
			synced[folder] = true
		}
		return nil
	}
	var clients sync.WaitGroup
	for client := range 16 {
		clients.Go(func() {
			for i := range 50 {
				folder := fmt.Sprintf("/%d/%d", client, i)
				p.changed(folder)
				for p.sync(t.Context(), do) != nil {
				}
				mu.Lock()
				if !synced[folder] {
					t.Errorf("%s is not synced", folder)
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
}

// TestCacheAndRemovals: what was read before a removal is not remembered after it.
func TestCacheAndRemovals(t *testing.T) {
	c := newCache(nil, caches.Options[string, int]{Bytes: 1 << 20, Group: func(key string) string { return key }})
	want := func(key string, value int, there bool) {
		t.Helper()
		if got, _, ok := c.get(key); got != value || ok != there {
			t.Errorf("%s: %d, %t", key, got, ok)
		}
	}
	_, mark, _ := c.get("a")
	c.add(mark, "a", 1)
	want("a", 1, true)
	mark = c.mark()
	c.drop("a")
	c.add(mark, "a", 1)
	want("a", 0, false)
	mark = c.mark()
	c.forget("nothing")
	c.add(mark, "a", 4)
	want("a", 4, true)
	mark = c.mark()
	c.forget("a")
	c.add(mark, "a", 4)
	want("a", 0, false)
	c.add(c.mark(), "c", 3)
	c.dropGroup("c", func(string) bool { return false })
	want("c", 3, true)
	mark = c.mark()
	c.dropGroup("c", func(string) bool { return true })
	c.add(mark, "d", 5)
	want("c", 0, false)
	want("d", 0, false)
}

// codeError is as the S3 client's errors are.
type codeError struct {
	code   string
	status int
	cause  error
}

func (e codeError) Error() string   { return e.code }
func (e codeError) Code() string    { return e.code }
func (e codeError) StatusCode() int { return e.status }
func (e codeError) OrigErr() error  { return e.cause }

func TestFailure(t *testing.T) {
	driverError := func(err error) error { return storagedriver.Error{DriverName: "s3aws", Detail: err} }
	path := path.Join("/docker", "x")
	for name, test := range map[string]struct {
		err  error
		want []error
		not  []error
	}{
		"nothing there":         {storagedriver.PathNotFoundError{Path: path}, []error{ErrUnknown}, []error{ErrFull}},
		"wrapped nothing there": {fmt.Errorf("x: %w", storagedriver.PathNotFoundError{Path: path}), []error{ErrUnknown}, nil},
		"full":                  {&errorsPath{syscall.ENOSPC}, []error{ErrFull, syscall.ENOSPC}, []error{ErrUnknown, ErrBusy}},
		"quota":                 {driverError(&errorsPath{syscall.EDQUOT}), []error{ErrFull, syscall.EDQUOT}, nil},
		"one of several":        {storagedriver.Errors{Errs: []error{errors.New("x"), syscall.ENOSPC}}, []error{ErrFull}, nil},
		"joined":                {errors.Join(errors.New("x"), driverError(syscall.ENOSPC)), []error{ErrFull}, nil},
		"S3 quota":              {driverError(fmt.Errorf("flush: %w", codeError{"QuotaExceeded", 403, nil})), []error{ErrFull}, nil},
		"S3 full":               {driverError(codeError{"Other", 507, nil}), []error{ErrFull}, nil},
		"S3 in a batch":         {codeError{"BatchError", 0, codeError{"XMinioStorageFull", 0, nil}}, []error{ErrFull}, nil},
		"locked":                {driverError(&errorsPath{syscall.EWOULDBLOCK}), []error{ErrBusy}, []error{ErrFull}},
		"cancelled":             {driverError(context.Canceled), []error{context.Canceled}, []error{ErrFull, ErrUnknown, ErrBusy}},
		"empty":                 {driverError(nil), nil, []error{ErrFull, ErrUnknown}},
	} {
		err := failure(test.err, "trying", path)
		for _, want := range test.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v is not %v", name, err, want)
			}
		}
		for _, not := range test.not {
			if errors.Is(err, not) {
				t.Errorf("%s: %v is %v", name, err, not)
			}
		}
		if !strings.HasPrefix(err.Error(), "trying "+path+": ") {
			t.Errorf("%s: %v does not say what was tried", name, err)
		}
	}
	if err := failure(nil, "trying", path); err != nil {
		t.Error(err)
	}
}

// errorsPath wraps as os.PathError does.
type errorsPath struct{ err error }

func (e *errorsPath) Error() string { return "write /x: " + e.err.Error() }
func (e *errorsPath) Unwrap() error { return e.err }

func TestErrorTexts(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{&DigestMismatch{Want: "sha256:a", Got: "sha256:b"}, "the content's digest is sha256:b, not sha256:a"},
		{&SizeMismatch{Want: 1, Got: 2}, "the content has 2 bytes or more, 1 are allowed"},
		{&OffsetMismatch{Want: 1, Got: 2}, "the chunk begins at byte 2, the upload ends at 1"},
		{&ReceiveError{errors.New("gone")}, "receiving the content: gone"},
	} {
		if test.err.Error() != test.want {
			t.Errorf("%q, want %q", test.err, test.want)
		}
	}
}
