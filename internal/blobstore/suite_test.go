package blobstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/drivers"
)

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	goleak.VerifyTestMain(m,
		// Idle connections of the S3 client's transport, and what the object stores'
		// libraries start when they are imported.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const (
	repo  = "shop/web"
	other = "shop/api"
	// UIDs of a namespace and of streams, as Kubernetes makes them.
	shopUID = "6f1d9e0a-5a0e-4a52-9a52-0f6b1f3d7c01"
	webUID  = "0b9c1c52-7a51-4f6e-8f6d-1f0e5a2b3c02"
	nextUID = "0b9c1c52-7a51-4f6e-8f6d-1f0e5a2b3c03"
	apiUID  = "c2a7d3f4-0c1b-4f57-b9d7-5d9e8f7a6b04"
	// The next namespace of the same name has another one.
	nextShopUID = "6f1d9e0a-5a0e-4a52-9a52-0f6b1f3d7c05"
)

var (
	web = blobstore.Repository{Name: repo, Stream: webUID, Namespace: shopUID}
	api = blobstore.Repository{Name: other, Stream: apiUID, Namespace: shopUID}
)

// storage is what the suite needs of one kind of storage.
type storage struct {
	driver storagedriver.StorageDriver
	// again opens the same storage as another process would; nil where it is in memory.
	again func(t *testing.T) storagedriver.StorageDriver
}

func TestFilesystem(t *testing.T) {
	suite(t, func(t *testing.T) storage {
		root := t.TempDir()
		open := func(t *testing.T) storagedriver.StorageDriver { return onDisk(t, root) }
		return storage{open(t), open}
	})
}

// Whoever gives New distribution's own driver gets the same, but for a power cut.
func TestFilesystemOfDistribution(t *testing.T) {
	suite(t, func(t *testing.T) storage {
		root := t.TempDir()
		open := func(*testing.T) storagedriver.StorageDriver {
			return filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: 100})
		}
		return storage{open(t), open}
	})
}

func TestInMemory(t *testing.T) {
	suite(t, func(t *testing.T) storage { return storage{driver: inMemory(t)} })
}

func TestS3(t *testing.T) {
	server := startS3(t)
	n := 0
	suite(t, func(t *testing.T) storage {
		n++
		root := fmt.Sprintf("/root-%d", n)
		open := func(t *testing.T) storagedriver.StorageDriver { return server.driver(t, root) }
		return storage{open(t), open}
	})
}

func onDisk(tb testing.TB, root string) storagedriver.StorageDriver {
	tb.Helper()
	d, err := drivers.Open(context.Background(), "filesystem", map[string]any{"rootdirectory": root}, "")
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func inMemory(tb testing.TB) storagedriver.StorageDriver {
	tb.Helper()
	d, err := drivers.Open(context.Background(), "inmemory", nil, "")
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func storeOf(tb testing.TB, d storagedriver.StorageDriver) *blobstore.Store {
	tb.Helper()
	s, err := blobstore.New(blobstore.Options{Driver: d})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// random is content of its own for every size.
func random(size int) []byte {
	content := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)})
	r.Read(content)
	return content
}

// suite is what every storage has to do.
func suite(t *testing.T, open func(t *testing.T) storage) {
	for name, test := range map[string]func(*testing.T, storage){
		"content":            testContent,
		"digest mismatch":    testDigestMismatch,
		"streams":            testStreams,
		"links":              testLinks,
		"links of uploads":   testUploadedLinks,
		"next stream":        testNextStream,
		"remove owner":       testRemoveOwner,
		"young links":        testYoungLinks,
		"unowned links":      testUnowned,
		"unowned never read": testUnownedNeverRead,
		"damaged unowned":    testDamagedUnowned,
		"model of links":     testLinkModel,
		"owners at once":     testOwnersAtOnce,
		"link faults":        testLinkFaults,
		"no link alone":      testNeverAlone,
		"two at once":        testTwoAtOnce,
		"provenance":         testProvenance,
		"former manifests":   testFormerManifests,
		"former scope":       testFormerScope,
		"referrers":          testReferrers,
		"uploads":            testUploads,
		"upload sizes":       testUploadSizes,
		"broken connection":  testBrokenConnection,
		"other algorithm":    testOtherAlgorithm,
		"upload ends":        testUploadEnds,
		"busy":               testBusy,
		"replicas":           testReplicas,
		"damaged uploads":    testDamagedUploads,
		"ingest":             testIngest,
		"abandoned":          testAbandoned,
		"removed by others":  testRemovedByOthers,
		"same blob at once":  testSameBlobAtOnce,
		"200 uploads":        testManyUploads,
		"names":              testNames,
		"garbage":            testGarbage,
		"truncated blob":     testTruncatedBlob,
		"repair":             testRepair,
		"repair of sizes":    testRepairOfSizes,
		"quarantine":         testQuarantine,
		"quarantine, push":   testQuarantineAndPush,
		"scrub position":     testScrubPosition,
		"remember names":     testRememberNames,
		"names are bounded":  testNamesAreBounded,
		"walk":               testWalk,
		"walk ends":          testWalkEnds,
		"walk repositories":  testRepositories,
		"released links":     testReleased,
		"usage":              testUsage,
		"binding":            testBinding,
		"redirects":          testRedirects,
		"stale cache of add": testDeleteWhileReading,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func testContent(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	if err := s.Check(ctx); err != nil {
		t.Errorf("Check of empty storage: %v", err)
	}
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		for _, size := range []int{0, 1, 100_000, 300_000} {
			content := random(size)
			d := a.FromBytes(content)
			wantUnknown(t, s, d)
			must(t, s.Put(ctx, d, content))
			must(t, s.Put(ctx, d, content))
			wantBlob(t, s, d, content)
			if st.again != nil {
				wantBlob(t, storeOf(t, st.again(t)), d, content)
			}
			must(t, s.Delete(ctx, d))
			wantUnknown(t, s, d)
			wantIs(t, s.Delete(ctx, d), blobstore.ErrUnknown)
		}
	}
}

func testDigestMismatch(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	d := digest.FromString("something else")
	small, large := random(1000), random(1_000_000)
	wantMismatch := func(err error, content []byte) {
		t.Helper()
		var e *blobstore.DigestMismatch
		if !errors.As(err, &e) || e.Want != d || e.Got != digest.FromBytes(content) {
			t.Errorf("%v, want a DigestMismatch", err)
		}
		wantUnknown(t, s, d)
		wantUnknown(t, s, digest.FromBytes(content))
	}
	wantMismatch(s.Put(ctx, d, small), small)
	for _, content := range [][]byte{small, large} {
		_, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1)
		wantMismatch(err, content)
		u := start(t, s)
		appendAll(t, u, content)
		_, err = u.Commit(ctx, web, d)
		wantMismatch(err, content)
		must(t, u.Close())
		_, err = s.Upload(ctx, repo, u.ID())
		wantIs(t, err, blobstore.ErrUnknown)
	}
	wantNothingLeft(t, st)
}

func testStreams(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	for _, size := range []int{0, 1, 256 << 10, 256<<10 + 1, 6 << 20} {
		content := random(size)
		d := digest.FromBytes(content)
		for range 2 { // the second finds it there
			got, err := s.PutStream(ctx, web, d, iotest.HalfReader(bytes.NewReader(content)), int64(size))
			if err != nil || got != int64(size) {
				t.Fatalf("%d bytes: %d, %v", size, got, err)
			}
		}
		wantBlob(t, s, d, content)
		wantHas(t, s, web, d, true)
		if size == 0 {
			continue
		}
		must(t, s.Delete(ctx, d))
		_, err := s.PutStream(ctx, web, d, bytes.NewReader(content), int64(size-1))
		var tooLarge *blobstore.SizeMismatch
		if !errors.As(err, &tooLarge) || tooLarge.Want != int64(size-1) {
			t.Errorf("%d bytes with a bound of one less: %v", size, err)
		}
		_, err = s.PutStream(ctx, web, d, io.MultiReader(bytes.NewReader(content[:size-1]), iotest.ErrReader(io.ErrUnexpectedEOF)), -1)
		var received *blobstore.ReceiveError
		if !errors.As(err, &received) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes, but one: %v", size, err)
		}
		wantUnknown(t, s, d)
	}
	wantNothingLeft(t, st)
}

func testReferrers(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	subject := digest.FromString("subject")
	var want []ocispec.Descriptor
	for _, d := range []digest.Digest{digest.SHA512.FromString("c"), digest.FromString("a"), digest.FromString("b")} {
		descriptor := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 7,
			ArtifactType: "application/x", Annotations: map[string]string{"key": "value"}}
		must(t, s.AddReferrer(ctx, repo, subject, descriptor))
		must(t, s.AddReferrer(ctx, repo, subject, descriptor))
		want = append(want, descriptor)
	}
	if want[1].Digest > want[2].Digest {
		want[1], want[2] = want[2], want[1]
	}
	want = append(want[1:], want[0]) // sha256 before sha512
	got, err := listReferrers(ctx, s, repo, subject)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, nothing := range []string{other, "shop/we"} {
		if got, err := s.Referrers(ctx, nothing, subject); err != nil || len(got) != 0 || got == nil {
			t.Errorf("%s: %v, %v", nothing, got, err)
		}
	}
	must(t, s.RemoveReferrer(ctx, repo, subject, want[0].Digest))
	wantIs(t, s.RemoveReferrer(ctx, repo, subject, want[0].Digest), blobstore.ErrUnknown)
	got, err = listReferrers(ctx, s, repo, subject)
	if diff := cmp.Diff(want[1:], got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// must ends the test.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantIs(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%v, want %v", err, target)
	}
}

func wantBlob(t *testing.T, s *blobstore.Store, d digest.Digest, content []byte) {
	t.Helper()
	ctx := t.Context()
	for _, stat := range []func(context.Context, digest.Digest) (int64, error){s.Stat, s.Confirm} {
		if size, err := stat(ctx, d); err != nil || size != int64(len(content)) {
			t.Errorf("%s: %d bytes, %v, want %d", d, size, err, len(content))
		}
	}
	for _, offset := range []int{0, len(content) / 2, len(content)} {
		r, err := s.Open(ctx, d, int64(offset))
		if err != nil {
			t.Errorf("opening %s at %d: %v", d, offset, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, content[offset:]) {
			t.Errorf("%s at %d: %d bytes, %v, or other ones", d, offset, len(got), err)
		}
		r.Close()
	}
	if got, err := s.Read(ctx, d, int64(len(content))); err != nil || !bytes.Equal(got, content) {
		t.Errorf("reading %s: %d bytes, %v", d, len(got), err)
	}
	if len(content) > 0 {
		var tooLarge *blobstore.SizeMismatch
		if _, err := s.Read(ctx, d, int64(len(content)-1)); !errors.As(err, &tooLarge) {
			t.Errorf("reading %s with a bound: %v", d, err)
		}
	}
}

func wantUnknown(t *testing.T, s *blobstore.Store, d digest.Digest) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Stat(ctx, d)
	wantIs(t, err, blobstore.ErrUnknown)
	_, err = s.Confirm(ctx, d)
	wantIs(t, err, blobstore.ErrUnknown)
	_, err = s.Open(ctx, d, 0)
	wantIs(t, err, blobstore.ErrUnknown)
	_, err = s.Read(ctx, d, 1<<20)
	wantIs(t, err, blobstore.ErrUnknown)
}

func wantHas(t *testing.T, s *blobstore.Store, r blobstore.Repository, d digest.Digest, want bool) {
	t.Helper()
	if got, err := s.HasBlob(t.Context(), r, d); err != nil || got != want {
		t.Errorf("%v has blob %s: %t, %v, want %t", r, d, got, err, want)
	}
}

func start(tb testing.TB, s *blobstore.Store) *blobstore.Upload {
	tb.Helper()
	u, err := s.StartUpload(context.Background(), repo, "")
	must(tb, err)
	return u
}

func appendAll(tb testing.TB, u *blobstore.Upload, content []byte) {
	tb.Helper()
	before := u.Size()
	n, err := u.Append(context.Background(), bytes.NewReader(content))
	if err != nil || n != int64(len(content)) || u.Size() != before+n {
		tb.Fatalf("appending %d bytes: %d, size %d → %d, %v", len(content), n, before, u.Size(), err)
	}
}

// wantNothingLeft looks for files of uploads, and aside.
func wantNothingLeft(t *testing.T, st storage) {
	t.Helper()
	ctx := t.Context()
	for _, folder := range []string{"/docker/registry/v2/aside", "/docker/registry/v2/repositories/" + repo + "/_uploads"} {
		names, err := st.driver.List(ctx, folder)
		var none storagedriver.PathNotFoundError
		if err != nil && !errors.As(err, &none) || len(names) > 0 {
			t.Errorf("%s has %q, %v", folder, names, err)
		}
	}
}

func testNames(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	d := digest.FromString("x")
	must(t, s.Put(ctx, d, []byte("x")))
	for _, repo := range []string{"", "/", "web", "shop/", "/web", "a/b/c", "../..", "shop/..", "./web", "shop/.", "Shop/web",
		"shop/_uploads", "shop/-", "shop/a b", "shop/a\x00", "shop\\web/x", "shop/" + strings.Repeat("a", 256), "shop/ü"} {
		r := blobstore.Repository{Name: repo, Stream: webUID, Namespace: shopUID}
		wantIs(t, s.LinkBlob(ctx, r, d), blobstore.ErrInvalid)
		wantIs(t, s.UnlinkManifest(ctx, r, d), blobstore.ErrInvalid)
		wantIs(t, s.RemoveOwner(ctx, repo, webUID, time.Time{}), blobstore.ErrInvalid)
		_, err := s.HasBlob(ctx, r, d)
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = s.StartUpload(ctx, repo, "")
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = s.Upload(ctx, repo, "c5f1b3a0-5d0c-4b0e-9c5e-0d2f4f9b8a77")
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = s.PutStream(ctx, r, d, strings.NewReader("x"), -1)
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = s.Referrers(ctx, repo, d)
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = s.Owners(ctx, repo)
		wantIs(t, err, blobstore.ErrInvalid)
	}
	for _, namespace := range []string{"", "..", ".", "a/b", "/", "A"} {
		_, err := s.FormerScope(ctx, namespace, time.Time{})
		wantIs(t, err, blobstore.ErrInvalid)
	}
	for _, uid := range []string{"link", "unowned", "..", ".", "a/b", "-a", "a.b", "a_b", "ü", "a b", "a\x00", strings.Repeat("a", 65)} {
		for _, r := range []blobstore.Repository{{Name: repo, Stream: uid, Namespace: shopUID}, {Name: repo, Stream: webUID, Namespace: uid}} {
			wantIs(t, s.LinkBlob(ctx, r, d), blobstore.ErrInvalid)
			wantIs(t, s.UnlinkManifest(ctx, r, d), blobstore.ErrInvalid)
			_, err := s.HasBlob(ctx, r, d)
			wantIs(t, err, blobstore.ErrInvalid)
		}
		wantIs(t, s.RemoveOwner(ctx, repo, uid, time.Time{}), blobstore.ErrInvalid)
	}
	// What has no owner has nothing, and gets nothing.
	nobodys := blobstore.Repository{Name: repo}
	wantIs(t, s.LinkBlob(ctx, nobodys, d), blobstore.ErrInvalid)
	wantIs(t, s.RemoveOwner(ctx, repo, "", time.Time{}), blobstore.ErrInvalid)
	wantHas(t, s, nobodys, d, false)
	hex := strings.Repeat("a", 64)
	for _, d := range []digest.Digest{"", "x", "sha256:", ":", "sha256:" + digest.Digest(hex[1:]), "sha256:" + digest.Digest(strings.ToUpper(hex)),
		"sha384:" + digest.Digest(strings.Repeat("a", 96)), "sha512:" + digest.Digest(hex), "md5:" + digest.Digest(hex[:32]),
		"sha256:../" + digest.Digest(hex[3:]), "../sha256:" + digest.Digest(hex), "sha256:" + digest.Digest(hex) + "/x"} {
		_, err := s.Stat(ctx, d)
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = s.Open(ctx, d, 0)
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = s.Read(ctx, d, 1)
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = s.Ingest(ctx, d)
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = s.RedirectURL(httptest.NewRequest(http.MethodGet, "/", nil), d)
		wantIs(t, err, blobstore.ErrInvalid)
		wantIs(t, s.Put(ctx, d, []byte("x")), blobstore.ErrInvalid)
		wantIs(t, s.Delete(ctx, d), blobstore.ErrInvalid)
		wantIs(t, s.LinkManifest(ctx, web, d), blobstore.ErrInvalid)
		wantIs(t, s.AddReferrer(ctx, repo, d, ocispec.Descriptor{Digest: digest.FromString("x")}), blobstore.ErrInvalid)
		u := start(t, s)
		_, err = u.Commit(ctx, web, d)
		wantIs(t, err, blobstore.ErrInvalid)
		_, err = u.Commit(ctx, api, digest.FromString("x")) // of another repository
		wantIs(t, err, blobstore.ErrInvalid)
		must(t, u.Cancel(ctx))
	}
	_, err := s.StartUpload(ctx, repo, digest.SHA384)
	wantIs(t, err, blobstore.ErrInvalid)
	for _, id := range []string{"", "x", "../" + start(t, s).ID(), "..", strings.Repeat("0", 36), strings.ToUpper(start(t, s).ID())} {
		_, err := s.Upload(ctx, repo, id)
		wantIs(t, err, blobstore.ErrUnknown)
	}
}

// testRemovedByOthers is a blob, and a link, that another process removes while this one
// remembers them.
func testRemovedByOthers(t *testing.T, st storage) {
	now := time.Now()
	s, err := blobstore.New(blobstore.Options{Driver: st.driver, Now: func() time.Time { return now }, CacheFor: time.Minute})
	must(t, err)
	ctx := t.Context()
	content := random(100)
	d := digest.FromBytes(content)
	if _, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1); err != nil {
		t.Fatal(err)
	}
	elsewhere := storeOf(t, st.driver)
	must(t, elsewhere.Delete(ctx, d))
	must(t, elsewhere.UnlinkBlob(ctx, web, d))
	if size, err := s.Stat(ctx, d); err != nil || size != 100 {
		t.Fatalf("nothing is remembered: %d, %v", size, err)
	}
	wantHas(t, s, web, d, true)
	_, err = s.Confirm(ctx, d)
	wantIs(t, err, blobstore.ErrUnknown)
	_, err = s.Stat(ctx, d)
	wantIs(t, err, blobstore.ErrUnknown)
	wantUnknown(t, s, d)
	now = now.Add(61 * time.Second)
	wantHas(t, s, web, d, false)
	// A link that is remembered is written all the same.
	must(t, s.LinkBlob(ctx, web, d))
	must(t, elsewhere.UnlinkBlob(ctx, web, d))
	must(t, s.LinkBlob(ctx, web, d))
	wantHas(t, storeOf(t, st.driver), web, d, true)

	// All that is left of a stream, and an upload that became the stream's.
	must(t, s.LinkManifest(ctx, web, d))
	uploaded, unowned := digest.FromString("uploaded"), digest.FromString("unowned")
	must(t, s.LinkBlob(ctx, web.Uploads(), uploaded))
	unownedLink(t, st, "_layers", unowned)
	wantHas(t, s, web, unowned, true)
	must(t, elsewhere.LinkBlob(ctx, web, uploaded))
	must(t, elsewhere.RemoveOwner(ctx, repo, webUID, time.Time{}))
	wantGone := func(s *blobstore.Store) {
		t.Helper()
		for _, r := range []blobstore.Repository{web, next} {
			for _, d := range []digest.Digest{d, uploaded, unowned} {
				wantHas(t, s, r, d, false)
			}
			kindsOf(s)[1].want(t, d, false, r)
		}
	}
	wantGone(elsewhere)
	now = now.Add(61 * time.Second)
	wantGone(s)
	wantOwners(t, s, repo, shopUID)
	must(t, s.LinkBlob(ctx, web, d)) // that its owner was noted is forgotten too
	wantOwners(t, elsewhere, repo, shopUID, webUID)

	must(t, s.Put(ctx, d, content))
	must(t, storeOf(t, st.driver).Delete(ctx, d))
	_, err = s.Open(ctx, d, 0)
	wantIs(t, err, blobstore.ErrUnknown)
	_, err = s.Stat(ctx, d)
	wantIs(t, err, blobstore.ErrUnknown)
}

// testDeleteWhileReading looks for what is remembered after it was deleted.
func testDeleteWhileReading(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	content := random(10)
	d := digest.FromBytes(content)
	for range 20 {
		must(t, s.Put(ctx, d, content))
		must(t, s.LinkBlob(ctx, web, d))
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				s.Confirm(ctx, d)
				s.HasBlob(ctx, web, d)
			})
		}
		must(t, s.Delete(ctx, d))
		must(t, s.UnlinkBlob(ctx, web, d))
		readers.Wait()
		if _, err := s.Stat(ctx, d); !errors.Is(err, blobstore.ErrUnknown) {
			t.Fatalf("a deleted blob is remembered: %v", err)
		}
		wantHas(t, s, web, d, false)
	}
}

// testTruncatedBlob is a blob that something else left incomplete.
func testTruncatedBlob(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	for _, size := range []int{1000, 400_000} {
		content := random(size)
		d := digest.FromBytes(content)
		must(t, st.driver.PutContent(ctx, blobPath(d), content[:size/2]))
		_, err := s.Read(ctx, d, int64(size))
		var mismatch *blobstore.DigestMismatch
		if !errors.As(err, &mismatch) {
			t.Errorf("reading half a blob: %v", err)
		}
		if _, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1); err != nil {
			t.Fatal(err)
		}
		wantBlob(t, s, d, content)
	}
}

func blobPath(d digest.Digest) string {
	return "/docker/registry/v2/blobs/" + d.Algorithm().String() + "/" + d.Encoded()[:2] + "/" + d.Encoded() + "/data"
}

func testRedirects(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	content := random(2000)
	d := digest.FromBytes(content)
	must(t, s.Put(ctx, d, content))
	url, err := s.RedirectURL(httptest.NewRequest(http.MethodGet, "/v2/", nil), d)
	must(t, err)
	if has := st.driver.Name() == "s3aws"; has != (url != "") {
		t.Fatalf("%s has URL %q", st.driver.Name(), url)
	}
	if url == "" {
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	must(t, err)
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 || !bytes.Equal(got, content) {
		t.Errorf("%s: %d bytes, %v", answer.Status, len(got), err)
	}
}

func TestOpenIsAFile(t *testing.T) {
	s := storeOf(t, onDisk(t, t.TempDir()))
	d := digest.FromString("x")
	must(t, s.Put(t.Context(), d, []byte("x")))
	r, err := s.Open(t.Context(), d, 0)
	must(t, err)
	defer r.Close()
	if _, ok := r.(*os.File); !ok {
		t.Errorf("%T, which cannot be sent without being copied", r)
	}
}
