package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// roleDisk runs TestFullDisk inside a mount namespace of its own.
const (
	roleDisk = "disk"
	// diskBytes has room above the reserves of etcd and the registry.
	diskBytes = 320 << 20
)

// TestFullDisk fills the disk under a server. The disk is one in memory, in a mount
// namespace of the test's own, so that nothing is left when it ends; the machine has
// to allow one, to root or by user namespaces.
func TestFullDisk(t *testing.T) {
	if os.Getenv(roleVariable) == roleDisk {
		fillDisk(t)
		return
	}
	runInMountNamespace(t, roleDisk)
}

// runInMountNamespace runs a test again, in a role and a mount namespace of its own.
func runInMountNamespace(t *testing.T, role string) {
	t.Helper()
	binary, err := weir()
	if err != nil {
		t.Fatal(err)
	}
	self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	self.Env = append(os.Environ(), roleVariable+"="+role, binaryVariable+"="+binary)
	self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		self.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		self.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		self.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	output, err := self.CombinedOutput()
	if err != nil {
		t.Fatalf("in a mount namespace: %v\n%s", err, output)
	}
	t.Logf("%s", output)
}

// smallDisk mounts a disk of so many bytes in memory.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatalf("taking the mounts for ourselves: %v", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fillDisk fills the disk to the last byte, from outside: the process stays up and starts
// again, what takes room is refused with words that say why, reading and deleting go on, and
// with room again all works as before.
func fillDisk(t *testing.T) {
	disk := smallDisk(t, diskBytes)
	data, hog := filepath.Join(disk, "d"), filepath.Join(disk, "hog")
	p := boot(t, data)
	prepare(t, p)
	for n := range 6 {
		if err := writeFiller(t, p, fmt.Sprint("before-", n)); err != nil {
			t.Fatal(err)
		}
	}
	stored := testimage.NewRaw(testimage.Noise(64 << 10))
	for _, tag := range []string{"t", "gone-0", "gone-3"} {
		if err := administrator(t, p).push(t.Context(), chunked, crowded, tag, stored); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"gone-0", "gone-3"} {
		if _, err := p.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.images.ImageV1().ImageStreams(name).Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "app"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	wantRoomCheck(t, p, "")
	takeSpace(t, hog)
	wantRefusals(t, p, stored)
	wantDeletes(t, p, 0)
	p.kill()

	p = launchAgain(t, data)
	testenv.Eventually(t, "the server to serve on a full disk", func() error {
		if err := p.connect(); err == nil || p.config == nil {
			return fmt.Errorf("%w: not up, or ready in spite of a full disk", err)
		}
		return get(p, "/readyz?exclude=weir-disk")
	})
	wantRefusals(t, p, stored)
	wantDeletes(t, p, 3)
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	wantRoomCheck(t, p, "")
	if err := writeFiller(t, p, "after"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := administrator(t, p).push(t.Context(), monolithic, crowded, "u", testimage.NewRaw(testimage.Noise(64<<10))); err != nil {
		t.Errorf("with room again: %v", err)
	}
	p.terminate(t, 20*time.Second)
	if output := p.output.String(); !contains(output, "There is too little room") || !contains(output, "the disk of "+data) {
		t.Errorf("the log does not say what is wrong: %s", output)
	}
}

// get reads a path of the API; the error has the body.
func get(p *process, path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	body, err := p.kube.Discovery().RESTClient().Get().RequestURI(path).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	return nil
}

// wantRoomCheck waits for the readiness that says there is room, or why there is none.
func wantRoomCheck(t *testing.T, p *process, why string) {
	t.Helper()
	testenv.Eventually(t, "readiness", func() error {
		err, whole := get(p, "/readyz/weir-disk"), get(p, "/readyz")
		if (whole == nil) != (why == "") || (err == nil) != (why == "") || err != nil && !contains(err.Error(), why) {
			return fmt.Errorf("the check says %w, and all together %w; want %q", err, whole, why)
		}
		return nil
	})
}

// wantRefusals checks what a process on a full disk refuses, and what it goes on to do.
func wantRefusals(t *testing.T, p *process, stored testimage.Raw) {
	t.Helper()
	wantRoomCheck(t, p, "and its reserve is")
	for n := range 20 {
		err := writeFiller(t, p, fmt.Sprint("full-", n))
		var status apierrors.APIStatus
		if !errors.As(err, &status) || status.Status().Code != http.StatusInsufficientStorage || !contains(err.Error(), "the disk of the server is almost full") {
			t.Fatalf("writing with a full disk: %v, want 507", err)
		}
	}
	c := administrator(t, p)
	wantFull(t, "a push", c.upload(t.Context(), atOnce, crowded, testimage.Noise(64<<10)))
	c.wantImage(t, crowded, "t", stored)
	if _, err := p.images.ImageV1().ImageStreams(namespace).Get(t.Context(), "pushed", metav1.GetOptions{}); err != nil {
		t.Errorf("reading with a full disk: %v", err)
	}
	metrics, err := p.kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil || !regexp.MustCompile(`(?m)^weir_etcd_refused_total [1-9]`).Match(metrics) || !contains(string(metrics), `weir_disk_free_bytes{of="registry"}`) {
		t.Errorf("the metrics do not tell: %v", err)
	}
}

// wantDeletes deletes three of the streams, and what is deleted by updates: a tag, and a
// namespace with a stream.
func wantDeletes(t *testing.T, p *process, first int) {
	t.Helper()
	streams := p.images.ImageV1().ImageStreams(namespace)
	for n := first; n < first+3; n++ {
		name := fmt.Sprint("before-", n)
		if err := streams.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Errorf("deleting with a full disk: %v", err)
		}
		if _, err := streams.Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("after deleting %s: %v", name, err)
		}
	}
	name := fmt.Sprint("gone-", first)
	if err := p.images.ImageV1().ImageStreamTags(namespace).Delete(t.Context(), "pushed:"+name, metav1.DeleteOptions{}); err != nil {
		t.Errorf("deleting a tag: %v", err)
	}
	namespaces := p.kube.CoreV1().Namespaces()
	if err := namespaces.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Errorf("deleting a namespace: %v", err)
	}
	testenv.Eventually(t, "the namespace to be gone", func() error {
		_, err := namespaces.Get(t.Context(), name, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		return nil
	})
}

// writeFiller writes a stream that takes some space.
func writeFiller(t *testing.T, p *process, name string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := p.images.ImageV1().ImageStreams(namespace).Create(ctx, &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"filler": strings.Repeat("x", 200<<10)}},
	}, metav1.CreateOptions{})
	return err
}

// takeSpace writes a file until the disk is full.
func takeSpace(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			block = block[:len(block)/2] // the last bytes too
		}
	}
}
