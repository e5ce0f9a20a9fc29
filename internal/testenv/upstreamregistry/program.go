package upstreamregistry

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Platforms are those that images can be built for, in Go's names.
var Platforms = []string{"linux/amd64", "linux/arm64", "linux/ppc64le", "linux/s390x"}

//go:embed hello.go.txt
var helloSource []byte

// programs are the compiled programs by platform. A process compiles each once; Go's
// build cache makes the next process quick.
var programs = struct {
	sync.Mutex
	content map[string][]byte
}{content: map[string][]byte{}}

// program is a small program, compiled for a platform.
func program(platform string) ([]byte, error) {
	programs.Lock()
	defer programs.Unlock()
	if content, ok := programs.content[platform]; ok {
		return content, nil
	}
	content, err := compile(platform)
	if err != nil {
		return nil, fmt.Errorf("compiling a program for %s: %w", platform, err)
	}
	programs.content[platform] = content
	return content, nil
}

func compile(platform string) ([]byte, error) {
	system, architecture, ok := strings.Cut(platform, "/")
	if !ok {
		return nil, fmt.Errorf("%q is not os/architecture", platform)
	}
	dir, err := os.MkdirTemp("", "upstreamregistry-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "hello.go"), helloSource, 0o600); err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", "hello", "hello.go")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+architecture, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GO111MODULE=off")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w: %s", err, output)
	}
	return os.ReadFile(filepath.Join(dir, "hello"))
}
