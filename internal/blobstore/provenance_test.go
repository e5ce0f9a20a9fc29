package blobstore_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

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

// testFormerManifests holds that manifests of other registries are found where earlier
// versions kept them, until they are stored anew.
func testFormerManifests(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	content := []byte(`{"schemaVersion":2}`)
	for _, d := range []digest.Digest{digest.FromBytes(content), digest.SHA512.FromBytes(content)} {
		path := strings.TrimSuffix(blobPath(d), "data") + "fetched"
		wantUnknown(t, s, d)
		write(t, st, path, content)
		if got, err := s.Read(ctx, d, int64(len(content))); err != nil || !bytes.Equal(got, content) {
			t.Errorf("read %q, %v", got, err)
		}
		_, err := s.Read(ctx, d, int64(len(content)-1))
		var tooLarge *blobstore.SizeMismatch
		if !errors.As(err, &tooLarge) {
			t.Errorf("reading with a bound: %v", err)
		}
		_, err = s.Stat(ctx, d) // it is no blob: it is not served as one
		wantIs(t, err, blobstore.ErrUnknown)
		write(t, st, path, []byte("rot"))
		_, err = s.Read(ctx, d, 1<<20)
		wantMismatch(t, err)
		must(t, s.Put(ctx, d, content)) // fetched again
		wantBlob(t, s, d, content)
		must(t, s.Delete(ctx, d))
		wantUnknown(t, s, d)
	}
}

// testFormerScope holds that what an earlier version kept under a namespace's name counts
// for the namespace that had it, not for the next one of that name.
func testFormerScope(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	const path = "/docker/registry/v2/repositories/shop/_scope"
	want := func(since time.Time, want string) {
		t.Helper()
		if got, err := s.FormerScope(ctx, "shop", since); err != nil || got != want {
			t.Errorf("since %s: scope %q, %v, want %q", since, got, err, want)
		}
	}
	want(time.Time{}, "")
	write(t, st, path, []byte("a-scope"))
	info, err := st.driver.Stat(ctx, path)
	must(t, err)
	for _, since := range []time.Time{{}, info.ModTime().Add(-time.Hour), info.ModTime()} {
		want(since, "a-scope")
	}
	for _, since := range []time.Time{info.ModTime().Add(1), info.ModTime().Add(time.Hour)} {
		want(since, "")
	}
	if got, err := s.FormerScope(ctx, "other", time.Time{}); err != nil || got != "" {
		t.Errorf("another namespace has scope %q, %v", got, err)
	}
	if got := repositories(t, s); len(got) > 0 { // it is no repository's
		t.Errorf("repositories %q", got)
	}
}

func wantMismatch(t *testing.T, err error) {
	t.Helper()
	var mismatch *blobstore.DigestMismatch
	if !errors.As(err, &mismatch) {
		t.Errorf("got %v, want a mismatch", err)
	}
}
