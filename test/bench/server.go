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

	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"weir.dev/weir/internal/host"
	"weir.dev/weir/internal/standalone"
)

// Environment of the child process that serves.
const (
	childDir    = "WEIR_BENCH_DATA_DIR"
	childConfig = "WEIR_BENCH_CONFIG"
	childParts  = "WEIR_BENCH_CONTROLLERS"
)

// serveIfChild serves a Weir if this process was started to.
func serveIfChild() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	standalone.CollectSooner()
	o := standalone.NewOptions()
	o.DataDir, o.ConfigFile = dir, os.Getenv(childConfig)
	o.Controllers = strings.Split(os.Getenv(childParts), ",")
	o.Host.ControlPlane.SecureServing.BindPort = 0
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server, err := standalone.New(ctx, o)
	if err == nil {
		err = server.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// weir is a served Weir with clients.
type weir struct {
	dir    string
	child  *exec.Cmd
	log    bytes.Buffer
	config *rest.Config
	kube   kubernetes.Interface
	images imageclient.Interface
	http   *http.Client
}

// startWeir starts a server with the controllers named ("none" for none) and a
// configuration file's text ("" for none).
func startWeir(ctx context.Context, controllers, config string) (*weir, error) {
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, err
	}
	w := &weir{dir: dir, child: exec.Command(os.Args[0])}
	w.child.Env = append(os.Environ(), childDir+"="+dir, childParts+"="+controllers)
	if config != "" {
		file := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return nil, err
		}
		w.child.Env = append(w.child.Env, childConfig+"="+file)
	}
	w.child.Stderr = &w.log
	if err := w.child.Start(); err != nil {
		return nil, err
	}
	if err := w.connect(ctx); err != nil {
		w.stop()
		return nil, fmt.Errorf("%w\n%s", err, tail(w.log.String()))
	}
	w.startProfile(ctx)
	return w, nil
}

// profileFile is where servers' profiles go, "" for nowhere.
var profileFile string

// startProfile has the server profile itself while the part runs.
func (w *weir) startProfile(ctx context.Context) {
	if profileFile == "" {
		return
	}
	go func() {
		data, err := w.kube.Discovery().RESTClient().Get().AbsPath("/debug/pprof/profile").Param("seconds", "10").DoRaw(ctx)
		if err == nil {
			err = os.WriteFile(profileFile, data, 0o600)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "profiling:", err)
		}
	}()
}

// saveHeap writes what the server's heap holds beside the profile.
func (w *weir) saveHeap(ctx context.Context) error {
	if profileFile == "" {
		return nil
	}
	data, err := w.kube.Discovery().RESTClient().Get().AbsPath("/debug/pprof/heap").Param("gc", "1").DoRaw(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(profileFile+".heap", data, 0o600)
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

func (w *weir) connect(ctx context.Context) error {
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(w.dir, host.KubeconfigName))
		if err == nil && w.ready(ctx, config) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("the server was not ready within a minute")
}

func (w *weir) ready(ctx context.Context, config *rest.Config) bool {
	config.QPS = -1
	w.config = config
	w.kube = kubernetes.NewForConfigOrDie(config)
	w.images = imageclient.NewForConfigOrDie(config)
	_, err := w.kube.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	if err != nil {
		return false
	}
	w.http, err = rest.HTTPClientFor(config)
	return err == nil
}

func (w *weir) stop() {
	_ = w.child.Process.Signal(syscall.SIGKILL) // its data goes too
	_ = w.child.Wait()
	_ = os.RemoveAll(w.dir)
}

// memory is what the server has in memory, in bytes.
type memory struct {
	resident int64 // all of it
	mapped   int64 // of that, pages of files: etcd's database, the program itself
}

func (w *weir) memory() (memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", w.child.Process.Pid))
	if err != nil {
		return memory{}, err
	}
	fields := strings.Fields(string(data))
	resident, err1 := strconv.ParseInt(fields[1], 10, 64)
	mapped, err2 := strconv.ParseInt(fields[2], 10, 64)
	page := int64(os.Getpagesize())
	return memory{resident * page, mapped * page}, errors.Join(err1, err2)
}

// cpu is the processor time that the server has used.
func (w *weir) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.child.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// revision is the newest of the group's objects: it grows with every write of one.
func (w *weir) revision(ctx context.Context) (int64, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + filepath.Join(w.dir, "etcd", "etcd.sock")}})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	got, err := c.Get(ctx, "/registry/image.openshift.io/", clientv3.WithPrefix(), clientv3.WithLimit(1),
		clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend), clientv3.WithKeysOnly())
	if err != nil || len(got.Kvs) == 0 {
		return 0, err
	}
	return got.Kvs[0].ModRevision, nil
}

func (w *weir) namespace(ctx context.Context, name string) error {
	_, err := w.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}
