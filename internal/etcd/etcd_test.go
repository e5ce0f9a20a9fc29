package etcd_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"weir.dev/weir/internal/etcd"
)

func TestKeepsDataOverARestart(t *testing.T) {
	for name, dir := range map[string]string{
		"short path":                 filepath.Join(t.TempDir(), "d"),
		"path too long for a socket": filepath.Join(t.TempDir(), strings.Repeat("long/", 30)),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			if endpoint, err := etcd.Socket(dir); err == nil {
				t.Errorf("before the start the socket is %s, want none", endpoint)
			}
			withMember(t, dir, func(c *clientv3.Client) {
				if _, err := c.Put(ctx, "k", "v"); err != nil {
					t.Fatal(err)
				}
				if endpoint, err := etcd.Socket(dir); err != nil || endpoint != c.Endpoints()[0] {
					t.Errorf("the socket is %s, %v, want %s", endpoint, err, c.Endpoints()[0])
				}
			})
			withMember(t, dir, func(c *clientv3.Client) {
				away := "unix://" + filepath.Join(t.TempDir(), "away.sock")
				if err := (etcd.External{Servers: []string{away, c.Endpoints()[0]}}).Reach(ctx); err != nil {
					t.Errorf("one of two servers answers: %v", err)
				}
				got, err := c.Get(ctx, "k")
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" {
					t.Fatalf("after a restart k = %v, want v", got.Kvs)
				}
			})
		})
	}
}

func TestStartThatIsGivenUpLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := etcd.Start(ctx, etcd.Options{Dir: dir}); err == nil || s != nil {
		t.Fatalf("Start with a context that has ended = %v, %v; want no server and an error", s, err)
	}
	withMember(t, dir, func(*clientv3.Client) {}) // the folder is free again
}

func withMember(t *testing.T, dir string, do func(*clientv3.Client)) {
	t.Helper()
	s, err := etcd.Start(context.Background(), etcd.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	do(c)
}

func TestSocketFolderOfAKilledProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	left := filepath.Join(t.TempDir(), "weir-etcd-123")
	for _, folder := range []string{dir, left} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "etcd.sock.path"), []byte(filepath.Join(left, "etcd.sock")), 0o600); err != nil {
		t.Fatal(err)
	}
	withMember(t, dir, func(*clientv3.Client) {})
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the folder of the killed process: %v, want it removed", err)
	}
}
