package registry_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	digest "github.com/opencontainers/go-digest"
	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"weir.dev/weir/internal/testenv"
)

// serveVariable has TestPullThroughSurvivesAKill serve a data folder until it is killed.
const serveVariable = "REGISTRY_TEST_SERVES"

// servedAt says on a line of its own where a child serves.
const servedAt = "serves at "

// victim is a Weir in a process of its own.
type victim struct {
	*through
	process *exec.Cmd
}

// startVictim runs this test's program as a server.
func startVictim(t *testing.T, dataDir string) *victim {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPullThroughSurvivesAKill$", "-test.timeout=10m")
	child.Env = append(os.Environ(), serveVariable+"="+dataDir, "TMPDIR="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	child.Stderr = &log
	out, err := child.StdoutPipe()
	fatal(t, err)
	fatal(t, child.Start())
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		registry, ok := strings.CutPrefix(lines.Text(), servedAt)
		if !ok {
			continue
		}
		e := &testenv.Env{}
		address, kubeconfig, _ := strings.Cut(registry, " ")
		e.Config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
		fatal(t, err)
		e.Kube, e.Images = kubernetes.NewForConfigOrDie(e.Config), imageclient.NewForConfigOrDie(e.Config)
		return &victim{through: &through{Env: e, at: address}, process: child}
	}
	t.Fatalf("the server ended: %s", log.String())
	return nil
}

// kill ends the process in the middle of what it does.
func (v *victim) kill() {
	_ = v.process.Process.Kill()
	_ = v.process.Wait()
}

// A process that is killed while layers pass through has what it had kept, serves nothing
// half, and begins anew with the rest.
func TestPullThroughSurvivesAKill(t *testing.T) {
	if dataDir := os.Getenv(serveVariable); dataDir != "" {
		e, err := testenv.New(dataDir, testenv.WithRegistry)
		fatal(t, err)
		fmt.Println(servedAt + e.Registry() + " " + e.Server.Kubeconfig())
		select {}
	}
	dataDir, elsewhere := t.TempDir(), testenv.NewRegistry(t)
	whole, wholeLayer, wholeContent := oneLayer(t, 1<<20)
	half, halfLayer, halfContent := oneLayer(t, 3<<20)
	elsewhere.Push(t, "team/whole:1", whole)
	elsewhere.Push(t, "team/half:1", half)

	v := startVictim(t, dataDir)
	p := newThrough(t, v.Env)
	p.at = v.at
	p.imports(t, "app", "whole", elsewhere.Ref("team/whole:1"))
	p.imports(t, "app", "half", elsewhere.Ref("team/half:1"))
	if got := p.get(t, "app", "blobs/"+wholeLayer.String()); !bytes.Equal(got, wholeContent) {
		t.Fatal("other content")
	}
	wantKept(t, dataDir, wholeLayer)
	var stuck atomic.Bool
	sent := make(chan struct{})
	stuck.Store(true)
	elsewhere.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, halfLayer.String()) || !stuck.Load() {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(halfContent)))
		_, _ = w.Write(halfContent[:2<<20])
		w.(http.Flusher).Flush()
		close(sent)
		<-r.Context().Done()
		return true
	})
	broken := make(chan error, 1)
	go func() {
		answer, err := p.ask(t, http.MethodGet, "app", "blobs/"+halfLayer.String())
		if err == nil {
			err = fmt.Errorf("%d bytes look like all of it", len(answer.body))
		} else {
			err = nil
		}
		broken <- err
	}()
	<-sent
	v.kill()
	fatal(t, <-broken)
	stuck.Store(false)

	v = startVictim(t, dataDir)
	p = &through{Env: v.Env, at: v.at, namespace: p.namespace}
	if got := p.get(t, "app", "blobs/"+halfLayer.String()); !bytes.Equal(got, halfContent) {
		t.Error("other content")
	}
	wantKept(t, dataDir, halfLayer)
	elsewhere.Close()
	if got := p.get(t, "app", "blobs/"+wholeLayer.String()); !bytes.Equal(got, wholeContent) {
		t.Error("other content")
	}
	if got := p.get(t, "app", "blobs/"+halfLayer.String()); !bytes.Equal(got, halfContent) {
		t.Error("other content")
	}
	v.kill()
}

// wantKept waits until a blob that a client has is in storage as well.
func wantKept(t *testing.T, dataDir string, d digest.Digest) {
	t.Helper()
	testenv.Eventually(t, d.String()+" to be kept", func() error {
		kept, err := filepath.Glob(filepath.Join(dataDir, "*", "docker/registry/v2/blobs", d.Algorithm().String(), d.Encoded()[:2], d.Encoded(), "from", "*"))
		if err == nil && len(kept) == 0 {
			err = errors.New("nothing says where it came from")
		}
		return err
	})
}
