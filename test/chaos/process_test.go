package chaos_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"weir.dev/weir/internal/testenv"
)

// process is a weir that runs as users run it.
type process struct {
	cmd    *exec.Cmd
	output *lockedBuffer
	ended  chan struct{}
	err    error // once ended is closed

	kubeconfig string
	config     *rest.Config
	kube       kubernetes.Interface
	images     imageclient.Interface
}

// launch starts a weir over a data folder on free ports and does not wait for it.
func launch(t *testing.T, dataDir string, args ...string) *process {
	t.Helper()
	binary, err := weir()
	if err != nil {
		t.Fatal(err)
	}
	return runCommand(t, dataDir, exec.Command(binary, append(serveArgs(dataDir), args...)...))
}

// serveArgs have a weir serve a data folder on free ports.
func serveArgs(dataDir string) []string {
	return []string{"serve", "--data-dir", dataDir, "--secure-port", "0", "--registry-port", "0"}
}

// runCommand starts a weir over a data folder by a command of its own.
func runCommand(t *testing.T, dataDir string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, output: &lockedBuffer{}, ended: make(chan struct{}), kubeconfig: filepath.Join(dataDir, "admin.kubeconfig")}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// launchAgain is launch over the data folder of an earlier weir.
func launchAgain(t *testing.T, dataDir string, args ...string) *process {
	t.Helper()
	_ = os.Remove(filepath.Join(dataDir, "admin.kubeconfig")) // that of an earlier run names another port
	return launch(t, dataDir, args...)
}

// boot starts a weir over a data folder and waits until it is ready.
func boot(t *testing.T, dataDir string, args ...string) *process {
	t.Helper()
	p := launchAgain(t, dataDir, args...)
	p.waitReady(t)
	return p
}

// waitReady connects to the server when it is ready.
func (p *process) waitReady(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "the server to be ready", func() error {
		select {
		case <-p.ended:
			t.Fatalf("the server ended while starting: %v\n%s", p.err, p.output)
		default:
		}
		return p.connect()
	})
}

func (p *process) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	p.config = config
	if p.kube, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if p.images, err = imageclient.NewForConfig(config); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = p.kube.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}

// registryAt finds where the registry is in what a process says when it is ready.
var registryAt = regexp.MustCompile(`a registry at http://(\S+)`)

// registry is host:port of the integrated registry.
func (p *process) registry(t *testing.T) (host string) {
	t.Helper()
	testenv.Eventually(t, "the registry's address", func() error {
		found := registryAt.FindStringSubmatch(p.output.String())
		if found == nil {
			return errors.New("the server has not told it")
		}
		host = found[1]
		return nil
	})
	return host
}

// kill ends the process without giving it a chance.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// terminate asks the process to end and returns how long it took. It must end by
// itself, within the bound, and without an error.
func (p *process) terminate(t *testing.T, bound time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.waitEnd(t, bound)
	if p.err != nil {
		t.Errorf("after SIGTERM the server ended with: %v\n%s", p.err, p.output)
	}
	return time.Since(begin)
}

func (p *process) waitEnd(t *testing.T, bound time.Duration) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(bound):
		t.Fatalf("the server has not ended after %s\n%s", bound, p.output)
	}
}

// lockedBuffer is a buffer that a process writes while a test reads.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

// String implements fmt.Stringer.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
