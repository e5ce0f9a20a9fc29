package backup

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A link gets another owner by renaming a file. Under one of its names it has to be in the
// copy.
func TestCopyOfFilesThatAreRenamed(t *testing.T) {
	from := t.TempDir()
	names := []string{filepath.Join(from, "d", "upload"), filepath.Join(from, "d", "stream")}
	write(t, names[0], "")
	stop := make(chan struct{})
	var renaming sync.WaitGroup
	renaming.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if err := os.Rename(names[i%2], names[(i+1)%2]); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 200 {
		to := filepath.Join(t.TempDir(), "copy")
		if err := (copier{}).tree(t.Context(), from, to); err != nil && !strings.Contains(err.Error(), "in 100 attempts") {
			t.Fatal(err)
		} else if err == nil && !exists(filepath.Join(to, "d", "upload")) && !exists(filepath.Join(to, "d", "stream")) {
			t.Fatal("the copy has the file under neither of its names")
		}
	}
	close(stop)
	renaming.Wait()
}

func TestCopyKeepsTimesAndSharesWhatIsTheSame(t *testing.T) {
	from, root := t.TempDir(), t.TempDir()
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"a/same", "a/b/changed", "skipped/deep/x", "skipped/kept"} {
		write(t, filepath.Join(from, name), "first")
		if err := os.Chtimes(filepath.Join(from, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	first, second := filepath.Join(root, "first"), filepath.Join(root, "second")
	if err := (copier{}).tree(t.Context(), from, first); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(from, "a/b/changed"), "again")
	if err := (copier{previous: first}).without("skipped/deep").tree(t.Context(), from, second); err != nil {
		t.Fatal(err)
	}
	stat := func(path string) os.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if got := stat(filepath.Join(first, "a/same")).ModTime(); !got.Equal(old) {
		t.Errorf("the copy is of %s, want %s", got, old)
	}
	for name, want := range map[string]bool{"a/same": true, "a/b/changed": false, "skipped/kept": true} {
		if got := os.SameFile(stat(filepath.Join(first, name)), stat(filepath.Join(second, name))); got != want {
			t.Errorf("%s is one file in both copies: %t, want %t", name, got, want)
		}
	}
	if exists(filepath.Join(second, "skipped/deep")) {
		t.Error("the folder that is left out was copied")
	}
	if content, err := os.ReadFile(filepath.Join(first, "a/b/changed")); string(content) != "first" {
		t.Errorf("the first copy now has %q, %v", content, err)
	}
}

func TestRefusals(t *testing.T) {
	root := t.TempDir()
	path := func(name string) string { return filepath.Join(root, name) }
	write(t, path("used/file"), "")
	write(t, path("backup/backup.json"), `{"version":1,"registry":true}`)
	write(t, path("bucket/backup.json"), `{"version":1}`)
	write(t, path("new/backup.json"), `{"version":2}`)
	write(t, path("broken/backup.json"), `{`)
	ctx := t.Context()
	for what, test := range map[string]struct {
		err  error
		want string
	}{
		"a folder in use":    {Save(ctx, SaveOptions{Folder: path("used"), DataDir: root}), "is not empty"},
		"no server":          {Save(ctx, SaveOptions{Folder: path("x"), DataDir: root}), "Weir must be running over " + root},
		"no previous backup": {Save(ctx, SaveOptions{Folder: path("x"), Previous: path("used"), DataDir: root}), "is not a backup of Weir"},
		"no backup":          {Restore(ctx, RestoreOptions{Folder: path("used"), DataDir: path("x")}), "is not a backup of Weir"},
		"a later version":    {Restore(ctx, RestoreOptions{Folder: path("new"), DataDir: path("x")}), "has version 2"},
		"a broken backup":    {Restore(ctx, RestoreOptions{Folder: path("broken"), DataDir: path("x")}), "reading the backup"},
		"a data folder":      {Restore(ctx, RestoreOptions{Folder: path("backup"), DataDir: path("used"), Registry: path("used/registry")}), "is not empty"},
		"content elsewhere":  {Restore(ctx, RestoreOptions{Folder: path("bucket"), DataDir: path("x"), Registry: path("x/registry")}), "has no files of the registry"},
		"content in the way": {Restore(ctx, RestoreOptions{Folder: path("backup"), DataDir: path("x")}), "storage is configured elsewhere"},
		"a backup in pieces": {Restore(ctx, RestoreOptions{Folder: path("backup"), DataDir: path("x"), Registry: path("x/registry")}), "restoring the keys"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: %v, want an error with %q", what, test.err, test.want)
		}
	}
	if exists(path("x")) {
		t.Error("a folder was made by what failed")
	}
}
