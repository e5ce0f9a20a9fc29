package blobstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/blobstore"
)

var (
	// next is the repository as the stream has it that gets the name after web's.
	next = blobstore.Repository{Name: repo, Stream: nextUID, Namespace: shopUID}
	// foreign is a stream of that name in the next namespace of that name.
	foreign = blobstore.Repository{Name: repo, Stream: "foreign-stream", Namespace: nextShopUID}
)

// linkKind is a kind of link with its methods.
type linkKind struct {
	link, unlink func(context.Context, blobstore.Repository, digest.Digest) error
	has          func(context.Context, blobstore.Repository, digest.Digest) (bool, error)
	folder       string
}

func kindsOf(s *blobstore.Store) []linkKind {
	return []linkKind{
		{s.LinkBlob, s.UnlinkBlob, s.HasBlob, "_layers"},
		{s.LinkManifest, s.UnlinkManifest, s.HasManifest, "_manifests/revisions"},
	}
}

// want checks which repositories have a link.
func (k linkKind) want(t *testing.T, d digest.Digest, want bool, repositories ...blobstore.Repository) {
	t.Helper()
	for _, r := range repositories {
		if got, err := k.has(t.Context(), r, d); err != nil || got != want {
			t.Errorf("%v has a link to %s in %s: %t, %v, want %t", r, d, k.folder, got, err, want)
		}
	}
}

// linkFolder is the path of the files of a link.
func linkFolder(kind string, d digest.Digest) string {
	return "/docker/registry/v2/repositories/" + repo + "/" + kind + "/" + d.Algorithm().String() + "/" + d.Encoded()
}

// unownedLink writes a link as distribution does.
func unownedLink(t *testing.T, st storage, kind string, d digest.Digest) {
	t.Helper()
	write(t, st, linkFolder(kind, d)+"/link", []byte(d))
}

// filesOf are the names in a folder.
func filesOf(t *testing.T, st storage, folder string) (names []string) {
	t.Helper()
	paths, _ := st.driver.List(t.Context(), folder) // none when there is none
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	slices.Sort(names)
	return names
}

func wantOwners(t *testing.T, s *blobstore.Store, repo string, want ...string) {
	t.Helper()
	slices.Sort(want)
	got, err := s.Owners(t.Context(), repo)
	if got = withoutReleased(got); err != nil || !slices.Equal(got, want) {
		t.Errorf("owners of %s: %q, %v, want %q", repo, got, err, want)
	}
}

// withoutReleased drops the owners of released links, which testReleased is about.
func withoutReleased(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { _, released := blobstore.IsReleased(name); return released })
}

// testReleased holds that a link which is removed grants nothing to its stream, and stays
// for copies until it is removed as released.
func testReleased(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	for i, kind := range kindsOf(s) {
		d := digest.FromString(fmt.Sprint("released ", i))
		must(t, kind.link(ctx, web, d))
		kind.want(t, d, false, web.Released())
		must(t, kind.unlink(ctx, web, d))
		kind.want(t, d, false, web, next, web.Uploads())
		kind.want(t, d, true, web.Released())
		if files := filesOf(t, st, linkFolder(kind.folder, d)); slices.Contains(files, "link") {
			t.Errorf("distribution still finds the link: %q", files)
		}
		// It can be linked again meanwhile, and removed again.
		must(t, kind.link(ctx, web, d))
		kind.want(t, d, true, web, web.Released())
		must(t, s.RemoveOwner(ctx, repo, web.Released().Stream, time.Now().Add(-time.Hour)))
		kind.want(t, d, true, web, web.Released())
		must(t, s.RemoveOwner(ctx, repo, web.Released().Stream, time.Now().Add(time.Hour)))
		kind.want(t, d, true, web)
		kind.want(t, d, false, web.Released())
		// What only the namespace has is of no stream.
		upload := digest.FromString(fmt.Sprint("upload ", i))
		must(t, kind.link(ctx, web.Uploads(), upload))
		must(t, kind.unlink(ctx, web.Uploads(), upload))
		kind.want(t, upload, false, web, web.Uploads(), web.Released())
	}
	if owners, err := s.Owners(ctx, repo); err != nil || slices.ContainsFunc(owners, func(uid string) bool { _, released := blobstore.IsReleased(uid); return released }) {
		t.Errorf("owners %q, %v", owners, err)
	}
}

func repositories(t *testing.T, s *blobstore.Store) (names []string) {
	t.Helper()
	must(t, s.Repositories(t.Context(), func(name string) error { names = append(names, name); return nil }))
	return names
}

// forgetful is a store that remembers nothing, as a process that has just been started.
func forgetful(tb testing.TB, st storage) *blobstore.Store {
	tb.Helper()
	s, err := blobstore.New(blobstore.Options{Driver: st.driver, CacheFor: 1})
	must(tb, err)
	return s
}

func testLinks(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	content := []byte(`{"schemaVersion":2}`)
	for _, d := range []digest.Digest{digest.FromBytes(content), digest.SHA512.FromBytes(content)} {
		must(t, s.Put(ctx, d, content))
		for i, kind := range kindsOf(s) {
			longer := blobstore.Repository{Name: repo + "-other", Stream: webUID, Namespace: shopUID}
			kind.want(t, d, false, web, next)
			wantIs(t, kind.unlink(ctx, web, d), blobstore.ErrUnknown)
			must(t, kind.link(ctx, web, d))
			must(t, kind.link(ctx, web, d))
			for _, kind := range []linkKind{kind, kindsOf(forgetful(t, st))[i]} {
				kind.want(t, d, true, web)
				kind.want(t, d, false, next, foreign, longer, api, web.Uploads(), blobstore.Repository{Name: repo})
			}
			if got, err := st.driver.GetContent(ctx, linkFolder(kind.folder, d)+"/link"); err != nil || string(got) != string(d) {
				t.Errorf("the link holds %q, %v", got, err)
			}
			wantIs(t, kind.unlink(ctx, next, d), blobstore.ErrUnknown)
			must(t, kind.link(ctx, next, d))
			kind.want(t, d, true, web, next)
			must(t, kind.unlink(ctx, web, d))
			kind.want(t, d, false, web)
			kind.want(t, d, true, next)
			must(t, kind.unlink(ctx, next, d))
			for _, kind := range []linkKind{kind, kindsOf(forgetful(t, st))[i]} {
				kind.want(t, d, false, web, next, foreign)
			}
			wantIs(t, kind.unlink(ctx, next, d), blobstore.ErrUnknown)
			if left := withoutReleased(filesOf(t, st, linkFolder(kind.folder, d))); len(left) > 0 {
				t.Errorf("files %q are left", left)
			}
		}
		wantBlob(t, s, d, content)
	}
	wantOwners(t, s, repo, webUID, nextUID)
	wantOwners(t, s, other)
}

// testUploadedLinks holds that what is uploaded is the namespace's, and the stream's alone
// once a manifest of the stream names it.
func testUploadedLinks(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	again := storeOf(t, st.driver) // another replica
	for _, twice := range []bool{false, true} {
		for i, kind := range kindsOf(s) {
			d := digest.FromString(fmt.Sprint(twice, i))
			must(t, kind.link(ctx, web.Uploads(), d))
			kind.want(t, d, true, web, web.Uploads(), next)
			kind.want(t, d, false, foreign, foreign.Uploads(), api.Uploads())
			if twice { // uploaded again after it was linked
				must(t, kind.link(ctx, web, d))
				kind.want(t, d, false, web.Uploads(), next)
				must(t, kind.link(ctx, web.Uploads(), d))
				kind.want(t, d, true, web, next)
			}
			must(t, kindsOf(again)[i].link(ctx, web, d))
			for _, kind := range []linkKind{kindsOf(again)[i], kindsOf(forgetful(t, st))[i]} {
				kind.want(t, d, true, web)
				kind.want(t, d, false, web.Uploads(), next, foreign, foreign.Uploads())
			}
			if got := filesOf(t, st, linkFolder(kind.folder, d)); !slices.Equal(got, []string{webUID, "link"}) {
				t.Errorf("files %q", got)
			}
		}
	}
	content := random(1000)
	d := digest.FromBytes(content)
	u := start(t, s)
	appendAll(t, u, content)
	_, err := u.Commit(ctx, web.Uploads(), d)
	must(t, err)
	wantHas(t, s, next, d, true)
	must(t, s.LinkBlob(ctx, web, d))
	wantHas(t, s, next, d, false)
	wantOwners(t, s, repo, webUID, shopUID)
}

// testNextStream holds that a stream has nothing of the one that had its name before.
func testNextStream(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	d, uploaded := digest.FromString("linked"), digest.FromString("uploaded")
	for i, kind := range kindsOf(s) {
		must(t, kind.link(ctx, web, d))
		must(t, kind.link(ctx, web.Uploads(), uploaded))
		must(t, kind.link(ctx, web, uploaded))
		for _, kind := range []linkKind{kind, kindsOf(forgetful(t, st))[i]} {
			for _, r := range []blobstore.Repository{next, foreign, next.Uploads(), foreign.Uploads()} {
				kind.want(t, d, false, r)
				kind.want(t, uploaded, false, r)
			}
		}
	}
	// The next one pushes before what was the former's is removed.
	must(t, s.LinkBlob(ctx, next, d))
	must(t, s.RemoveOwner(ctx, repo, webUID, time.Time{}))
	for _, s := range []*blobstore.Store{s, forgetful(t, st)} {
		wantHas(t, s, next, d, true)
		wantHas(t, s, next, uploaded, false)
		wantHas(t, s, web, d, false)
	}
}

func testRemoveOwner(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	content := random(5000)
	d := digest.FromBytes(content)
	lost, kept, blobAlone := digest.FromString("lost"), digest.SHA512.FromString("kept"), digest.FromString("blob")
	_, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1)
	must(t, err)
	describe := func(d digest.Digest) ocispec.Descriptor { return ocispec.Descriptor{MediaType: "a/b", Digest: d} }
	for _, m := range []digest.Digest{lost, kept} {
		must(t, s.LinkManifest(ctx, web, m))
		must(t, s.AddReferrer(ctx, repo, d, describe(m)))
	}
	must(t, s.AddReferrer(ctx, repo, d, describe(blobAlone)))
	must(t, s.LinkBlob(ctx, web, blobAlone))
	must(t, s.LinkManifest(ctx, next, kept))
	must(t, s.LinkBlob(ctx, api, d))
	must(t, s.AddReferrer(ctx, other, d, describe(lost)))
	u := start(t, s)
	appendAll(t, u, content)
	must(t, u.Close())

	must(t, s.RemoveOwner(ctx, repo, foreign.Stream, time.Time{})) // which has nothing
	wantOwners(t, s, repo, webUID, nextUID)
	for range 2 {
		must(t, s.RemoveOwner(ctx, repo, webUID, time.Time{}))
		for _, s := range []*blobstore.Store{s, forgetful(t, st)} {
			wantOwners(t, s, repo, nextUID)
			for i, digests := range [][]digest.Digest{{d, blobAlone}, {lost, kept}} {
				for _, d := range digests {
					kindsOf(s)[i].want(t, d, false, web)
				}
			}
			kindsOf(s)[1].want(t, kept, true, next)
			wantHas(t, s, api, d, true)
			wantReferrers(t, s, repo, d, kept)
			wantReferrers(t, s, other, d, lost)
		}
	}
	wantBlob(t, s, d, content)
	u, err = s.Upload(ctx, repo, u.ID()) // uploads end in other ways
	must(t, err)
	must(t, u.Cancel(ctx))
	must(t, s.LinkBlob(ctx, web, d)) // it is noted anew
	wantOwners(t, s, repo, webUID, nextUID)
}

// listReferrers are the descriptors of all referrers; those that are damaged are left out.
func listReferrers(ctx context.Context, s *blobstore.Store, repo string, subject digest.Digest) ([]ocispec.Descriptor, error) {
	digests, err := s.Referrers(ctx, repo, subject)
	descriptors := []ocispec.Descriptor{}
	for _, d := range digests {
		entry, readErr := s.Referrer(ctx, repo, subject, d, blobstore.MaxReferrerBytes)
		if errors.Is(readErr, blobstore.ErrUnknown) {
			continue
		}
		var descriptor ocispec.Descriptor
		err = errors.Join(err, readErr, json.Unmarshal(entry.Descriptor, &descriptor))
		descriptors = append(descriptors, descriptor)
	}
	return descriptors, err
}

func wantReferrers(t *testing.T, s *blobstore.Store, repo string, subject digest.Digest, want ...digest.Digest) {
	t.Helper()
	descriptors, err := listReferrers(t.Context(), s, repo, subject)
	var got []digest.Digest
	for _, d := range descriptors {
		got = append(got, d.Digest)
	}
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("referrers of %s in %s: %v, %v, want %v", subject, repo, got, err, want)
	}
}

// testYoungLinks holds that a time spares what was linked then or later.
func testYoungLinks(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	d, foreigns := digest.FromString("x"), digest.FromString("y")
	must(t, s.LinkBlob(ctx, web.Uploads(), d))
	must(t, s.LinkManifest(ctx, web.Uploads(), d))
	must(t, s.LinkBlob(ctx, foreign.Uploads(), foreigns))
	linked := func(kind string) time.Time {
		t.Helper()
		info, err := st.driver.Stat(ctx, linkFolder(kind, d)+"/"+shopUID)
		must(t, err)
		return info.ModTime()
	}
	first := linked("_layers")
	for _, before := range []time.Time{first.Add(-time.Hour), first} {
		must(t, s.RemoveOwner(ctx, repo, shopUID, before))
		wantHas(t, s, web, d, true)
		wantHas(t, forgetful(t, st), web, d, true)
	}
	last := linked("_manifests/revisions")
	must(t, s.RemoveOwner(ctx, repo, shopUID, last.Add(1)))
	for _, s := range []*blobstore.Store{s, forgetful(t, st)} {
		for _, kind := range kindsOf(s) {
			kind.want(t, d, false, web)
		}
		wantHas(t, s, foreign, foreigns, true)
	}
	wantOwners(t, s, repo, shopUID, nextShopUID) // it may have younger ones
}

// A link that is made again is as young as the last time, if it is an upload's.
func TestYoungLinksOnDisk(t *testing.T) {
	root, ctx := t.TempDir(), t.Context()
	s := storeOf(t, onDisk(t, root))
	now := time.Now()
	links := map[digest.Digest]time.Duration{}
	for i := range 6 {
		d := digest.FromString(fmt.Sprint(i))
		links[d] = -time.Duration(i) * time.Hour
		must(t, s.LinkBlob(ctx, web.Uploads(), d))
		at := now.Add(links[d])
		must(t, os.Chtimes(filepath.Join(root, linkFolder("_layers", d), shopUID), at, at))
	}
	again := digest.FromString("5")
	must(t, s.LinkBlob(ctx, web.Uploads(), again))
	must(t, s.RemoveOwner(ctx, repo, shopUID, now.Add(-150*time.Minute)))
	for d, age := range links {
		wantHas(t, s, web, d, age > -150*time.Minute || d == again)
	}
}

// testUnowned has links of distribution's registry, which belong to the first stream that
// reads one.
func testUnowned(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	read, unread, unlinked := digest.FromString("a"), digest.FromString("b"), digest.FromString("c")
	all := []digest.Digest{read, unread, unlinked}
	for _, kind := range kindsOf(s) {
		for _, d := range all {
			unownedLink(t, st, kind.folder, d)
		}
	}
	// A temporary file of a killed process is not a link.
	write(t, st, linkFolder("_layers", read)+"/"+nextUID+".X.tmp", nil)
	wantOwners(t, s, repo)
	for _, kind := range kindsOf(s) { // a namespace is no stream, and nothing is none
		kind.want(t, read, false, web.Uploads(), blobstore.Repository{Name: repo}, api)
		wantIs(t, kind.unlink(ctx, web.Uploads(), read), blobstore.ErrUnknown)
	}
	wantOwners(t, s, repo)
	kindsOf(s)[0].want(t, read, true, web)
	wantOwners(t, s, repo, webUID)
	for _, s := range []*blobstore.Store{s, forgetful(t, st)} {
		for i, kind := range kindsOf(s) {
			for _, d := range all {
				kind.want(t, d, false, next, foreign, web.Uploads())
				if i > 0 || d != unread {
					kind.want(t, d, true, web)
				}
			}
			wantIs(t, kind.unlink(ctx, next, unread), blobstore.ErrUnknown)
		}
	}
	must(t, s.UnlinkBlob(ctx, web, unlinked))
	wantHas(t, s, web, unlinked, false)
	must(t, s.LinkBlob(ctx, next, read))
	must(t, s.RemoveOwner(ctx, repo, webUID, time.Time{}))
	for _, s := range []*blobstore.Store{s, forgetful(t, st)} {
		for i, kind := range kindsOf(s) {
			for _, d := range all {
				kind.want(t, d, false, web, foreign, web.Uploads())
				kind.want(t, d, i == 0 && d == read, next)
			}
		}
	}
	wantOwners(t, s, repo, nextUID)
	// What another program writes later belongs to none of the streams that follow.
	unownedLink(t, st, "_layers", unread)
	wantHas(t, s, next, unread, false)
}

// testUnownedNeverRead holds that links without owner that a stream never read are not the
// next one's.
func testUnownedNeverRead(t *testing.T, st storage) {
	s, ctx, d, own := storeOf(t, st.driver), t.Context(), digest.FromString("x"), digest.FromString("own")
	for name, remove := range map[string]func() error{
		"owner":      func() error { return s.RemoveOwner(ctx, repo, webUID, time.Time{}) },
		"its link":   func() error { return s.UnlinkBlob(ctx, web, own) },
		"a manifest": func() error { return s.UnlinkManifest(ctx, web, own) },
	} {
		emptied(t, st)
		s = storeOf(t, st.driver)
		unownedLink(t, st, "_layers", d)
		must(t, s.LinkBlob(ctx, web, own))
		must(t, s.LinkManifest(ctx, web, own))
		must(t, remove())
		for _, s := range []*blobstore.Store{s, forgetful(t, st)} {
			wantHas(t, s, next, d, false)
			wantHas(t, s, foreign, d, false)
			wantHas(t, s, web, d, name != "owner")
		}
	}
	// A stream that has gone without ever coming here leaves no folder.
	must(t, s.RemoveOwner(ctx, "elsewhere/x", webUID, time.Time{}))
	if got := repositories(t, s); !slices.Equal(got, []string{repo}) {
		t.Errorf("repositories %q", got)
	}
}

// testDamagedUnowned is a record of who has the unowned links that holds no UID.
func testDamagedUnowned(t *testing.T, st storage) {
	ctx, d := t.Context(), digest.FromString("x")
	const path = "/docker/registry/v2/repositories/" + repo + "/_owners/unowned"
	for _, damage := range [][]byte{nil, []byte("link"), []byte("../x"), []byte(webUID + "\n"), bytes.Repeat([]byte("a"), 1000)} {
		unownedLink(t, st, "_layers", d)
		write(t, st, path, damage)
		s := storeOf(t, st.driver)
		wantHas(t, s, web, d, true)
		if got, err := st.driver.GetContent(ctx, path); err != nil || string(got) != webUID {
			t.Errorf("after %q: %q, %v", damage, got, err)
		}
		wantHas(t, s, next, d, false)
		wantHas(t, storeOf(t, st.driver), next, d, false)
	}
	must(t, st.driver.Delete(ctx, path)) // where a folder should be a file
	write(t, st, path+"/deeper", nil)
	if has, err := storeOf(t, st.driver).HasBlob(ctx, next, d); err == nil && has && st.driver.Name() == "filesystem" {
		t.Error("a folder is a record")
	}
}

// testLinkModel compares random operations with a map.
func testLinkModel(t *testing.T, st storage) {
	s, fresh, ctx := storeOf(t, st.driver), forgetful(t, st), t.Context()
	operations, every := 2000, 20
	if st.driver.Name() == "s3aws" {
		operations, every = 400, 40
	}
	r := rand.New(rand.NewPCG(1, 2))
	streams := []blobstore.Repository{web, next, foreign}
	thief := blobstore.Repository{Name: repo, Stream: "thief", Namespace: "thiefs-namespace"}
	digests := make([]digest.Digest, 6)
	for i := range digests {
		digests[i] = digest.FromString(fmt.Sprint(i))
	}
	type link struct {
		kind  int
		owner string
		d     digest.Digest
	}
	model, owners := map[link]bool{}, map[string]bool{}
	compare := func(s *blobstore.Store) {
		t.Helper()
		for i, kind := range kindsOf(s) {
			for _, d := range digests {
				for _, r := range append(streams, web.Uploads(), foreign.Uploads()) {
					kind.want(t, d, model[link{i, r.Stream, d}] || model[link{i, r.Namespace, d}], r)
				}
				kind.want(t, d, false, thief)
			}
		}
	}
	for n := range operations {
		of, d, k := streams[r.IntN(3)], digests[r.IntN(len(digests))], r.IntN(2)
		if r.IntN(3) == 0 {
			of = of.Uploads()
		}
		kind := kindsOf([]*blobstore.Store{s, fresh}[0])[k]
		var what string
		switch p := r.IntN(10); {
		case p < 5:
			what = "link"
			must(t, kind.link(ctx, of, d))
			delete(model, link{k, of.Namespace, d})
			model[link{k, of.Owner(), d}], owners[of.Owner()] = true, true
		case p < 9:
			what = "unlink"
			err := kind.unlink(ctx, of, d)
			if model[link{k, of.Stream, d}] || model[link{k, of.Namespace, d}] {
				must(t, err)
			} else {
				wantIs(t, err, blobstore.ErrUnknown)
			}
			delete(model, link{k, of.Stream, d})
			delete(model, link{k, of.Namespace, d})
		default:
			what = "remove owner"
			must(t, s.RemoveOwner(ctx, repo, of.Owner(), time.Time{}))
			for l := range model {
				if l.owner == of.Owner() {
					delete(model, l)
				}
			}
			delete(owners, of.Owner())
		}
		if n%every == 0 || n == operations-1 {
			compare(s)
			compare(fresh)
			var want []string
			for owner := range owners {
				want = append(want, owner)
			}
			wantOwners(t, s, repo, want...)
		}
		if t.Failed() {
			t.Fatalf("after operation %d, %s of %s by %v", n, what, d, of)
		}
	}
}

// testOwnersAtOnce links for one stream while another one's links are removed, in two
// processes.
func testOwnersAtOnce(t *testing.T, st storage) {
	ctx, count := t.Context(), 150
	if st.driver.Name() == "s3aws" {
		count = 25
	}
	remover, pusher := storeOf(t, st.driver), storeOf(t, st.driver)
	subject := digest.FromString("subject")
	named := func(i int) digest.Digest { return digest.FromString(fmt.Sprint(i)) }
	for i := range count {
		must(t, remover.LinkManifest(ctx, web, named(i)))
		must(t, remover.AddReferrer(ctx, repo, subject, ocispec.Descriptor{MediaType: "a/b", Digest: named(i)}))
	}
	long := time.Now().Add(-time.Hour)
	done := make(chan struct{})
	var background, pushers sync.WaitGroup
	repeat := func(do func(n int)) {
		background.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
					do(n)
				}
			}
		})
	}
	check := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	repeat(func(int) {
		check(remover.RemoveOwner(ctx, repo, webUID, time.Time{}))
		check(remover.RemoveOwner(ctx, repo, shopUID, long))
	})
	repeat(func(n int) { check(remover.LinkManifest(ctx, web, named(n%count))) })
	repeat(func(n int) {
		if has, err := remover.HasManifest(ctx, foreign, named(n%count)); err != nil || has {
			t.Errorf("another stream has %d: %v", n%count, err)
		}
	})
	for _, store := range []*blobstore.Store{pusher, remover} {
		pushers.Go(func() {
			for i := range count {
				d := named(i)
				check(store.LinkBlob(ctx, next.Uploads(), d))
				check(store.LinkBlob(ctx, next, d))
				check(store.LinkManifest(ctx, next, d))
				check(store.AddReferrer(ctx, repo, subject, ocispec.Descriptor{MediaType: "a/b", Digest: d}))
				for _, kind := range kindsOf(forgetful(t, st)) {
					kind.want(t, d, true, next)
				}
			}
		})
	}
	pushers.Wait()
	close(done)
	background.Wait()
	must(t, remover.RemoveOwner(ctx, repo, webUID, time.Time{}))
	var all []digest.Digest
	for i := range count {
		all = append(all, named(i))
		for _, kind := range kindsOf(forgetful(t, st)) {
			kind.want(t, named(i), true, next)
			kind.want(t, named(i), false, web, foreign)
		}
	}
	wantReferrers(t, pusher, repo, subject, all...)
}

// What others put beside the repositories is passed over.
func TestForeignFolders(t *testing.T) {
	root := t.TempDir()
	s := storeOf(t, onDisk(t, root))
	must(t, s.LinkBlob(t.Context(), web, digest.FromString("x")))
	for _, folder := range []string{"lost found", "shop/a b", "UPPER/x", ".snapshot/web"} {
		must(t, os.MkdirAll(filepath.Join(root, "docker/registry/v2/repositories", folder), 0o700))
	}
	if got := repositories(t, s); !slices.Equal(got, []string{repo}) {
		t.Errorf("repositories %q", got)
	}
}

// testBinding holds that storage belongs to the first API that binds it.
func testBinding(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	for _, identity := range []string{"first", "first", "second"} {
		if bound, err := s.BindAPI(ctx, identity); err != nil || bound != "first" {
			t.Errorf("bound to %q, %v", bound, err)
		}
	}
}
