package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// roleDisk runs TestFullDisk inside a mount namespace of its own.
const (
	roleDisk = "disk"
	// diskBytes is room for etcd's log, which takes 128 MiB before anything is in it,
	// and for little else.
	diskBytes = 240 << 20
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

// fillDisk holds what the embedded etcd can promise: it ends the process, with words
// that say why, rather than go on with what it cannot store; what was acknowledged is
// there when the next process finds room.
func fillDisk(t *testing.T) {
	disk := smallDisk(t, diskBytes)
	data, ballast := filepath.Join(disk, "d"), filepath.Join(disk, "ballast")
	p := boot(t, data)
	prepare(t, p)
	acked := []string{"before"}
	if err := writeFiller(t, p, "before"); err != nil {
		t.Fatal(err)
	}
	takeSpace(t, ballast)
	var refusal error
	for n := 0; refusal == nil && n < 2000; n++ {
		name := fmt.Sprintf("full-%d", n)
		if refusal = writeFiller(t, p, name); refusal == nil {
			acked = append(acked, name)
		}
	}
	if refusal == nil {
		t.Fatalf("all %d writes went through", len(acked))
	}
	t.Logf("%d writes went through with a full disk, then: %v", len(acked)-1, refusal)
	var status apierrors.APIStatus
	if !errors.As(refusal, &status) { // no answer: the process has ended
		p.waitEnd(t, 20*time.Second)
		if p.err == nil || !contains(p.output.String(), "no space left on device") || !contains(p.output.String(), data) {
			t.Errorf("it ended with %v and said: %s", p.err, p.output)
		}
	} else if _, err := p.images.ImageV1().ImageStreams(namespace).Get(t.Context(), "before", metav1.GetOptions{}); err != nil {
		t.Errorf("reading with a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	p.kill()
	p = boot(t, data)
	for _, name := range acked {
		if _, err := p.images.ImageV1().ImageStreams(namespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("acknowledged and lost: %v", err)
		}
	}
	if err := writeFiller(t, p, "after"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	p.terminate(t, 20*time.Second)
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
