package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that runs beside this program, with a folder of its own.
type process struct {
	dir   string
	child *exec.Cmd
	log   bytes.Buffer
}

// startProcess starts a program over a new folder. variables are NAME=value; in them
// and in the arguments, {} stands for the folder.
func startProcess(program string, args, variables []string) (*process, error) {
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, err
	}
	inFolder := func(texts []string) []string {
		out := make([]string, len(texts))
		for i, s := range texts {
			out[i] = strings.ReplaceAll(s, "{}", dir)
		}
		return out
	}
	p := &process{dir: dir, child: exec.Command(program, inFolder(args)...)}
	p.child.Env = append(os.Environ(), inFolder(variables)...)
	p.child.Stderr = &p.log
	return p, nil
}

// stop ends the server and removes its folder.
func (p *process) stop() {
	if p.child.Process != nil {
		_ = p.child.Process.Signal(syscall.SIGKILL) // its data goes too
		_ = p.child.Wait()
	}
	_ = os.RemoveAll(p.dir)
}

// memory is what a server has in memory, in bytes.
type memory struct {
	resident int64 // all of it
	mapped   int64 // of that, pages of files: etcd's database, the program itself
}

func (m memory) String() string {
	const mega = 1e6
	return fmt.Sprintf("%.0f MB, %.0f MB of it mapped files", float64(m.resident)/mega, float64(m.mapped)/mega)
}

func (p *process) memory() (memory, error) {
	data, err := os.ReadFile(p.proc("statm"))
	if err != nil {
		return memory{}, err
	}
	fields := strings.Fields(string(data))
	resident, err1 := strconv.ParseInt(fields[1], 10, 64)
	mapped, err2 := strconv.ParseInt(fields[2], 10, 64)
	page := int64(os.Getpagesize())
	return memory{resident * page, mapped * page}, errors.Join(err1, err2)
}

// forgetPeak has the kernel begin anew to look for the process' peak of memory.
func (p *process) forgetPeak() error {
	return os.WriteFile(p.proc("clear_refs"), []byte("5"), 0o200)
}

// peak is the most resident memory, in bytes, since the process began or forgetPeak.
func (p *process) peak() (int64, error) {
	data, err := os.ReadFile(p.proc("status"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	kilobytes, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kilobytes, 10, 64)
	return n << 10, err
}

// cpu is the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) {
	data, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

func (p *process) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.child.Process.Pid, name)
}

// Environment of the child process that serves files.
const (
	childFiles   = "WEIR_BENCH_FILES"
	childAddress = "WEIR_BENCH_ADDRESS"
)

// serveFilesIfChild serves a folder with net/http's file server if this process was
// started to.
func serveFilesIfChild() bool {
	dir := os.Getenv(childFiles)
	if dir == "" {
		return false
	}
	server := &http.Server{Addr: os.Getenv(childAddress), Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: time.Minute}
	if err := server.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// startFiles starts a server of plain files: the floor of blobs.
func startFiles(ctx context.Context) (*process, *peer, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	p, err := startProcess(os.Args[0], nil, []string{childFiles + "={}", childAddress + "=" + address})
	if err != nil {
		return nil, nil, err
	}
	return p.serve(ctx, &peer{name: "static files", base: "http://" + address}, address)
}

// serve starts the process and waits until it serves at an address.
func (p *process) serve(ctx context.Context, at *peer, address string) (*process, *peer, error) {
	if err := p.child.Start(); err != nil {
		p.stop()
		return nil, nil, err
	}
	if err := waitServing(ctx, address); err != nil {
		p.stop()
		return nil, nil, fmt.Errorf("%s: %w\n%s", at.name, err, tail(p.log.String()))
	}
	return p, at, nil
}

// distributionModule is the registry that Weir is compared with.
const distributionModule = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2"

// distributionBinary is its program: what a flag or the environment names, or what this
// run has built.
var distributionBinary string

// distributionConfig is that registry's default configuration but for the address, the
// folder, and the log.
const distributionConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  cache: {blobdescriptor: inmemory}
  filesystem: {rootdirectory: %s}
http: {addr: %q, headers: {X-Content-Type-Options: [nosniff]}}
health: {storagedriver: {enabled: true, interval: 10s, threshold: 3}}
`

// startDistribution starts distribution's registry over its filesystem driver, open to
// everybody.
func startDistribution(ctx context.Context) (*process, *peer, error) {
	if err := buildDistribution(ctx); err != nil {
		return nil, nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, nil, err
	}
	p, err := startProcess(distributionBinary, []string{"serve", "{}/config.yaml"}, []string{"OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none"})
	if err != nil {
		return nil, nil, err
	}
	text := fmt.Sprintf(distributionConfig, filepath.Join(p.dir, "data"), address)
	if err := os.WriteFile(filepath.Join(p.dir, "config.yaml"), []byte(text), 0o600); err != nil {
		return nil, nil, err
	}
	return p.serve(ctx, &peer{name: "distribution", base: "http://" + address}, address)
}

// buildDistribution builds that registry from its module, once in a run, unless it was
// named.
func buildDistribution(ctx context.Context) error {
	if distributionBinary == "" {
		distributionBinary = os.Getenv("WEIR_BENCH_DISTRIBUTION")
	}
	if distributionBinary != "" {
		return nil
	}
	fmt.Fprintln(os.Stderr, "building", distributionModule)
	dir, err := os.MkdirTemp("", "weir-bench-distribution-")
	if err != nil {
		return err
	}
	removeAtEnd = append(removeAtEnd, dir)
	install := exec.CommandContext(ctx, "go", "install", distributionModule)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod")
	install.Dir = dir // so that this module's needs do not matter
	if said, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", distributionModule, err, tail(string(said)))
	}
	distributionBinary = filepath.Join(dir, "registry")
	return nil
}

// removeAtEnd are folders that go when the run ends.
var removeAtEnd []string
