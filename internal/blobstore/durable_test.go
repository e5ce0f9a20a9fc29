package blobstore

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore/disk"
)

// A manifest depends on the data that replaced damaged data like on a new blob: its folder
// is synced again.
func TestRepairIsSynced(t *testing.T) {
	root, ctx := t.TempDir(), t.Context()
	d, err := disk.Open(root, disk.DefaultMaxThreads)
	if err != nil {
		t.Fatal(err)
	}
	noted := &syncs{Driver: d}
	s, err := New(Options{Driver: noted})
	if err != nil {
		t.Fatal(err)
	}
	to := Repository{Name: "shop/web", Stream: "the-stream", Namespace: "the-namespace"}
	for _, size := range []int{1000, 300_000} {
		content := bytes.Repeat([]byte{byte(size)}, size)
		blob := digest.FromBytes(content)
		push := func() []string {
			t.Helper()
			if _, err := s.PutStream(ctx, to, blob, bytes.NewReader(content), -1); err != nil {
				t.Fatal(err)
			}
			if err := s.LinkManifest(ctx, to, digest.FromString("manifest")); err != nil {
				t.Fatal(err)
			}
			return noted.take()
		}
		push()
		if err := os.WriteFile(filepath.Join(root, blobPath(blob)), append(content[1:], 'y'), 0o600); err != nil {
			t.Fatal(err)
		}
		if synced := push(); !slices.Contains(synced, blobFolder(blob)) {
			t.Errorf("of a repair of %d bytes only %q were synced", size, synced)
		}
	}
}
