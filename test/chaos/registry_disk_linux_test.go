package chaos_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

const (
	// roleStorage runs TestRegistryOnFullDisk inside a mount namespace of its own.
	roleStorage = "storage"
	// storageBytes is the disk for the registry's storage, ballastBytes what is on it
	// until there is to be room again.
	storageBytes = 24 << 20
	ballastBytes = 12 << 20

	crowded = namespace + "/pushed"
	// mirrored is a stream of somebody else's image.
	mirrored = namespace + "/mirrored"
)

// fullStorage is a registry whose storage is on a small disk of its own.
type fullStorage struct {
	p          *process
	c          registryClient
	disk, root string
	ballast    []string
	elsewhere  *testenv.Registry

	// stored are images that were acknowledged, tagged by their place; held has its blobs
	// there and no manifest; refused is what did not fit any more.
	stored        []testimage.Raw
	held, refused testimage.Raw
	// spare is a blob that nothing refers to.
	spare []byte
	// uploads were begun while there was room, for what the disk is too small for then.
	uploads []string
}

// TestRegistryOnFullDisk fills the disk of the registry's storage, which may use all of it: pushes are answered 507
// in every way there is to push, and leave nothing behind; what was acknowledged can be
// pulled, and what is elsewhere passes through; the API goes on; with room again all
// works as before, without a restart.
func TestRegistryOnFullDisk(t *testing.T) {
	if os.Getenv(roleVariable) != roleStorage {
		runInMountNamespace(t, roleStorage)
		return
	}
	s := newFullStorage(t)
	s.fill(t)
	before := s.files(t)
	s.wantRefused(t)
	s.wantReads(t)
	s.wantPassesThrough(t)
	s.wantFiles(t, before)
	s.deletes(t)

	for _, path := range s.ballast {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	s.wantRoom(t)
	s.wantWrites(t)
	s.wantMirrors(t)
	s.p.terminate(t, 20*time.Second)
}

func newFullStorage(t *testing.T) *fullStorage {
	t.Helper()
	s := &fullStorage{disk: smallDisk(t, storageBytes), elsewhere: testenv.NewRegistry(t)}
	s.root, s.ballast = filepath.Join(s.disk, "registry"), []string{filepath.Join(s.disk, "ballast")}
	config := testenv.ConfigFile(t, "registry: {storage: {reserve: 1, parameters: {rootdirectory: "+s.root+"}}}\n")
	s.p = boot(t, t.TempDir(), "--config", config)
	prepare(t, s.p)
	s.c = administrator(t, s.p)
	if err := os.WriteFile(s.ballast[0], make([]byte, ballastBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	s.elsewhere.Push(t, "team/app:1", testimage.Image(t, "linux/amd64"))
	imported := importOf("mirrored", imageImport("1", s.elsewhere.Ref("team/app:1")))
	if _, err := s.p.images.ImageV1().ImageStreamImports(namespace).Create(t.Context(), imported, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// fill pushes until the disk is full, and fills what room is left.
func (s *fullStorage) fill(t *testing.T) {
	t.Helper()
	s.held, s.spare = testimage.NewRaw(testimage.Noise(64<<10)), testimage.Noise(512<<10)
	for _, blob := range append(s.held.Blobs(), s.spare) {
		if err := s.c.upload(t.Context(), monolithic, crowded, blob); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		location, err := s.c.begin(t.Context(), crowded)
		if err != nil {
			t.Fatal(err)
		}
		s.uploads = append(s.uploads, location)
	}
	for n := 0; ; n++ {
		i := testimage.NewRaw(testimage.Noise(1<<20), testimage.Noise(256<<10))
		err := s.c.push(t.Context(), ways[n%len(ways)], crowded, fmt.Sprint("t", n), i)
		if err == nil {
			s.stored = append(s.stored, i)
			continue
		}
		s.refused = i
		wantFull(t, "the push that does not fit", err)
		break
	}
	if len(s.stored) < 4 {
		t.Fatalf("only %d images fit", len(s.stored))
	}
	s.takeRest(t)
}

// takeRest takes what room there is.
func (s *fullStorage) takeRest(t *testing.T) {
	t.Helper()
	path := filepath.Join(s.disk, fmt.Sprint("rest-", len(s.ballast)))
	takeSpace(t, path)
	s.ballast = append(s.ballast, path)
}

// wantFull checks that a request was refused for want of room.
func wantFull(t *testing.T, what string, err error) {
	t.Helper()
	var refused *refusal
	if !errors.As(err, &refused) || !refused.is(http.StatusInsufficientStorage, "UNAVAILABLE") || !contains(err.Error(), "storage is full") {
		t.Errorf("%s: %v, want 507 UNAVAILABLE", what, err)
	}
}

// wantRefused checks everything that takes room.
func (s *fullStorage) wantRefused(t *testing.T) {
	t.Helper()
	ctx, large := t.Context(), testimage.Noise(1<<20)
	for _, how := range ways { // all but the first do not even begin
		wantFull(t, string(how), s.c.upload(ctx, how, crowded, large))
		wantFull(t, "a small one "+string(how), s.c.upload(ctx, how, crowded, testimage.Noise(100)))
	}
	whole := "?digest=" + digest.FromBytes(large).String()
	for n, test := range []struct {
		what, method, query string
		body                io.Reader
		header              []string
	}{
		{"a stream", http.MethodPatch, "", io.MultiReader(bytes.NewReader(large)), nil},
		{"a chunk", http.MethodPatch, "", bytes.NewReader(large), []string{"Content-Range", fmt.Sprintf("0-%d", len(large)-1)}},
		{"all of it", http.MethodPut, whole, bytes.NewReader(large), nil},
		{"all of it as a stream", http.MethodPut, whole, io.MultiReader(bytes.NewReader(large)), nil},
	} {
		_, err := s.c.want(ctx, http.StatusAccepted, test.method, s.uploads[n]+test.query, test.body, test.header...)
		wantFull(t, test.what, err)
		// It is given up, to make room.
		if _, err := s.c.want(ctx, http.StatusNotFound, http.MethodGet, s.uploads[n], nil); err != nil {
			t.Errorf("after %s: %v", test.what, err)
		}
	}
	s.takeRest(t) // what the uploads had
	wantFull(t, "a manifest by tag", s.c.putManifest(ctx, crowded, "held", s.held))
	wantFull(t, "a manifest by digest", s.c.putManifest(ctx, crowded, s.held.Digest.String(), s.held))
	mount := fmt.Sprintf("?mount=%s&from=%s", digest.FromBytes(s.held.Layers[0]), crowded)
	_, err := s.c.want(ctx, http.StatusCreated, http.MethodPost, uploadsOf(namespace+"/other")+mount, nil)
	wantFull(t, "a mount", err)
}

// wantReads checks that what was acknowledged is there, and that the API goes on.
func (s *fullStorage) wantReads(t *testing.T) {
	t.Helper()
	for n, i := range s.stored {
		s.c.wantImage(t, crowded, fmt.Sprint("t", n), i)
		s.c.wantImage(t, crowded, i.Digest.String(), i)
	}
	if tags, err := s.c.tags(t.Context(), crowded); err != nil || len(tags) != len(s.stored) {
		t.Errorf("%d tags were pushed, listed are %q, %v", len(s.stored), tags, err)
	}
	streams := s.p.images.ImageV1().ImageStreams(namespace)
	if _, err := streams.Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "while-full"}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("the API with a full registry: %v", err)
	}
	stream, err := streams.Get(t.Context(), "pushed", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantSameTags(t, s.c, stream)
}

// wantPassesThrough pulls what there is no room to keep.
func (s *fullStorage) wantPassesThrough(t *testing.T) {
	t.Helper()
	for range 2 {
		if _, err := s.c.pull(t.Context(), mirrored, "1"); err != nil {
			t.Errorf("pulling what is elsewhere: %v", err)
		}
	}
}

// deletes makes room by deleting, which needs none: that of a blob is used at once.
func (s *fullStorage) deletes(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.c.want(ctx, http.StatusAccepted, http.MethodDelete, manifestOf(crowded, "t0"), nil); err != nil {
		t.Errorf("deleting a tag: %v", err)
	}
	if _, err := s.c.want(ctx, http.StatusNoContent, http.MethodDelete, "/admin/blobs/"+digest.FromBytes(s.spare).String(), nil); err != nil {
		t.Errorf("deleting a blob: %v", err)
	}
	content := testimage.Noise(len(s.spare) / 2)
	if err := s.c.upload(ctx, chunked, crowded, content); err != nil {
		t.Errorf("uploading what fits: %v", err)
	}
	if _, err := s.c.content(ctx, blobOf(crowded, digest.FromBytes(content)), digest.FromBytes(content)); err != nil {
		t.Error(err)
	}
	wantFull(t, "what does not fit", s.c.upload(ctx, atOnce, crowded, testimage.Noise(1<<20)))
}

// files are the sizes of the files of the storage, but for the empty ones that say whose a
// link is: a push that fails later may have made an upload's link the stream's.
func (s *fullStorage) files(t *testing.T) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	err := filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Size() > 0 {
			found[strings.TrimPrefix(path, s.root)] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wantFiles checks that refused pushes have left nothing: what there was before is there,
// but for the uploads that were given up.
func (s *fullStorage) wantFiles(t *testing.T, before map[string]int64) {
	t.Helper()
	maps.DeleteFunc(before, func(path string, _ int64) bool {
		return slices.ContainsFunc(s.uploads, func(location string) bool { return strings.Contains(path, filepath.Base(location)) })
	})
	testenv.Eventually(t, "the storage to be as before", func() error {
		if now := s.files(t); !maps.Equal(now, before) {
			lost := maps.Clone(before)
			maps.DeleteFunc(lost, func(path string, size int64) bool { return now[path] == size })
			maps.DeleteFunc(now, func(path string, size int64) bool { return before[path] == size })
			return fmt.Errorf("lost are %v, new are %v", lost, now)
		}
		return nil
	})
}

// wantRoom checks that the disk has all its room but for the files that there are: none
// is held open without a name.
func (s *fullStorage) wantRoom(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "the room of given up uploads", func() error {
		var disk syscall.Statfs_t
		if err := syscall.Statfs(s.disk, &disk); err != nil {
			return err
		}
		used, known := int64(disk.Blocks-disk.Bfree), int64(0)
		for _, size := range s.files(t) {
			known += (size + disk.Bsize - 1) / disk.Bsize
		}
		if used > known {
			return fmt.Errorf("%d blocks are used, the files have %d", used, known)
		}
		return nil
	})
}

// wantWrites checks that all is taken that was refused.
func (s *fullStorage) wantWrites(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, how := range ways {
		content := testimage.Noise(512 << 10)
		if err := s.c.upload(ctx, how, crowded, content); err != nil {
			t.Errorf("with room again, %s: %v", how, err)
		}
		if _, err := s.c.content(ctx, blobOf(crowded, digest.FromBytes(content)), digest.FromBytes(content)); err != nil {
			t.Error(err)
		}
	}
	if err := s.c.push(ctx, chunked, crowded, "refused", s.refused); err != nil {
		t.Errorf("pushing what was refused: %v", err)
	}
	if err := s.c.putManifest(ctx, crowded, "held", s.held); err != nil {
		t.Errorf("pushing a manifest that was refused: %v", err)
	}
	s.c.wantImage(t, crowded, "refused", s.refused)
	s.c.wantImage(t, crowded, "held", s.held)
	for _, i := range s.stored {
		s.c.wantImage(t, crowded, i.Digest.String(), i)
	}
}

// wantMirrors checks that what passes through is kept again, some time after the storage
// had failed.
func (s *fullStorage) wantMirrors(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "what passes through to be kept", func() error {
		s.elsewhere.Reset()
		if _, err := s.c.pull(t.Context(), mirrored, "1"); err != nil {
			return err
		}
		if n := s.elsewhere.Count("GET "); n > 0 {
			return fmt.Errorf("%d requests to the other registry", n)
		}
		return nil
	})
	s.elsewhere.Close()
	if _, err := s.c.pull(t.Context(), mirrored, "1"); err != nil {
		t.Errorf("pulling what was kept: %v", err)
	}
}
