package pullthrough

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// smallDiskVariable runs TestSmallDisk inside a mount namespace of its own.
const smallDiskVariable = "PULLTHROUGH_TEST_SMALL_DISK"

// TestSmallDisk pulls through onto a real disk that is full. It is one in memory, in a
// mount namespace of the test's own, which the machine has to allow, to root or by user
// namespaces.
func TestSmallDisk(t *testing.T) {
	if os.Getenv(smallDiskVariable) != "" {
		onSmallDisk(t)
		return
	}
	self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSmallDisk$", "-test.v", "-test.timeout=2m")
	self.Env = append(os.Environ(), smallDiskVariable+"=1")
	self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		self.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		self.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		self.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if output, err := self.CombinedOutput(); err != nil {
		t.Fatalf("in a mount namespace: %v\n%s", err, output)
	}
}

func onSmallDisk(t *testing.T) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
	temp := filepath.Join(small, "temp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	layer, d := random(6 << 20)
	fits, d2 := random(3 << 20)
	for name, driver := range map[string]func(string) storagedriver.StorageDriver{
		"storage":         func(string) storagedriver.StorageDriver { return onDisk(small) },
		"temporary files": func(string) storagedriver.StorageDriver { return inMemory("") },
	} {
		r := newRig(t, func(s *setup) {
			s.driver, s.TempDir = driver, temp
		})
		r.folder = small
		other := elsewhere(t, layer, fits)
		var work sync.WaitGroup
		for range 4 {
			work.Go(func() {
				r.pullAgain(d, from(t, len(layer), other), 0, layer)
			})
		}
		work.Wait()
		if name == "storage" {
			r.wantNotStored(d)
		} else {
			r.wantStored(d, layer)
		}
		// The room is there again, all of it.
		r.pausedUntil.Store(0)
		r.wantPull(d2, from(t, len(fits), other), fits)
		r.wantStored(d2, fits)
		if err := r.store.Delete(t.Context(), d2); err != nil {
			t.Error(err)
		}
		ballast := filepath.Join(small, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 3900<<10), 0o600); err != nil {
			t.Errorf("%s: room is lost: %v", name, err)
		}
		os.Remove(ballast)
	}
}
