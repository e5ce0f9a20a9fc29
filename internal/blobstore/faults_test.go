package blobstore_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/disk"
)

// childRoot names the folder of the process that is to be killed, and makes it one.
const childRoot = "WEIR_TEST_BLOBSTORE_CHILD"

// runChild writes blobs and says which are acknowledged until somebody kills it.
func runChild() bool {
	root := os.Getenv(childRoot)
	if root == "" {
		return false
	}
	driver, err := disk.Open(root, disk.DefaultMaxThreads)
	if err != nil {
		panic(err)
	}
	s, err := blobstore.New(blobstore.Options{Driver: driver})
	if err != nil {
		panic(err)
	}
	var n atomic.Uint64
	for worker := range 4 {
		go func() {
			for {
				line, err := childWork(s, worker, n.Add(1))
				if err != nil {
					panic(err)
				}
				fmt.Println(line)
			}
		}()
	}
	select {}
}

// numbered is content that is known by its number.
func numbered(n uint64) []byte {
	content := random([]int{10, 100_000, 300_000, 1_500_000}[n%4])
	binary.BigEndian.PutUint64(content, n)
	return content
}

// childWork stores one blob in one of the ways there are.
func childWork(s *blobstore.Store, way int, n uint64) (acknowledged string, err error) {
	ctx, content := context.Background(), numbered(n)
	d := digest.FromBytes(content)
	switch way {
	case 0:
		_, err = s.PutStream(ctx, web, d, bytes.NewReader(content), -1)
	case 1:
		if err = s.Put(ctx, d, content); err == nil {
			err = s.LinkManifest(ctx, web, d)
		}
		if err == nil {
			err = s.AddReferrer(ctx, repo, digest.FromString("subject"), ocispec.Descriptor{MediaType: "a/b", Digest: d})
		}
		return fmt.Sprintf("manifest %d", n), err
	case 2:
		var in *blobstore.Ingest
		if in, err = s.Ingest(ctx, d); err == nil {
			_, err = in.Receive(ctx, bytes.NewReader(content), nil)
		}
		if err == nil {
			err = in.Commit(ctx)
		}
		return fmt.Sprintf("ingested %d", n), err
	default:
		err = childUpload(ctx, s, content, d)
	}
	return fmt.Sprintf("blob %d", n), err
}

func childUpload(ctx context.Context, s *blobstore.Store, content []byte, d digest.Digest) error {
	u, err := s.StartUpload(ctx, repo, "")
	if err != nil {
		return err
	}
	for _, chunk := range [][]byte{content[:len(content)/2], content[len(content)/2:]} {
		if _, err := u.Append(ctx, bytes.NewReader(chunk)); err != nil {
			return err
		}
		if err := u.Close(); err != nil {
			return err
		}
		if u, err = s.Upload(ctx, repo, u.ID()); err != nil {
			return err
		}
	}
	_, err = u.Commit(ctx, web, d)
	return err
}

func TestKilledWhileWriting(t *testing.T) {
	root := filepath.Join(t.TempDir(), "registry")
	for round := range 6 {
		acknowledged := killAfter(t, root, 1+round*7)
		later := time.Now().Add(time.Hour)
		s, err := blobstore.New(blobstore.Options{Driver: onDisk(t, root), Now: func() time.Time { return later }})
		must(t, err)
		for _, line := range acknowledged {
			wantAcknowledged(t, s, line)
		}
		wantWholeBlobs(t, root)
		left := uploadsIn(t, root)
		t.Logf("round %d: %d acknowledged, %d uploads and files aside left", round, len(acknowledged), len(left))
		for _, id := range left {
			resumeKilled(t, s, root, id)
		}
		if _, err := s.RemoveAbandonedUploads(t.Context(), time.Minute); err != nil {
			t.Error(err)
		}
		if left := uploadsIn(t, root); len(left) > 0 {
			t.Errorf("uploads %q are left", left)
		}
		wantWholeBlobs(t, root)
		if t.Failed() {
			return
		}
		must(t, os.RemoveAll(root))
	}
}

// resumeKilled sends the rest of an upload of the child.
func resumeKilled(t *testing.T, s *blobstore.Store, root, id string) {
	t.Helper()
	ctx := t.Context()
	u, err := s.Upload(ctx, repo, id)
	if errors.Is(err, blobstore.ErrUnknown) {
		return // a file aside, or killed before its beginning or at its end
	}
	must(t, err)
	defer u.Close()
	data, err := os.ReadFile(filepath.Join(root, "docker/registry/v2/repositories", repo, "_uploads", id, "data"))
	if len(data) < 8 {
		return // moved away already, or nothing to know it by
	}
	must(t, err)
	content := numbered(binary.BigEndian.Uint64(data))
	if u.Size() != int64(len(data)) || !bytes.HasPrefix(content, data) {
		t.Fatalf("upload %s has %d bytes, its file %d, or other ones", id, u.Size(), len(data))
	}
	appendAll(t, u, content[len(data):])
	_, err = u.Commit(ctx, web, digest.FromBytes(content))
	must(t, err)
	wantBlob(t, s, digest.FromBytes(content), content)
}

// killAfter runs the child until it has acknowledged some blobs, and kills it at work.
func killAfter(t *testing.T, root string, lines int) (acknowledged []string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self, "-test.run=^$")
	child.Env = append(os.Environ(), childRoot+"="+root)
	var said bytes.Buffer
	child.Stderr = &said
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		acknowledged = append(acknowledged, scanner.Text())
		if len(acknowledged) == lines {
			must(t, child.Process.Signal(syscall.SIGKILL))
		}
	}
	err = child.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended by itself: %v\n%s", err, said.String())
	}
	if len(acknowledged) > lines && !strings.Contains(acknowledged[len(acknowledged)-1], " ") {
		acknowledged = acknowledged[:len(acknowledged)-1] // killed while it said so
	}
	return acknowledged
}

func wantAcknowledged(t *testing.T, s *blobstore.Store, line string) {
	t.Helper()
	var kind string
	var n uint64
	if _, err := fmt.Sscanf(line, "%s %d", &kind, &n); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	content := numbered(n)
	d := digest.FromBytes(content)
	wantBlob(t, s, d, content)
	switch kind {
	case "blob":
		wantHas(t, s, web, d, true)
	case "manifest":
		if has, err := s.HasManifest(t.Context(), web, d); err != nil || !has {
			t.Errorf("%s is not linked: %v", line, err)
		}
		if n == 2 { // for all of them it would take a while
			if r, err := s.Referrers(t.Context(), repo, digest.FromString("subject")); err != nil || len(r) == 0 {
				t.Errorf("no referrers: %v", err)
			}
		}
	}
}

// wantWholeBlobs compares every file that could be served with its name.
func wantWholeBlobs(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, "docker/registry/v2/blobs"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		got, err := digest.FromReader(f)
		if want := filepath.Base(filepath.Dir(path)); err == nil && (entry.Name() != "data" || got.Encoded() != want) {
			t.Errorf("%s is %s", path, got)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// uploadsIn lists the uploads, and files aside, that are in a folder.
func uploadsIn(t *testing.T, root string) (ids []string) {
	t.Helper()
	for _, folder := range []string{"aside", "repositories/" + repo + "/_uploads"} {
		entries, err := os.ReadDir(filepath.Join(root, "docker/registry/v2", folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, entry := range entries {
			ids = append(ids, entry.Name())
		}
	}
	return ids
}

// tmpfs mounts a small filesystem. It takes root, which tests of this repository are.
func tmpfs(t *testing.T, options string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, options); err != nil {
		t.Fatalf("mounting a small tmpfs, which takes the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Errorf("something is still open: %v", err)
		}
	})
	return folder
}

func TestFullDisk(t *testing.T) {
	root := tmpfs(t, "size=8m")
	s, ctx := storeOf(t, onDisk(t, root)), t.Context()
	stored := map[digest.Digest][]byte{}
	for n := uint64(0); ; n++ { // fill it
		content := append(random(900_000), fmt.Sprint(n)...)
		d := digest.FromBytes(content)
		_, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1)
		if err == nil {
			stored[d] = content
			continue
		}
		wantIs(t, err, blobstore.ErrFull)
		wantIs(t, err, syscall.ENOSPC)
		wantUnknown(t, s, d)
		break
	}
	if len(stored) < 5 {
		t.Fatalf("%d blobs fill the disk", len(stored))
	}
	content := random(3_000_000)
	d := digest.FromBytes(content)
	for name, try := range map[string]func() error{
		"PutStream": func() error { return second(s.PutStream(ctx, web, d, bytes.NewReader(content), -1)) },
		"Put":       func() error { return s.Put(ctx, d, content) },
		"Append": func() error {
			u := start(t, s)
			defer u.Close()
			return second(u.Append(ctx, iotest.HalfReader(bytes.NewReader(content))))
		},
		"Ingest": func() error {
			in, err := s.Ingest(ctx, d)
			must(t, err)
			defer in.Cancel(ctx)
			_, err = in.Receive(ctx, bytes.NewReader(content), nil)
			return err
		},
	} {
		wantIs(t, try(), blobstore.ErrFull)
		wantUnknown(t, s, d)
		if left := uploadsIn(t, root); len(left) > 0 {
			t.Errorf("%s left %q", name, left)
		}
	}
	for d, content := range stored {
		wantBlob(t, s, d, content)
	}
	n := 0
	for d := range stored { // make room
		must(t, s.Delete(ctx, d))
		if n++; n == 4 {
			break
		}
	}
	if _, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1); err != nil {
		t.Errorf("with room again: %v", err)
	}
	wantBlob(t, s, d, content)
}

// TestNoFilesLeft is a filesystem that has room and can hold no more files.
func TestNoFilesLeft(t *testing.T) {
	root := tmpfs(t, "size=64m,nr_inodes=60")
	s, ctx := storeOf(t, onDisk(t, root)), t.Context()
	var err error
	var last digest.Digest
	for n := 0; err == nil && n < 60; n++ {
		content := append(random(10_000), fmt.Sprint(n)...)
		last = digest.FromBytes(content)
		_, err = s.PutStream(ctx, web, last, bytes.NewReader(content), -1)
	}
	wantIs(t, err, blobstore.ErrFull)
	wantHas(t, s, web, last, false)
	if left := uploadsIn(t, root); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	wantWholeBlobs(t, root)
	for n := range 10 { // with what inodes are left, whatever fails fails the same way
		for name, err := range map[string]error{
			"StartUpload": second(s.StartUpload(ctx, repo, "")),
			"Ingest":      second(s.Ingest(ctx, digest.FromString(fmt.Sprint("in", n)))),
			"LinkBlob":    s.LinkBlob(ctx, api, digest.FromString(fmt.Sprint("link", n))),
			"AddReferrer": s.AddReferrer(ctx, repo, digest.FromString(fmt.Sprint("s", n)), ocispec.Descriptor{Digest: last}),
		} {
			if err != nil && !errors.Is(err, blobstore.ErrFull) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	must(t, os.RemoveAll(filepath.Join(root, "docker/registry/v2/repositories", other)))
	must(t, s.RemoveOwner(ctx, repo, webUID, time.Time{}))
	if _, err := s.PutStream(ctx, web, digest.FromString("x"), strings.NewReader("x"), -1); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestFullObjectStore is the same of a server whose disk is full.
func TestFullObjectStore(t *testing.T) {
	server := startS3On(t, tmpfs(t, "size=16m"))
	s, ctx := storeOf(t, server.driver(t, "/")), t.Context()
	content := random(12 << 20)
	d := digest.FromBytes(content)
	_, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1)
	wantIs(t, err, blobstore.ErrFull) // it and its copy are 24 MiB
	wantUnknown(t, s, d)
	if n := server.unfinished(t); n != 0 {
		t.Errorf("%d unfinished files are left", n)
	}
	wantNothingLeft(t, storage{driver: server.driver(t, "/")})
	small := random(1 << 20)
	if _, err := s.PutStream(ctx, web, digest.FromBytes(small), bytes.NewReader(small), -1); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// Nothing of an object store is left behind where nobody sees it.
func TestUnfinishedInObjectStore(t *testing.T) {
	server := startS3(t)
	later := time.Now()
	s, err := blobstore.New(blobstore.Options{Driver: server.driver(t, "/r"), Now: func() time.Time { return later }})
	must(t, err)
	ctx := t.Context()
	content := random(11 << 20)
	begin := func() *blobstore.Upload {
		t.Helper()
		u := start(t, s)
		appendAll(t, u, content)
		must(t, u.Close())
		return u
	}
	want := func(what string, count int) {
		t.Helper()
		if n := server.unfinished(t); n != count {
			t.Errorf("%s: %d unfinished files, want %d", what, n, count)
		}
	}
	u := begin()
	want("an upload", 1)
	u, err = s.Upload(ctx, repo, u.ID())
	must(t, err)
	must(t, u.Cancel(ctx))
	want("cancelled", 0)

	_, err = s.PutStream(ctx, web, digest.FromString("a lie"), bytes.NewReader(content), -1)
	if err == nil {
		t.Error("a lie is stored")
	}
	want("a lie", 0)
	_, err = s.PutStream(ctx, web, digest.FromBytes(content), io.MultiReader(bytes.NewReader(content), iotest.ErrReader(io.ErrUnexpectedEOF)), -1)
	if err == nil {
		t.Error("a broken stream is stored")
	}
	want("a broken stream", 0)

	begin()
	orphan, err := storeOf(t, server.driver(t, "/r")).Ingest(ctx, digest.FromBytes(content))
	must(t, err)
	receive(t, orphan, content)
	want("an upload and a file aside", 2)
	later = later.Add(2 * time.Hour)
	if n, err := s.RemoveAbandonedUploads(ctx, time.Hour); err != nil || n != 2 {
		t.Errorf("%d abandoned, %v", n, err)
	}
	want("abandoned", 0)
}

func second[T any](_ T, err error) error { return err }
