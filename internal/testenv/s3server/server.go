// Package s3server starts an S3-compatible server, versitygw, for tests of storage in
// object stores.
package s3server

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// program is the server, built from the Go module proxy.
const program = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// What the server is used with.
const (
	Bucket    = "bucket"
	accessKey = "weir-tests"
	secretKey = "a-secret-of-the-tests-alone"
)

// startTimeout bounds the wait for the server to listen.
const startTimeout = 30 * time.Second

// TB is what this package needs of a test or benchmark.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Server is a running server with a bucket.
type Server struct {
	// Endpoint is host:port.
	Endpoint string
	// Folder has the server's files.
	Folder string
}

// Start starts a server with its files in a folder; it ends with the test.
func Start(t TB, folder string) *Server {
	t.Helper()
	s, stop, err := start(folder)
	if err != nil {
		t.Fatalf("starting an S3 server: %v", err)
	}
	t.Cleanup(stop)
	return s
}

// Parameters are those of the storage driver for the bucket, below a folder of its own.
func (s *Server) Parameters(root string) map[string]any {
	return map[string]any{
		"bucket": Bucket, "regionendpoint": "http://" + s.Endpoint, "forcepathstyle": true, "secure": false,
		"accesskey": accessKey, "secretkey": secretKey, "rootdirectory": root, "chunksize": 5 << 20,
	}
}

// Unfinished counts the multipart uploads that the server keeps.
func (s *Server) Unfinished() (count int, err error) {
	// <bucket>/.sgwtmp/multipart/<hash of the key>/<upload>
	multipart := filepath.Join(s.Folder, "data", Bucket, ".sgwtmp", "multipart") + string(filepath.Separator)
	err = filepath.WalkDir(filepath.Join(s.Folder, "data"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if rest, ok := strings.CutPrefix(path, multipart); ok && err == nil && d.IsDir() && strings.Count(rest, "/") == 1 {
			count++
		}
		return err
	})
	return count, err
}

// binary finds the server's program, or builds it. In CI it has to be there: building
// takes minutes that nobody would notice.
var binary = sync.OnceValues(func() (string, error) {
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path, nil
	}
	if os.Getenv("CI") == "true" {
		return "", fmt.Errorf("versitygw is not in PATH: install it with go install %s", program)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a folder for versitygw: %w", err)
	}
	_, version, _ := strings.Cut(program, "@")
	folder := filepath.Join(cache, "weir-tests", "versitygw-"+version)
	path := filepath.Join(folder, "versitygw")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	build := exec.Command("go", "install", program)
	build.Dir = os.TempDir() // outside of this module, whose versions it does not share
	build.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w\n%s", program, err, said)
	}
	return path, nil
})

// start starts a server and waits until it listens.
func start(folder string) (s *Server, stop func(), err error) {
	path, err := binary()
	if err != nil {
		return nil, nil, err
	}
	s = &Server{Folder: folder}
	for _, name := range []string{filepath.Join("data", Bucket), "attributes"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
			return nil, nil, fmt.Errorf("making the server's folders: %w", err)
		}
	}
	if s.Endpoint, err = freeAddress(); err != nil {
		return nil, nil, fmt.Errorf("finding a free port: %w", err)
	}
	var said bytes.Buffer
	command := exec.Command(path, "--port", s.Endpoint, "--access", accessKey, "--secret", secretKey,
		"--quiet", "posix", "--sidecar", filepath.Join(folder, "attributes"), filepath.Join(folder, "data"))
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		return nil, nil, fmt.Errorf("running versitygw: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	stop = func() {
		_ = command.Process.Kill()
		<-ended //nolint:errcheck // it was killed
	}
	for deadline := time.Now().Add(startTimeout); !s.listens(); {
		select {
		case err := <-ended:
			return nil, nil, fmt.Errorf("versitygw ended: %v\n%s", err, said.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			stop()
			return nil, nil, fmt.Errorf("versitygw does not listen after %s", startTimeout)
		}
	}
	return s, stop, nil
}

func (s *Server) listens() bool {
	c, err := net.Dial("tcp", s.Endpoint)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
