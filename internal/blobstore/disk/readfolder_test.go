package disk

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestReadFolder(t *testing.T) {
	d, ctx := open(t), t.Context()
	for _, folder := range []string{"/a/b-1", "/a/b", "/a/no path"} {
		if err := os.MkdirAll(d.root+folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range map[string]string{"/a/file": "1234", "/a/a b": ""} {
		if err := os.WriteFile(d.root+path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link": "file", "folder": "b", "broken": "nothing"} {
		if err := os.Symlink(target, d.root+"/a/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(d.root+"/a/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := d.ReadFolder(ctx, "/a")
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		path   string
		folder bool
		size   int64
	}{{"/a/b", true, 0}, {"/a/b-1", true, 0}, {"/a/file", false, 4}, {"/a/folder", true, 0}, {"/a/link", false, 4}}
	if len(found) != len(want) {
		t.Fatalf("%v", found)
	}
	for i, w := range want {
		f := found[i]
		if f.Path() != w.path || f.IsDir() != w.folder || f.Size() != w.size || !w.folder && time.Since(f.ModTime()) > time.Hour {
			t.Errorf("%s, %t, %d bytes, %s, want %v", f.Path(), f.IsDir(), f.Size(), f.ModTime(), w)
		}
	}
	for _, path := range []string{"/nothing", "/a/file", "/a/file/x"} {
		if _, err := d.ReadFolder(ctx, path); !isNotFound(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := d.ReadFolder(ctx, "/../x"); err == nil {
		t.Error("a path that leads out of the root is read")
	}
}
