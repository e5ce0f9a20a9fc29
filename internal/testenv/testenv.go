// Package testenv starts a whole Weir inside a test: real etcd, the real control
// plane, the image API, on free ports of the loopback, with clients to talk to it.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"weir.dev/weir/internal/standalone"
)

// StartTimeout bounds the wait for a server, on a busy machine.
const StartTimeout = 2 * time.Minute

// Env is a running Weir.
type Env struct {
	Server *standalone.Server
	// Config is the admin's, from the kubeconfig file that the server wrote.
	Config *rest.Config
	Kube   kubernetes.Interface
	Images imageclient.Interface

	// separation is nil where all is in this process.
	separation *separation

	stop  context.CancelFunc
	ended chan error
	once  sync.Once
	err   error
}

// TB is what this package needs of a test or benchmark.
type TB interface {
	Helper()
	TempDir() string
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Start starts a Weir for one test and stops it at the test's end. change may
// adapt its options.
func Start(t TB, change ...func(*standalone.Options)) *Env {
	t.Helper()
	e, err := New(t.TempDir(), change...)
	if err != nil {
		t.Fatalf("starting a Weir: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Fatalf("stopping the Weir: %v", err)
		}
	})
	return e
}

// New starts a Weir over a data folder, for the TestMain of a package that shares one.
func New(dataDir string, change ...func(*standalone.Options)) (*Env, error) {
	o := standalone.NewOptions()
	o.DataDir = dataDir
	o.Host.ControlPlane.SecureServing.BindPort = 0
	o.Registry.Enabled = false
	for _, c := range change {
		c(o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	separation, err := separate(ctx, o)
	if err != nil {
		cancel()
		return nil, err
	}
	server, err := standalone.New(ctx, o)
	if err != nil {
		cancel()
		separation.close()
		return nil, err
	}
	e := &Env{Server: server, stop: cancel, ended: make(chan error, 1), separation: separation}
	go func() { e.ended <- server.Run(ctx) }()
	err = e.connect(ctx)
	if err == nil && separation != nil {
		err = separation.start(ctx, server.Kubeconfig(), e.Kube)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; the server ended with: %v", err, e.Stop())
	}
	return e, nil
}

// WithRegistry is a change of options that serves the integrated registry, on a free
// port.
func WithRegistry(o *standalone.Options) { o.Registry.Enabled, o.Registry.Port = true, 0 }

// Registry is host:port of the integrated registry, "" without one.
func (e *Env) Registry() string {
	if e.separation != nil {
		return e.separation.registry
	}
	return e.Server.Registry()
}

// Stop ends the server and returns what it ended with.
func (e *Env) Stop() error {
	e.once.Do(func() {
		if e.separation != nil {
			e.err = e.separation.stop()
		}
		e.stop()
		e.err = errors.Join(e.err, <-e.ended)
		e.separation.close()
	})
	return e.err
}

// As is a config for another user, by impersonation; no groups means that of all
// authenticated users.
func (e *Env) As(user string, groups ...string) *rest.Config {
	c := rest.CopyConfig(e.Config)
	c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
	return c
}

// Anonymous is a config without any identity.
func (e *Env) Anonymous() *rest.Config { return rest.AnonymousClientConfig(e.Config) }

// ImagesFor is a typed client of the image API for a config.
func ImagesFor(c *rest.Config) imageclient.Interface { return imageclient.NewForConfigOrDie(c) }

// Namespace makes a namespace with a name that begins with prefix.
func (e *Env) Namespace(t TB, prefix string) string {
	t.Helper()
	ns, err := e.Kube.CoreV1().Namespaces().Create(context.Background(), namespace(prefix), metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("making a namespace: %v", err)
	}
	return ns.Name
}

func (e *Env) connect(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", e.Server.Kubeconfig())
	if err != nil {
		return fmt.Errorf("reading the admin's kubeconfig: %w", err)
	}
	config.QPS, config.Burst = -1, 0 // tests are not slowed by the client
	e.Config = config
	if e.Kube, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if e.Images, err = imageclient.NewForConfig(config); err != nil {
		return err
	}
	return e.waitReady(ctx)
}

func (e *Env) waitReady(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, StartTimeout, true, func(ctx context.Context) (bool, error) {
		select {
		case err := <-e.ended:
			e.ended <- err
			return false, fmt.Errorf("the server ended: %v", err)
		default:
		}
		_, last = e.Kube.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for /readyz: %w (last answer: %v)", err, last)
	}
	return nil
}

// Eventually polls until check returns nil and fails the test with its last error
// when that takes longer than a generous bound.
func Eventually(t TB, what string, check func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(context.Background(), 20*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, last)
	}
}

// Run is the body of a TestMain: it starts a Weir, hands it to use, runs the
// tests, stops it, and returns the exit code.
func Run(tests interface{ Run() int }, use func(*Env), change ...func(*standalone.Options)) int {
	dir, err := os.MkdirTemp("", "weir-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	e, err := New(dir, change...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting a Weir:", err)
		return 1
	}
	use(e)
	code := tests.Run()
	if err := e.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the Weir:", err)
		return 1
	}
	return code
}

// IsReason reports whether err is an API error of that reason.
func IsReason(err error, reason metav1.StatusReason) bool {
	return apierrors.ReasonForError(err) == reason
}
