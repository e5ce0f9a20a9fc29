package blobstore_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// damages are kinds of damage to stored content.
var damages = map[string]func(content []byte) []byte{
	"flipped": func(content []byte) []byte {
		flipped := bytes.Clone(content)
		flipped[len(flipped)/2] ^= 0x10
		return flipped
	},
	"truncated": func(content []byte) []byte { return content[:len(content)-1] },
	"emptied":   func([]byte) []byte { return nil },
	"extended":  func(content []byte) []byte { return append(bytes.Clone(content), 'x') },
}

// damage replaces the stored data of a blob behind the store's back.
func damage(t *testing.T, driver storagedriver.StorageDriver, d digest.Digest, data []byte) {
	t.Helper()
	must(t, driver.PutContent(t.Context(), blobPath(d), data))
}

// waysToStore are all ways in which content becomes a blob.
var waysToStore = map[string]func(context.Context, *blobstore.Store, digest.Digest, []byte) error{
	"Put": func(ctx context.Context, s *blobstore.Store, d digest.Digest, content []byte) error {
		return s.Put(ctx, d, content)
	},
	"PutStream": func(ctx context.Context, s *blobstore.Store, d digest.Digest, content []byte) error {
		return second(s.PutStream(ctx, web, d, bytes.NewReader(content), -1))
	},
	"Upload": func(ctx context.Context, s *blobstore.Store, d digest.Digest, content []byte) error {
		u, err := s.StartUpload(ctx, repo, "")
		if err != nil {
			return err
		}
		if _, err := u.Append(ctx, bytes.NewReader(content)); err != nil {
			return err
		}
		return second(u.Commit(ctx, web, d))
	},
	"Ingest": func(ctx context.Context, s *blobstore.Store, d digest.Digest, content []byte) error {
		in, err := s.Ingest(ctx, d)
		if err != nil {
			return err
		}
		if _, err := in.Receive(ctx, bytes.NewReader(content), nil); err != nil {
			return err
		}
		return in.Commit(ctx)
	},
}

// testRepair stores content over data that is damaged in every way.
func testRepair(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	for way, store := range waysToStore {
		for _, size := range []int{1000, 300_000} {
			content := append(random(size), way...)
			d := digest.FromBytes(content)
			must(t, store(ctx, s, d, content))
			for name, damaged := range damages {
				damage(t, st.driver, d, damaged(content))
				if err := store(ctx, s, d, content); err != nil {
					t.Errorf("%s over %s data: %v", way, name, err)
				}
				got, err := st.driver.GetContent(ctx, blobPath(d))
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s of %d bytes over %s data leaves %d bytes, %v, or other ones", way, len(content), name, len(got), err)
				}
				wantBlob(t, s, d, content)
			}
		}
	}
	wantNothingLeft(t, st)
}

// testRepairOfSizes looks for the size of damaged data after it was replaced.
func testRepairOfSizes(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	for way, store := range waysToStore {
		content := append(random(300_000), way...)
		d := digest.FromBytes(content)
		damage(t, st.driver, d, content[:1000])
		if size, err := s.Stat(ctx, d); err != nil || size != 1000 {
			t.Fatalf("%d bytes, %v", size, err)
		}
		must(t, store(ctx, s, d, content))
		if size, err := s.Stat(ctx, d); err != nil || size != int64(len(content)) {
			t.Errorf("%s: %d bytes, %v, want %d", way, size, err, len(content))
		}
	}
}

// Small content that is stored and right is not written again.
func TestSmallContentIsNotRewritten(t *testing.T) {
	root := t.TempDir()
	s, ctx := storeOf(t, onDisk(t, root)), t.Context()
	for _, size := range []int{0, 1000, pieceBytes, pieceBytes + 1, 3_000_000} {
		content := random(size)
		d := digest.FromBytes(content)
		must(t, s.Put(ctx, d, content))
		before, err := os.Stat(filepath.Join(root, blobPath(d)))
		must(t, err)
		must(t, s.Put(ctx, d, content))
		after, err := os.Stat(filepath.Join(root, blobPath(d)))
		must(t, err)
		if !os.SameFile(before, after) {
			t.Errorf("%d bytes were written again", size)
		}
	}
}

// A reader of data that is replaced continues in the file that it opened.
func TestRepairWhileReading(t *testing.T) {
	for way, store := range waysToStore {
		s, ctx := storeOf(t, onDisk(t, t.TempDir())), t.Context()
		content := random(300_000)
		d := digest.FromBytes(content)
		must(t, store(ctx, s, d, content))
		r, err := s.Open(ctx, d, 0)
		must(t, err)
		must(t, store(ctx, s, d, content))
		var got bytes.Buffer
		if _, err := got.ReadFrom(r); err != nil || !bytes.Equal(got.Bytes(), content) {
			t.Errorf("%s: %d bytes, %v", way, got.Len(), err)
		}
		r.Close()
	}
}
