package blobstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"weir.dev/weir/internal/blobstore/drivers"
)

// The S3-compatible server of the tests, built from the Go module proxy.
const s3Server = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

const (
	s3AccessKey = "weir-tests"
	s3SecretKey = "a-secret-of-the-tests-alone"
)

// s3Binary finds the server's program, or builds it. In CI it has to be there: building
// takes minutes that nobody would notice.
var s3Binary = sync.OnceValues(func() (string, error) {
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path, nil
	}
	if os.Getenv("CI") == "true" {
		return "", fmt.Errorf("versitygw is not in PATH: install it with go install %s", s3Server)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a folder for versitygw: %w", err)
	}
	_, version, _ := strings.Cut(s3Server, "@")
	folder := filepath.Join(cache, "weir-tests", "versitygw-"+version)
	binary := filepath.Join(folder, "versitygw")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	build := exec.Command("go", "install", s3Server)
	build.Dir = os.TempDir() // outside of this module, whose versions it does not share
	build.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w\n%s", s3Server, err, said)
	}
	return binary, nil
})

// s3 is a running server with a bucket.
type s3 struct {
	endpoint string
	// folder has the server's files.
	folder string
}

// startS3 starts a server that ends with the test.
func startS3(tb testing.TB) s3 {
	tb.Helper()
	return startS3On(tb, tb.TempDir())
}

// startS3On starts a server with its files in a folder.
func startS3On(tb testing.TB, folder string) s3 {
	tb.Helper()
	binary, err := s3Binary()
	if err != nil {
		tb.Fatal(err)
	}
	server := s3{folder: folder}
	for _, folder := range []string{"data/bucket", "attributes"} {
		if err := os.MkdirAll(filepath.Join(server.folder, folder), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	server.endpoint = freeAddress(tb)
	var said bytes.Buffer
	command := exec.Command(binary, "--port", server.endpoint, "--access", s3AccessKey, "--secret", s3SecretKey,
		"--quiet", "posix", "--sidecar", filepath.Join(server.folder, "attributes"), filepath.Join(server.folder, "data"))
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	tb.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
	listening := func() bool {
		c, err := net.Dial("tcp", server.endpoint)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	for deadline := time.Now().Add(30 * time.Second); !listening(); {
		select {
		case err := <-ended:
			ended <- err
			tb.Fatalf("versitygw ended: %v\n%s", err, said.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatal("versitygw does not listen after 30 s")
		}
	}
	return server
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// driver opens the bucket, below a folder of its own.
func (s s3) driver(tb testing.TB, root string) storagedriver.StorageDriver {
	tb.Helper()
	d, err := drivers.Open(context.Background(), "s3", map[string]any{
		"bucket": "bucket", "regionendpoint": "http://" + s.endpoint, "forcepathstyle": true, "secure": false,
		"accesskey": s3AccessKey, "secretkey": s3SecretKey, "rootdirectory": root, "chunksize": 5 << 20,
	}, "")
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// unfinished counts the multipart uploads that the server keeps.
func (s s3) unfinished(t *testing.T) (count int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.folder, "data"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		// <bucket>/.sgwtmp/multipart/<hash of the key>/<upload>
		if rest, ok := strings.CutPrefix(path, filepath.Join(s.folder, "data", "bucket", ".sgwtmp", "multipart")+"/"); ok &&
			err == nil && d.IsDir() && strings.Count(rest, "/") == 1 {
			count++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}
