// Package chaos_test holds the tests of what happens when things go wrong: killed
// processes, hostile and broken registries, an etcd that goes away, many writers,
// a full disk; and with the integrated registry: kills in the middle of pushes, a full
// disk, crowds of clients, credentials that end, strangers, an object store, deletions that
// it does not see, another address, damaged storage. Servers run as their own processes
// where they are to be killed, else in this one.
package chaos_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/klog/v2"
)

// binaryVariable names a weir that is built already.
const binaryVariable = "WEIR_CHAOS_BINARY"

// roleVariable tells a process of this test binary that it is not to run all
// tests: it is etcd, or runs a test in a mount namespace of its own.
const roleVariable = "WEIR_CHAOS_ROLE"

var (
	// workshop holds what is made once for all tests.
	workshop string
	// serverLog is what servers in this process log.
	serverLog = &logWatch{}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(roleVariable) == roleEtcd {
		return runEtcd()
	}
	var err error
	if workshop, err = os.MkdirTemp("", "weir-chaos-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(workshop)
	if err := watchLog(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	klog.Flush()
	if leaks := serverLog.leaks(); len(leaks) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: secrets or panics in the log:\n%q\n", leaks)
		return 1
	}
	return code
}

// weir is the binary under test, built when it is first asked for.
var weir = sync.OnceValues(func() (string, error) {
	if built := os.Getenv(binaryVariable); built != "" {
		return built, nil
	}
	path := filepath.Join(workshop, "weir")
	build := exec.Command("go", "build", "-o", path, "weir.dev/weir/cmd/weir")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building weir: %w\n%s", err, output)
	}
	return path, nil
})
