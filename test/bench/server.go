package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// registryFile is where the child tells the address of its registry.
const registryFile = "registry-address"

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
	o.Registry.Port = 0
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server, err := standalone.New(ctx, o)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, registryFile), []byte(server.Registry()), 0o600)
	}
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
	*process
	config *rest.Config
	kube   kubernetes.Interface
	images imageclient.Interface
	http   *http.Client
}

// startWeir starts a server with the controllers named ("none" for none) and a
// configuration file's text ("" for none).
func startWeir(ctx context.Context, controllers, config string) (*weir, error) {
	p, err := startProcess(os.Args[0], nil, []string{childDir + "={}", childParts + "=" + controllers})
	if err != nil {
		return nil, err
	}
	w := &weir{process: p}
	if config != "" {
		file := filepath.Join(w.dir, "config.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return nil, err
		}
		w.child.Env = append(w.child.Env, childConfig+"="+file)
	}
	if err := w.child.Start(); err != nil {
		w.stop()
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

// profileSeconds is for how long they are profiled.
var profileSeconds = 10

// startProfile has the server profile itself while the part runs.
func (w *weir) startProfile(ctx context.Context) {
	if profileFile == "" {
		return
	}
	go func() {
		data, err := w.kube.Discovery().RESTClient().Get().AbsPath("/debug/pprof/profile").Param("seconds", strconv.Itoa(profileSeconds)).DoRaw(ctx)
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

// etcd connects to the embedded etcd.
func (w *weir) etcd() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + filepath.Join(w.dir, "etcd", "etcd.sock")}})
}

// revision is the newest of the group's objects: it grows with every write of one.
func (w *weir) revision(ctx context.Context) (int64, error) {
	c, err := w.etcd()
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
