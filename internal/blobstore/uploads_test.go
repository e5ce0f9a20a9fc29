package blobstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

func testUploads(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	before := time.Now().Add(-time.Second)
	content := random(3_000_000)
	d := digest.FromBytes(content)
	u := start(t, s)
	id := u.ID()
	if u.Size() != 0 || u.StartedAt().Before(before) || u.StartedAt().After(time.Now().Add(time.Second)) {
		t.Errorf("size %d, started %s", u.Size(), u.StartedAt())
	}
	must(t, u.Close())
	must(t, u.Close())
	// Each chunk in a request of its own, as clients send them; one of them empty.
	for _, chunk := range [][]byte{content[:1], content[1:1_500_000], nil, content[1_500_000:]} {
		u, err := s.Upload(ctx, repo, id)
		must(t, err)
		var mismatch *blobstore.OffsetMismatch
		if _, err := u.AppendAt(ctx, u.Size()+1, bytes.NewReader(chunk)); !errors.As(err, &mismatch) || mismatch.Want != u.Size() {
			t.Errorf("a chunk after a gap: %v", err)
		}
		if n, err := u.AppendAt(ctx, u.Size(), bytes.NewReader(chunk)); err != nil || n != int64(len(chunk)) {
			t.Fatalf("%d, %v", n, err)
		}
		size := u.Size()
		must(t, u.Close())
		status, err := s.Upload(ctx, repo, id)
		must(t, err)
		if status.Size() != size || status.ID() != id || status.StartedAt().Before(before) {
			t.Errorf("status: size %d, want %d, started %s", status.Size(), size, status.StartedAt())
		}
		must(t, status.Close())
	}
	wantUnknown(t, s, d)
	wantHas(t, s, web, d, false)
	u, err := s.Upload(ctx, repo, id)
	must(t, err)
	if size, err := u.Commit(ctx, web, d); err != nil || size != int64(len(content)) {
		t.Fatalf("%d, %v", size, err)
	}
	must(t, u.Close())
	wantBlob(t, s, d, content)
	wantHas(t, s, web, d, true)
	wantHas(t, s, api, d, false)
	_, err = s.Upload(ctx, repo, id)
	wantIs(t, err, blobstore.ErrUnknown)
	wantNothingLeft(t, st)
}

func testUploadSizes(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	for _, size := range []int{0, 1, 256<<10 - 1, 256 << 10, 256<<10 + 1, 5<<20 + 1, 11 << 20} {
		content := random(size)
		d := digest.FromBytes(content)
		u := start(t, s) // all in one request
		appendAll(t, u, content)
		if n, err := u.Commit(ctx, web, d); err != nil || n != int64(size) {
			t.Fatalf("%d bytes: %d, %v", size, n, err)
		}
		must(t, u.Close())
		wantBlob(t, s, d, content)
		u = start(t, s) // in several, of a blob that is there
		must(t, u.Close())
		u, err := s.Upload(ctx, repo, u.ID())
		must(t, err)
		if size > 0 {
			appendAll(t, u, content)
		}
		must(t, u.Close())
		u, err = s.Upload(ctx, repo, u.ID())
		must(t, err)
		if n, err := u.Commit(ctx, web, d); err != nil || n != int64(size) {
			t.Fatalf("%d bytes: %d, %v", size, n, err)
		}
		wantBlob(t, s, d, content)
	}
	wantNothingLeft(t, st)
}

// testBrokenConnection keeps what came before the connection broke.
func testBrokenConnection(t *testing.T, st storage) {
	s := storeOf(t, st.driver)
	content := random(7 << 20)
	d := digest.FromBytes(content)
	u := start(t, s)
	must(t, u.Close())
	for at := 0; at < len(content); {
		upto := min(at+3<<20-17, len(content))
		// As with a request, its context ends with the connection.
		ctx, cancel := context.WithCancel(t.Context())
		u, err := s.Upload(ctx, repo, u.ID())
		must(t, err)
		if u.Size() != int64(at) {
			t.Fatalf("size %d, want %d", u.Size(), at)
		}
		r := io.MultiReader(bytes.NewReader(content[at:upto]), &breaking{cancel})
		n, err := u.Append(ctx, r)
		var received *blobstore.ReceiveError
		if !errors.As(err, &received) || !errors.Is(err, io.ErrUnexpectedEOF) || n != int64(upto-at) {
			t.Fatalf("%d, %v", n, err)
		}
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
		at = upto
	}
	u, err := s.Upload(t.Context(), repo, u.ID())
	must(t, err)
	_, err = u.Commit(t.Context(), web, d)
	must(t, err)
	wantBlob(t, s, d, content)
}

type breaking struct{ cancel func() }

func (b *breaking) Read([]byte) (int, error) {
	b.cancel()
	return 0, io.ErrUnexpectedEOF
}

func testOtherAlgorithm(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	content := random(1_200_000)
	algorithms := []digest.Algorithm{digest.SHA256, digest.SHA512}
	for _, announced := range algorithms {
		for _, used := range algorithms {
			u, err := s.StartUpload(ctx, repo, announced)
			must(t, err)
			appendAll(t, u, content[:700_000])
			must(t, u.Close())
			resumed := s
			if st.again != nil {
				resumed = storeOf(t, st.again(t))
			}
			u, err = resumed.Upload(ctx, repo, u.ID())
			must(t, err)
			appendAll(t, u, content[700_000:])
			_, err = u.Commit(ctx, web, used.FromBytes(content))
			must(t, err)
			wantBlob(t, s, used.FromBytes(content), content)
			must(t, s.Delete(ctx, used.FromBytes(content)))

			u, err = s.StartUpload(ctx, repo, announced)
			must(t, err)
			appendAll(t, u, content)
			_, err = u.Commit(ctx, web, used.FromString("another"))
			var mismatch *blobstore.DigestMismatch
			if !errors.As(err, &mismatch) || mismatch.Got != used.FromBytes(content) {
				t.Errorf("%s of an upload with %s: %v", used, announced, err)
			}
		}
	}
	wantNothingLeft(t, st)
}

func testUploadEnds(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	d := digest.FromString("x")
	for name, end := range map[string]func(u *blobstore.Upload) error{
		"commit": func(u *blobstore.Upload) error { _, err := u.Commit(ctx, web, d); return err },
		"cancel": func(u *blobstore.Upload) error { return u.Cancel(ctx) },
		"cancel by another request": func(u *blobstore.Upload) error {
			must(t, u.Close())
			again, err := s.Upload(ctx, repo, u.ID())
			must(t, err)
			return again.Cancel(ctx)
		},
	} {
		for _, content := range []string{"", "x"} {
			if content == "" && name == "commit" {
				continue
			}
			u := start(t, s)
			if content != "" {
				appendAll(t, u, []byte(content))
			}
			if err := end(u); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			_, err := s.Upload(ctx, repo, u.ID())
			wantIs(t, err, blobstore.ErrUnknown)
			_, err = u.Append(ctx, bytes.NewReader(nil))
			wantIs(t, err, blobstore.ErrUnknown)
			_, err = u.Commit(ctx, web, d)
			wantIs(t, err, blobstore.ErrUnknown)
			wantIs(t, u.Cancel(ctx), blobstore.ErrUnknown)
			must(t, u.Close())
		}
	}
	u := start(t, s)
	must(t, u.Close())
	_, err := s.Upload(ctx, other, u.ID())
	wantIs(t, err, blobstore.ErrUnknown)
	u, err = s.Upload(ctx, repo, u.ID())
	must(t, err)
	must(t, u.Cancel(ctx))
	wantNothingLeft(t, st)
}

func testBusy(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	u := start(t, s)
	_, err := s.Upload(ctx, repo, u.ID())
	wantIs(t, err, blobstore.ErrBusy)
	must(t, u.Close())
	u, err = s.Upload(ctx, repo, u.ID())
	must(t, err)
	_, err = s.Upload(ctx, repo, u.ID())
	wantIs(t, err, blobstore.ErrBusy)
	must(t, u.Cancel(ctx))
	_, err = s.Upload(ctx, repo, u.ID())
	wantIs(t, err, blobstore.ErrUnknown)
}

// testReplicas sends every chunk to another process.
func testReplicas(t *testing.T, st storage) {
	if st.again == nil {
		return // there is one process only
	}
	ctx := t.Context()
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		content := random(13 << 20)
		d := a.FromBytes(content)
		u, err := storeOf(t, st.again(t)).StartUpload(ctx, repo, a)
		must(t, err)
		must(t, u.Close())
		for at := 0; at < len(content); {
			upto := min(at+4_000_000, len(content))
			u, err := storeOf(t, st.again(t)).Upload(ctx, repo, u.ID())
			must(t, err)
			if u.Size() != int64(at) {
				t.Fatalf("size %d, want %d", u.Size(), at)
			}
			appendAll(t, u, content[at:upto])
			must(t, u.Close())
			at = upto
		}
		u, err = storeOf(t, st.again(t)).Upload(ctx, repo, u.ID())
		must(t, err)
		_, err = u.Commit(ctx, web, d)
		must(t, err)
		wantBlob(t, storeOf(t, st.again(t)), d, content)
	}
	wantNothingLeft(t, st)
}

// testDamagedUploads has files of uploads that a crash, or somebody, damaged.
func testDamagedUploads(t *testing.T, st storage) {
	ctx := t.Context()
	content := random(6_000_000)
	d := digest.FromBytes(content)
	for name, damage := range map[string]func(folder string){
		"hash state truncated": func(folder string) { write(t, st, folder+"/hashstate", []byte("weirhsh1\x00")) },
		"hash state empty":     func(folder string) { write(t, st, folder+"/hashstate", nil) },
		"hash state gone": func(folder string) {
			if err := st.driver.Delete(ctx, folder+"/hashstate"); err != nil {
				t.Fatal(err)
			}
		},
		"hash state of other data": func(folder string) {
			s := storeOf(t, st.driver)
			u := start(t, s)
			appendAll(t, u, random(2_000_000))
			must(t, u.Close())
			state, err := st.driver.GetContent(ctx, "/docker/registry/v2/repositories/"+repo+"/_uploads/"+u.ID()+"/hashstate")
			must(t, err)
			write(t, st, folder+"/hashstate", state)
		},
		"startedat damaged": func(folder string) { write(t, st, folder+"/startedat", []byte("yester")) },
		"startedat empty":   func(folder string) { write(t, st, folder+"/startedat", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			s := storeOf(t, st.driver)
			u := start(t, s)
			appendAll(t, u, content[:5_500_000])
			must(t, u.Close())
			damage("/docker/registry/v2/repositories/" + repo + "/_uploads/" + u.ID())
			s = storeOf(t, st.driver) // which knows nothing of it
			u, err := s.Upload(ctx, repo, u.ID())
			must(t, err)
			if u.Size() != 5_500_000 || time.Since(u.StartedAt()).Abs() > time.Minute {
				t.Errorf("size %d, started %s", u.Size(), u.StartedAt())
			}
			appendAll(t, u, content[5_500_000:])
			must(t, u.Close())
			u, err = s.Upload(ctx, repo, u.ID())
			must(t, err)
			_, err = u.Commit(ctx, web, d)
			must(t, err)
			wantBlob(t, s, d, content)
			must(t, s.Delete(ctx, d))
		})
	}
}

func write(t *testing.T, st storage, path string, content []byte) {
	t.Helper()
	must(t, st.driver.PutContent(t.Context(), path, content))
}

func testIngest(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	onDisk := st.driver.Name() == "filesystem"
	content := random(900_000)
	d := digest.FromBytes(content)
	in, err := s.Ingest(ctx, d)
	must(t, err)
	for at := 0; at < len(content); at += 100_000 {
		if n, err := in.Receive(ctx, bytes.NewReader(content[at:at+100_000]), nil); err != nil || n != 100_000 {
			t.Fatalf("%d, %v", n, err)
		}
		if in.Size() != int64(at+100_000) {
			t.Errorf("size %d at %d", in.Size(), at)
		}
		r, err := in.Open(ctx, 50_000)
		if errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		must(t, err)
		got, err := io.ReadAll(r)
		if _, file := r.(*os.File); err != nil || !file || !onDisk || !bytes.Equal(got, content[50_000:at+100_000]) {
			t.Errorf("%T with %d bytes, %v", r, len(got), err)
		}
		r.Close()
	}
	growing, openErr := in.Open(ctx, 0)
	wantUnknown(t, s, d)
	must(t, in.Commit(ctx))
	wantBlob(t, s, d, content)
	if openErr == nil { // what was open stays so
		got, err := io.ReadAll(growing)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		growing.Close()
	}
	r, err := in.Open(ctx, 800_000)
	must(t, err)
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content[800_000:]) {
		t.Errorf("after the commit: %d bytes, %v", len(got), err)
	}
	r.Close()
	must(t, in.Cancel(ctx))
	wantIs(t, in.Commit(ctx), blobstore.ErrUnknown)
	wantBlob(t, s, d, content)

	lie := digest.FromString("a lie")
	for name, end := range map[string]func(*blobstore.Ingest) error{
		"cancel": func(in *blobstore.Ingest) error { return in.Cancel(ctx) },
		"mismatch": func(in *blobstore.Ingest) error {
			var mismatch *blobstore.DigestMismatch
			if err := in.Commit(ctx); !errors.As(err, &mismatch) {
				return fmt.Errorf("%v, want a DigestMismatch", err)
			}
			return nil
		},
	} {
		in, err := s.Ingest(ctx, lie)
		must(t, err)
		receive(t, in, content)
		if err := end(in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := in.Receive(ctx, bytes.NewReader(content), nil); !errors.Is(err, blobstore.ErrUnknown) {
			t.Errorf("%s: writing after it: %v", name, err)
		}
		if _, err := in.Open(ctx, 0); !errors.Is(err, blobstore.ErrUnknown) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: opening after it: %v", name, err)
		}
		wantUnknown(t, s, lie)
	}
	wantNothingLeft(t, st)
}

func testAbandoned(t *testing.T, st storage) {
	ctx := t.Context()
	var later time.Duration
	clock := func() time.Time { return time.Now().Add(later) }
	s, err := blobstore.New(blobstore.Options{Driver: st.driver, Now: clock})
	must(t, err)
	content := random(6_000_000)
	var left []string
	for _, size := range []int{0, 1000, 6_000_000} {
		u := start(t, s)
		appendAll(t, u, content[:size])
		must(t, u.Close())
		left = append(left, u.ID())
	}
	inUse := start(t, s)
	appendAll(t, inUse, content[:1000])
	ingest, err := s.Ingest(ctx, digest.FromBytes(content))
	must(t, err)
	receive(t, ingest, content)
	// What a process that was killed left aside.
	dead := storeOf(t, st.driver)
	orphan, err := dead.Ingest(ctx, digest.FromString("x"))
	must(t, err)
	receive(t, orphan, content)
	folder := "/docker/registry/v2/repositories/" + repo + "/_uploads/"
	write(t, st, folder+left[1]+"/startedat", []byte("9999-12-31T00:00:00Z"))
	write(t, st, folder+left[2]+"/startedat", []byte("\x00"))
	write(t, st, folder+"README", []byte("not ours"))
	write(t, st, "/docker/registry/v2/aside/README", []byte("not ours"))

	if n, err := s.RemoveAbandonedUploads(ctx, time.Hour); err != nil || n != 0 {
		t.Fatalf("nothing is abandoned yet: %d, %v", n, err)
	}
	later = 2 * time.Hour
	want := len(left) + 1
	if _, locks := st.driver.(interface{ Root() string }); locks {
		want-- // the orphan's writer is still alive, and so its lock
	}
	if n, err := s.RemoveAbandonedUploads(ctx, time.Hour); err != nil || n != want {
		t.Errorf("%d, %v, want %d", n, err, want)
	}
	must(t, orphan.Cancel(ctx))
	for _, id := range left {
		_, err := s.Upload(ctx, repo, id)
		wantIs(t, err, blobstore.ErrUnknown)
	}
	appendAll(t, inUse, content[1000:])
	_, err = inUse.Commit(ctx, web, digest.FromBytes(content))
	must(t, err)
	must(t, ingest.Commit(ctx))
	wantBlob(t, s, digest.FromBytes(content), content)
	for _, path := range []string{folder + "README", "/docker/registry/v2/aside/README"} {
		if got, err := st.driver.GetContent(ctx, path); err != nil || string(got) != "not ours" {
			t.Errorf("%s: %q, %v", path, got, err)
		}
		must(t, st.driver.Delete(ctx, path))
	}
	wantNothingLeft(t, st)
}

func testSameBlobAtOnce(t *testing.T, st storage) {
	ctx := t.Context()
	stores := []*blobstore.Store{storeOf(t, st.driver), storeOf(t, st.driver)}
	for _, size := range []int{100_000, 1_000_000} {
		content := random(size)
		d := digest.FromBytes(content)
		var writers sync.WaitGroup
		for i := range 8 {
			s := stores[i%2]
			writers.Go(func() {
				if i%4 < 2 {
					if _, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1); err != nil {
						t.Error(err)
					}
					return
				}
				u, err := s.StartUpload(ctx, repo, "")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := u.Append(ctx, bytes.NewReader(content)); err != nil {
					t.Error(err)
				}
				if _, err := u.Commit(ctx, web, d); err != nil {
					t.Error(err)
				}
			})
			writers.Go(func() { // complete or absent, whenever one looks
				got, err := s.Read(ctx, d, int64(size))
				if err != nil && !errors.Is(err, blobstore.ErrUnknown) || err == nil && !bytes.Equal(got, content) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		writers.Wait()
		wantBlob(t, stores[0], d, content)
	}
	wantNothingLeft(t, st)
}

func testManyUploads(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	var clients sync.WaitGroup
	for i := range 200 {
		content := append(random(20_000), fmt.Sprint(i)...)
		clients.Go(func() {
			u, err := s.StartUpload(ctx, repo, "")
			if err != nil {
				t.Error(err)
				return
			}
			id := u.ID()
			if err := u.Close(); err != nil {
				t.Error(err)
			}
			for _, chunk := range [][]byte{content[:7000], content[7000:]} {
				u, err := s.Upload(ctx, repo, id)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := u.Append(ctx, iotest.OneByteReader(bytes.NewReader(chunk))); err != nil {
					t.Error(err)
				}
				if err := u.Close(); err != nil {
					t.Error(err)
				}
			}
			u, err = s.Upload(ctx, repo, id)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := u.Commit(ctx, web, digest.FromBytes(content)); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	for i := range 200 {
		content := append(random(20_000), fmt.Sprint(i)...)
		d := digest.FromBytes(content)
		if got, err := s.Read(ctx, d, 1<<20); err != nil || !bytes.Equal(got, content) {
			t.Errorf("upload %d: %d bytes, %v", i, len(got), err)
		}
		wantHas(t, s, web, d, true)
	}
	wantNothingLeft(t, st)
}

// testGarbage puts files where folders belong, and the other way round.
func testGarbage(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	const root = "/docker/registry/v2"
	content := []byte("content")
	d, folderToo := digest.FromBytes(content), digest.FromString("a folder")
	for _, path := range []string{
		root + "/repositories/README", root + "/repositories/Not.A.Namespace_/x/_uploads/y",
		root + "/repositories/shop/_uploads/z", root + "/repositories/shop/.hidden",
		root + "/repositories/shop/web/_referrers/sha256/" + d.Encoded() + "/README",
		root + "/repositories/shop/web/_referrers/sha256/" + d.Encoded() + "/sha256." + d.Encoded(),
		root + "/repositories/shop/web/_referrers/sha256/" + d.Encoded() + "/sha256." + folderToo.Encoded() + "/deeper",
		root + "/blobs/README", blobPath(folderToo) + "/deeper",
	} {
		write(t, st, path, []byte("garbage"))
	}
	must(t, s.Put(ctx, d, content))
	wantBlob(t, s, d, content)
	if _, ours := st.driver.(interface{ Root() string }); ours || st.driver.Name() != "filesystem" {
		wantUnknown(t, s, folderToo) // distribution's own opens folders
	}
	if r, err := listReferrers(ctx, s, repo, d); err != nil || len(r) != 0 {
		t.Errorf("referrers: %v, %v", r, err)
	}
	if n, err := s.RemoveAbandonedUploads(ctx, 0); err != nil || n != 0 {
		t.Errorf("abandoned: %d, %v", n, err)
	}
	must(t, s.LinkBlob(ctx, web, d))
	for _, folder := range []string{"_layers", "_layers/sha256", "_layers/sha256/" + folderToo.Encoded(), "_layers/sha256/" + d.Encoded(), "_owners", "_manifests/revisions"} {
		write(t, st, root+"/repositories/shop/web/"+folder+"/READ.ME", []byte("garbage"))
	}
	write(t, st, root+"/repositories/shop/api/README", nil)
	if got := repositories(t, s); !slices.Equal(got, []string{other, repo}) {
		t.Errorf("repositories %q", got)
	}
	wantOwners(t, s, repo, webUID)
	wantOwners(t, s, other)
	wantHas(t, storeOf(t, st.driver), web, d, true)
	must(t, s.RemoveOwner(ctx, repo, webUID, time.Time{}))
	wantHas(t, s, web, d, false)
	wantBlob(t, s, d, content)
}
