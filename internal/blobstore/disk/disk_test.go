package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T) *Driver {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "registry"), DefaultMaxThreads)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// recorder notes what is synced, and syncs it.
type recorder struct {
	mu     sync.Mutex
	root   string
	synced []string
}

func record(d *Driver) *recorder {
	r := &recorder{root: d.root}
	d.fsync = func(f *os.File) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.synced = append(r.synced, strings.TrimPrefix(f.Name(), r.root))
		return f.Sync()
	}
	return r
}

// take returns what was synced since the last take, sorted.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.synced
	r.synced = nil
	slices.Sort(taken)
	return taken
}

func TestOpen(t *testing.T) {
	d := open(t)
	info, err := os.Stat(d.Root())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the root is open to others: %v, %v", info.Mode(), err)
	}
	for _, threads := range []int{0, MinThreads - 1, MaxThreads + 1} {
		if _, err := Open(t.TempDir(), threads); err == nil {
			t.Errorf("%d threads are taken", threads)
		}
	}
	if _, err := Open("/dev/null/registry", MinThreads); err == nil {
		t.Error("a folder below a file is taken")
	}
}

// A move is on the disk when it returns: the file's folder, and as far up as folders are
// new to this process.
func TestMoveSyncsFolders(t *testing.T) {
	d, ctx := open(t), t.Context()
	synced := record(d)
	move := func(to string) {
		t.Helper()
		w, err := d.Writer(ctx, "/aside/x", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("content")); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if got := synced.take(); !slices.Equal(got, []string{"/aside/x"}) {
			t.Errorf("Commit synced %q", got)
		}
		if err := d.Move(ctx, "/aside/x", to); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := func(folders ...string) {
		t.Helper()
		if diff := cmp.Diff(folders, synced.take()); diff != "" {
			t.Error(diff)
		}
	}
	move("/blobs/ab/abc/data")
	want("", "/blobs", "/blobs/ab", "/blobs/ab/abc")
	move("/blobs/ab/abd/data")
	want("/blobs/ab", "/blobs/ab/abd")
	move("/blobs/cd/cde/data")
	want("/blobs", "/blobs/cd", "/blobs/cd/cde")
	if err := d.Delete(ctx, "/blobs/ab"); err != nil {
		t.Fatal(err)
	}
	move("/blobs/ab/abc/data") // made anew
	want("/blobs", "/blobs/ab", "/blobs/ab/abc")
}

func TestUnsynced(t *testing.T) {
	d, ctx := open(t), t.Context()
	synced := record(d)
	for i := range 3 {
		if err := d.PutUnsynced(ctx, fmt.Sprintf("/links/%d/link", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.MoveUnsynced(ctx, "/links/2/link", "/links/3/link"); err != nil {
		t.Fatal(err)
	}
	if got := synced.take(); len(got) > 0 {
		t.Errorf("synced %q", got)
	}
	if err := d.SyncFolders(ctx, "/links/0", "/links/1", "/links/3", "/links/gone"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"", "/links", "/links/0", "/links/1", "/links/3"}, synced.take()); diff != "" {
		t.Error(diff)
	}
	if err := d.PutContent(ctx, "/links/0/link", []byte("y")); err != nil {
		t.Fatal(err)
	}
	if got := synced.take(); len(got) != 3 || got[0] != "/links" || got[1] != "/links/0" || !strings.HasPrefix(got[2], "/links/0/link.") {
		t.Errorf("PutContent synced %q", got)
	}
	if names, err := d.List(ctx, "/links/0"); err != nil || !slices.Equal(names, []string{"/links/0/link"}) {
		t.Errorf("left behind: %q, %v", names, err)
	}
}

// An empty file is written in place: it is as good as complete, and as young as the last
// time.
func TestUnsyncedEmpty(t *testing.T) {
	d, ctx := open(t), t.Context()
	synced := record(d)
	long := time.Now().Add(-time.Hour)
	for _, before := range []string{"", "content"} {
		if err := d.PutUnsynced(ctx, "/new/folder/file", []byte(before)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(d.Root()+"/new/folder/file", long, long); err != nil {
			t.Fatal(err)
		}
		if err := d.PutUnsynced(ctx, "/new/folder/file", nil); err != nil {
			t.Fatal(err)
		}
		info, err := d.Stat(ctx, "/new/folder/file")
		if err != nil || info.Size() != 0 || info.ModTime().Before(long.Add(time.Minute)) {
			t.Errorf("%v, %v", info, err)
		}
	}
	if got := synced.take(); len(got) > 0 {
		t.Errorf("synced %q", got)
	}
}

// What fails to sync is no success, and is tried again.
func TestSyncFails(t *testing.T) {
	d, ctx := open(t), t.Context()
	broken := errors.New("the disk is gone")
	d.fsync = func(*os.File) error { return broken }
	if err := d.PutContent(ctx, "/a/b", []byte("x")); !errors.Is(err, broken) {
		t.Errorf("PutContent: %v", err)
	}
	if names, err := d.List(ctx, "/a"); err != nil || len(names) > 0 {
		t.Errorf("left behind: %q, %v", names, err)
	}
	if err := d.PutUnsynced(ctx, "/a/b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.SyncFolders(ctx, "/a"); !errors.Is(err, broken) {
		t.Errorf("SyncFolders: %v", err)
	}
	if err := d.Move(ctx, "/a/b", "/a/c"); !errors.Is(err, broken) {
		t.Errorf("Move: %v", err)
	}
	w, err := d.Writer(ctx, "/a/d", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(ctx); !errors.Is(err, broken) {
		t.Errorf("Commit: %v", err)
	}
	if err := w.Cancel(ctx); err != nil {
		t.Errorf("Cancel: %v", err)
	}
	synced := record(d)
	if err := d.SyncFolders(ctx, "/a"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"", "/a"}, synced.take()); diff != "" {
		t.Error(diff)
	}
	d.fsync = func(*os.File) error { return syscall.EINVAL } // as of folders on some filesystems
	if err := d.SyncFolders(ctx, "/a"); err != nil {
		t.Error(err)
	}
}

func TestWriterLocks(t *testing.T) {
	d, ctx := open(t), t.Context()
	w, err := d.Writer(ctx, "/u/data", false)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := Open(d.Root(), MinThreads) // as another process has it
	if err != nil {
		t.Fatal(err)
	}
	for _, appending := range []bool{true, false} {
		if _, err := elsewhere.Writer(ctx, "/u/data", appending); !errors.Is(err, syscall.EWOULDBLOCK) {
			t.Errorf("a second writer, appending %t: %v", appending, err)
		}
	}
	if _, err := w.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Writer(ctx, "/u/data", true); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("a second writer between commit and close: %v", err)
	}
	if _, err := w.Write([]byte("abc")); err == nil {
		t.Error("a committed file is written to")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err == nil {
		t.Error("a file is closed twice")
	}
	w, err = elsewhere.Writer(ctx, "/u/data", true)
	if err != nil || w.Size() != 3 {
		t.Fatalf("size %d, %v", w.Size(), err)
	}
	if err := w.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Stat(ctx, "/u/data"); !isNotFound(err) {
		t.Errorf("a cancelled file is there: %v", err)
	}
}

// A file that was moved while another process waited for its lock is no longer theirs.
func TestWriterOfAMovedFile(t *testing.T) {
	d, ctx := open(t), t.Context()
	w, err := d.Writer(ctx, "/u/data", false)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := os.OpenFile(d.root+"/u/data", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if !same(opened, d.root+"/u/data") {
		t.Error("the file is not the one of its name")
	}
	if err := d.Move(ctx, "/u/data", "/blobs/x/data"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if same(opened, d.root+"/u/data") {
		t.Error("the moved file is taken for the upload's")
	}
	if again, err := d.Writer(ctx, "/u/data", true); err != nil {
		t.Error(err)
	} else if same(opened, d.root+"/u/data") {
		t.Error("the stored blob was opened for writing")
	} else {
		again.Close()
	}
}

func TestErrors(t *testing.T) {
	d, ctx := open(t), t.Context()
	if err := d.PutContent(ctx, "/file", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := d.PutContent(ctx, "/folder/file", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"reading a folder":       second(d.GetContent(ctx, "/folder")),
		"opening a folder":       second(d.Reader(ctx, "/folder", 0)),
		"opening below a file":   second(d.Reader(ctx, "/file/x", 0)),
		"asking below a file":    second(d.Stat(ctx, "/file/x")),
		"deleting nothing":       d.Delete(ctx, "/nothing"),
		"deleting below a file":  d.Delete(ctx, "/file/x"),
		"moving nothing":         d.Move(ctx, "/nothing", "/folder/x"),
		"moving from no folder":  d.Move(ctx, "/nothing/x", "/folder/x"),
		"opening nothing":        second(d.Reader(ctx, "/folder/nothing", 0)),
		"moving nothing quickly": d.MoveUnsynced(ctx, "/nothing", "/folder/x"),
	} {
		if !isNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"writing below a file":  d.PutContent(ctx, "/file/x", nil),
		"writing over a folder": d.PutUnsynced(ctx, "/folder", nil),
		"moving over a folder":  d.Move(ctx, "/file", "/folder"),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := d.Reader(ctx, "/file", -1); err == nil {
		t.Error("a negative offset is taken")
	}
	if err := d.Delete(ctx, "/folder"); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

func isNotFound(err error) bool {
	var e storagedriver.PathNotFoundError
	return errors.As(err, &e) && e.DriverName == "filesystem"
}

// A filesystem that hangs holds the requests that wait for it, not those that give up.
func TestTurnsEnd(t *testing.T) {
	d, err := Open(t.TempDir(), MinThreads)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.PutContent(t.Context(), "/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	hang, entered := make(chan struct{}), make(chan struct{}, MinThreads)
	d.fsync = func(*os.File) error {
		entered <- struct{}{}
		<-hang
		return nil
	}
	var writers sync.WaitGroup
	for i := range MinThreads {
		writers.Go(func() {
			w, err := d.Writer(t.Context(), fmt.Sprintf("/%d", i), false)
			if err == nil {
				err = w.Commit(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range MinThreads {
		<-entered
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.GetContent(ctx, "/x"); !errors.Is(err, context.Canceled) {
		t.Errorf("with all turns taken: %v", err)
	}
	close(hang)
	writers.Wait()
	if _, err := d.GetContent(t.Context(), "/x"); err != nil {
		t.Error(err)
	}
}

// Folders are removed while others put files into them.
func TestRemovedInBetween(t *testing.T) {
	d, ctx := open(t), t.Context()
	done := make(chan struct{})
	var remover sync.WaitGroup
	remover.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := d.Delete(ctx, "/a/b"); err != nil && !isNotFound(err) && !errors.Is(err, syscall.ENOTEMPTY) {
				t.Error(err)
			}
		}
	})
	for i := range 500 {
		if err := d.PutUnsynced(ctx, fmt.Sprintf("/a/b/%d/link", i), []byte("x")); err != nil {
			t.Errorf("file %d: %v", i, err)
		}
	}
	close(done)
	remover.Wait()
}

func FuzzValid(f *testing.F) {
	for _, seed := range []string{"", "/", "/a", "a", "//a", "/a/", "/a/../b", "/..", "/...", "/.a", "/a.", "/.", "/a b", "/a\x00", "/_-./Z9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		ok := valid(path)
		if ok && !storagedriver.PathRegexp.MatchString(path) {
			t.Errorf("%q is no path of drivers", path)
		}
		if ok && filepath.Join("/root", path) != "/root"+path {
			t.Errorf("%q leads elsewhere", path)
		}
		if !ok && storagedriver.PathRegexp.MatchString(path) && filepath.Join("/root", path) == "/root"+path {
			t.Errorf("%q is refused", path)
		}
	})
}
