package chaos_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

// roleEtcd makes a process of this test binary an etcd over the folder in
// etcdFolderVariable.
const (
	roleEtcd           = "etcd"
	etcdFolderVariable = "WEIR_CHAOS_ETCD"
)

func runEtcd() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server, err := etcd.Start(ctx, etcd.Options{Dir: os.Getenv(etcdFolderVariable)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	<-ctx.Done()
	server.Close()
	return 0
}

// etcdProcess is an etcd of its own that can go away and come back.
type etcdProcess struct {
	dir      string
	endpoint string
	cmd      *exec.Cmd
}

func startEtcd(t *testing.T) *etcdProcess {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-chaos-etcd-") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	e := &etcdProcess{dir: dir, endpoint: "unix://" + filepath.Join(dir, "etcd.sock")}
	e.start(t)
	t.Cleanup(func() {
		e.kill(t)
		os.RemoveAll(dir)
	})
	return e
}

// start starts it over its folder and waits until it answers.
func (e *etcdProcess) start(t *testing.T) {
	t.Helper()
	e.cmd = exec.Command(os.Args[0])
	e.cmd.Env = append(os.Environ(), roleVariable+"="+roleEtcd, etcdFolderVariable+"="+e.dir)
	e.cmd.Stderr = os.Stderr
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	client := e.client(t)
	testenv.Eventually(t, "etcd to answer", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := client.Get(ctx, "a key")
		return err
	})
}

// kill ends it without giving it a chance. It may be gone already.
func (e *etcdProcess) kill(t *testing.T) {
	t.Helper()
	if e.cmd == nil {
		return
	}
	if err := e.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = e.cmd.Wait() // it was killed
	e.cmd = nil
}

func (e *etcdProcess) client(t *testing.T) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{e.endpoint}, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// use has a Weir keep everything in this etcd.
func (e *etcdProcess) use(o *standalone.Options) {
	o.Host.ControlPlane.Etcd.StorageConfig.Transport.ServerList = []string{e.endpoint}
}

func contains(text, part string) bool { return strings.Contains(text, part) }

// withConfig has a Weir read a configuration, given without its head.
func withConfig(t *testing.T, body string) func(*standalone.Options) {
	t.Helper()
	path := testenv.ConfigFile(t, body)
	return func(o *standalone.Options) { o.ConfigFile = path }
}
