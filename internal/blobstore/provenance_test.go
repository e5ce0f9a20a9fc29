package blobstore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// testProvenance holds that it is known where content came from as long as it is there, to
// other replicas and after a restart too.
func testProvenance(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	content := []byte("a layer of elsewhere")
	hub, private := "docker.io/library/app", "shop quay.io/team/app"
	for _, d := range []digest.Digest{digest.FromBytes(content), digest.SHA512.FromBytes(content)} {
		want := func(s *blobstore.Store, want bool, sources ...string) {
			t.Helper()
			if got, err := s.CameFrom(ctx, d, sources...); err != nil || got != want {
				t.Errorf("%s came from %q: %v, %v; want %v", d, sources, got, err, want)
			}
		}
		must(t, s.Put(ctx, d, content))
		want(s, false, hub, private)
		must(t, s.AddProvenance(ctx, d, private))
		must(t, s.AddProvenance(ctx, d, private))
		want(s, true, hub, private)
		want(s, false, hub)
		want(s, false, "quay.io/team/app", "other quay.io/team/app")
		want(s, false)
		others := storeOf(t, st.driver)
		want(others, false, hub)
		must(t, s.AddProvenance(ctx, d, hub))
		want(others, true, hub)
		want(others, true, "x", private)
		wantBlob(t, s, d, content)

		must(t, s.Delete(ctx, d))
		want(s, false, hub, private)
		must(t, s.Put(ctx, d, content))
		want(s, false, hub, private)
		if st.again != nil {
			must(t, s.AddProvenance(ctx, d, hub))
			want(storeOf(t, st.again(t)), true, hub)
		}
	}
	_, err := s.CameFrom(ctx, "sha256:../../x", hub)
	wantIs(t, err, blobstore.ErrInvalid)
	wantIs(t, s.AddProvenance(ctx, "md5:1", hub), blobstore.ErrInvalid)
}

// testFetched holds that manifests of other registries are kept apart from those that were
// pushed.
func testFetched(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	content := []byte(`{"schemaVersion":2}`)
	d := digest.FromBytes(content)
	read := func(s *blobstore.Store) {
		t.Helper()
		if got, err := s.ReadFetched(ctx, d, 1<<20); err != nil || !bytes.Equal(got, content) {
			t.Errorf("read %q, %v", got, err)
		}
	}
	_, err := s.ReadFetched(ctx, d, 1<<20)
	wantIs(t, err, blobstore.ErrUnknown)
	wantMismatch(t, s.PutFetched(ctx, d, []byte("else")))
	must(t, s.PutFetched(ctx, d, content))
	must(t, s.PutFetched(ctx, d, content))
	read(s)
	wantUnknown(t, s, d)
	must(t, s.Put(ctx, d, content))
	wantBlob(t, s, d, content)
	read(storeOf(t, st.driver))
	must(t, s.Delete(ctx, d))
	_, err = s.ReadFetched(ctx, d, 1<<20)
	wantIs(t, err, blobstore.ErrUnknown)
	must(t, s.Put(ctx, d, content))
	read(s) // what was pushed is as good
	_, err = s.ReadFetched(ctx, "sha256:1", 1<<20)
	wantIs(t, err, blobstore.ErrInvalid)
}

// testScope holds that what counts for a namespace alone ends with it, whoever has its
// name next.
func testScope(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	scopeOf := func(s *blobstore.Store) string {
		t.Helper()
		scope, err := s.Scope(ctx, "shop")
		must(t, err)
		return scope
	}
	if scope := scopeOf(s); scope != "" {
		t.Errorf("a namespace that has none has scope %q", scope)
	}
	first, err := s.MakeScope(ctx, "shop")
	must(t, err)
	again, err := storeOf(t, st.driver).MakeScope(ctx, "shop")
	must(t, err)
	if first == "" || again != first || scopeOf(s) != first || scopeOf(storeOf(t, st.driver)) != first {
		t.Errorf("scopes %q, %q, %q", first, again, scopeOf(s))
	}
	if other, err := s.MakeScope(ctx, "other"); err != nil || other == first {
		t.Errorf("another namespace has scope %q, %v", other, err)
	}
	must(t, s.RemoveNamespace(ctx, "shop"))
	if scope := scopeOf(s); scope != "" {
		t.Errorf("a removed namespace has scope %q", scope)
	}
	if next, err := s.MakeScope(ctx, "shop"); err != nil || next == first {
		t.Errorf("the next namespace of that name has scope %q, %v", next, err)
	}
	_, err = s.MakeScope(ctx, "../x")
	wantIs(t, err, blobstore.ErrInvalid)
}

// What a disk spoiled of another registry's manifest is fetched again, and takes its place.
func TestSpoiledFetchedManifest(t *testing.T) {
	root, content := t.TempDir(), []byte(`{"schemaVersion":2}`)
	s, d := storeOf(t, onDisk(t, root)), digest.FromBytes(content)
	must(t, s.PutFetched(t.Context(), d, content))
	path := filepath.Join(root, strings.Replace(blobPath(d), "/data", "/fetched", 1))
	must(t, os.WriteFile(path, []byte("rot"), 0o600))
	_, err := s.ReadFetched(t.Context(), d, 1<<20)
	wantIs(t, err, blobstore.ErrUnknown)
	must(t, s.PutFetched(t.Context(), d, content))
	if got, err := s.ReadFetched(t.Context(), d, 1<<20); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %q, %v", got, err)
	}
}

func wantMismatch(t *testing.T, err error) {
	t.Helper()
	var mismatch *blobstore.DigestMismatch
	if !errors.As(err, &mismatch) {
		t.Errorf("got %v, want a mismatch", err)
	}
}
