package ociregistry_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir.dev/weir/internal/blobstore/disk"
)

// TestANamespaceLeavesNothing holds that nothing stays in storage of the repositories of a namespace
// that is gone, not even folders and unfinished uploads, and that others keep what they have.
func TestANamespaceLeavesNothing(t *testing.T) {
	root := t.TempDir()
	driver, err := disk.Open(root, disk.DefaultMaxThreads)
	if err != nil {
		t.Fatal(err)
	}
	r := startWith(t, driver)
	for _, repo := range []string{"gone/a", "gone/b", "stays/a"} {
		r.push(repo, "1", r.image(repo, "one"))
		r.pushBlob(repo, []byte("no manifest names it"))
		r.want(202, "", r.do("POST", "/v2/"+repo+"/blobs/uploads/", nil))
	}
	r.pushBlob("gone/never-made", []byte("no manifest names it"))
	for _, repo := range []string{"gone/a", "gone/b"} {
		r.directory.deleted(parse(t, repo))
	}
	r.directory.mu.Lock()
	r.directory.noNamespace["gone"] = true
	r.directory.mu.Unlock()
	repositories := filepath.Join(root, "docker/registry/v2/repositories")
	before := filesBelow(t, filepath.Join(repositories, "stays"))
	for range 2 { // as it is called, the second time for what was written meanwhile
		r.fatal(r.handler.ReconcileNamespace(t.Context(), "gone", time.Now().Add(time.Second)))
	}
	if _, err := os.Stat(filepath.Join(repositories, "gone")); !os.IsNotExist(err) {
		t.Errorf("of the namespace there is %d files, %v", filesBelow(t, filepath.Join(repositories, "gone")), err)
	}
	if after := filesBelow(t, filepath.Join(repositories, "stays")); after != before {
		t.Errorf("of %d files of another namespace %d are left", before, after)
	}
}

func filesBelow(t *testing.T, folder string) (n int) {
	t.Helper()
	if err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			n++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}
