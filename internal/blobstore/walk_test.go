package blobstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

const (
	v2        = "/docker/registry/v2"
	ownerUID  = "5e9f1a52-6a5e-4c0e-8f0f-0d7f3b6c1d2e"
	uploadUID = "c5f1b3a0-5d0c-4b0e-9c5e-0d2f4f9b8a77"
)

// walkedRepositories have names whose order is not that of their folders' names.
var walkedRepositories = []string{"shop-a/web", "shop.b/web", "shop/web", "shop/web-1", "shop/web.2", "shop/web0", "shop0/web"}

// fillToWalk stores files of every kind, and foreign ones. It returns the entries, in
// order, without sizes and times.
func fillToWalk(t *testing.T, st storage) (want []blobstore.Entry) {
	t.Helper()
	put := func(e blobstore.Entry) {
		t.Helper()
		must(t, st.driver.PutContent(t.Context(), e.Path, []byte(e.Path)))
		want = append(want, e)
	}
	a, b := digest.FromString("a"), digest.SHA512.FromString("b")
	for _, d := range []digest.Digest{a, b, digest.FromString("c")} {
		folder := strings.TrimSuffix(blobPath(d), "/data")
		put(blobstore.Entry{Path: blobPath(d), Kind: blobstore.KindBlob, Digest: d})
		put(blobstore.Entry{Path: folder + "/damaged", Kind: blobstore.KindDamaged, Digest: d})
		put(blobstore.Entry{Path: folder + "/pushed", Kind: blobstore.KindPushed, Digest: d})
		put(blobstore.Entry{Path: folder + "/from/" + a.Encoded(), Kind: blobstore.KindProvenance, Digest: d})
	}
	for _, repo := range walkedRepositories {
		folder := v2 + "/repositories/" + repo
		for _, owner := range []string{"", ownerUID} {
			name := owner
			if owner == "" {
				name = "link"
			}
			put(blobstore.Entry{Path: folder + "/_layers/sha256/" + a.Encoded() + "/" + name, Kind: blobstore.KindBlobLink, Repository: repo, Digest: a, Owner: owner})
			put(blobstore.Entry{Path: folder + "/_manifests/revisions/sha512/" + b.Encoded() + "/" + name, Kind: blobstore.KindManifestLink, Repository: repo, Digest: b, Owner: owner})
		}
		put(blobstore.Entry{Path: folder + "/_owners/" + ownerUID, Kind: blobstore.KindOwner, Repository: repo, Owner: ownerUID})
		put(blobstore.Entry{Path: folder + "/_referrers/sha256/" + a.Encoded() + "/sha512." + b.Encoded(), Kind: blobstore.KindReferrer, Repository: repo, Digest: b, Subject: a})
		put(blobstore.Entry{Path: folder + "/_uploads/" + uploadUID + "/data", Kind: blobstore.KindUpload, Repository: repo})
		put(blobstore.Entry{Path: folder + "/_uploads/" + uploadUID + "/startedat", Kind: blobstore.KindUpload, Repository: repo})
	}
	put(blobstore.Entry{Path: v2 + "/repositories/shop/_scope", Kind: blobstore.KindScope, Repository: "shop"})
	put(blobstore.Entry{Path: v2 + "/aside/" + uploadUID, Kind: blobstore.KindAside})
	put(blobstore.Entry{Path: v2 + "/_scrub", Kind: blobstore.KindOther})
	for _, foreign := range []string{"README", "blobs/README", "blobs/sha256/ab/README", "repositories/README", "repositories/shop/web/_layers/README",
		"repositories/shop/web/_manifests/tags/latest/current/link", "repositories/Shop/web/x", "x/y/z", "x/1/2/3/4/5/6/7/8/9/10/11",
		strings.TrimPrefix(blobPath(a), v2+"/") + ".ABC.tmp"} {
		must(t, st.driver.PutContent(t.Context(), v2+"/"+foreign, []byte("x")))
	}
	slices.SortFunc(want, func(a, b blobstore.Entry) int { return strings.Compare(a.Path, b.Path) })
	return want
}

// walked collects what a walk visits, and compares sizes and times.
func walked(t *testing.T, walk func(context.Context, string, func(blobstore.Entry) error) error, after string) (got []blobstore.Entry) {
	t.Helper()
	must(t, walk(t.Context(), after, func(e blobstore.Entry) error {
		if e.Size != int64(len(e.Path)) || time.Since(e.ModTime).Abs() > time.Hour {
			t.Errorf("%s has %d bytes of %s", e.Path, e.Size, e.ModTime)
		}
		e.Size, e.ModTime = 0, time.Time{}
		got = append(got, e)
		return nil
	}))
	return got
}

func testWalk(t *testing.T, st storage) {
	s := storeOf(t, st.driver)
	if got := walked(t, s.Walk, ""); len(got) > 0 {
		t.Errorf("in empty storage: %v", got)
	}
	want := fillToWalk(t, st)
	if diff := cmp.Diff(want, walked(t, s.Walk, "")); diff != "" {
		t.Fatal(diff)
	}
	blobs := slices.DeleteFunc(slices.Clone(want), func(e blobstore.Entry) bool { return !strings.HasPrefix(e.Path, v2+"/blobs/") })
	if diff := cmp.Diff(blobs, walked(t, s.WalkBlobs, "")); diff != "" {
		t.Error(diff)
	}
	for i, e := range want {
		// After an entry, and after a path that does not exist.
		for _, after := range []string{e.Path, e.Path + "-"} {
			if diff := cmp.Diff(paths(want[i+1:]), paths(walked(t, s.Walk, after))); diff != "" {
				t.Errorf("after %s:\n%s", after, diff)
			}
		}
	}
	for i, e := range blobs {
		if diff := cmp.Diff(paths(blobs[i+1:]), paths(walked(t, s.WalkBlobs, e.Path))); diff != "" {
			t.Errorf("blobs after %s:\n%s", e.Path, diff)
		}
	}
	// Folders, and places outside of the store.
	for _, after := range []string{v2 + "/blobs", v2 + "/repositories", v2 + "/repositories/shop", v2 + "/repositories/shop-a/web", "/", "0", "/docker-", "/docker/registry/v20"} {
		rest := slices.DeleteFunc(slices.Clone(want), func(e blobstore.Entry) bool { return e.Path <= after })
		if diff := cmp.Diff(paths(rest), paths(walked(t, s.Walk, after))); diff != "" {
			t.Errorf("after %s:\n%s", after, diff)
		}
	}
}

func paths(entries []blobstore.Entry) []string {
	found := []string{}
	for _, e := range entries {
		found = append(found, e.Path)
	}
	return found
}

// testWalkEnds stops in the middle, for an error and for a context.
func testWalkEnds(t *testing.T, st storage) {
	s := storeOf(t, st.driver)
	want := fillToWalk(t, st)
	enough, ctx := errors.New("enough"), t.Context()
	n := 0
	err := s.Walk(ctx, "", func(blobstore.Entry) error {
		if n++; n == 5 {
			return enough
		}
		return nil
	})
	if err != enough || n != 5 { //nolint:errorlint // it is returned as it is
		t.Errorf("%d entries, %v", n, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n = 0
	err = s.Walk(ctx, "", func(blobstore.Entry) error {
		n++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("%d entries, %v", n, err)
	}
	// Visited files may be deleted.
	var got []string
	must(t, s.Walk(t.Context(), "", func(e blobstore.Entry) error {
		got = append(got, e.Path)
		return st.driver.Delete(t.Context(), e.Path)
	}))
	if diff := cmp.Diff(paths(want), got); diff != "" {
		t.Error(diff)
	}
	if left := walked(t, s.Walk, ""); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func testRepositories(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	names := func() (names []string) {
		t.Helper()
		must(t, s.Repositories(ctx, func(name string) error {
			names = append(names, name)
			return nil
		}))
		return names
	}
	if got := names(); len(got) > 0 {
		t.Errorf("in empty storage: %q", got)
	}
	fillToWalk(t, st)
	if diff := cmp.Diff(walkedRepositories, names()); diff != "" || !slices.IsSorted(walkedRepositories) {
		t.Error(diff)
	}
	enough := errors.New("enough")
	if err := s.Repositories(ctx, func(string) error { return enough }); err != enough { //nolint:errorlint // it is returned as it is
		t.Error(err)
	}
}
