package pullthrough

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// TestLeftoversOfKilledProcesses: a process that is killed between making a temporary file and taking
// its name away leaves it. The next start removes such files, and nothing else.
func TestLeftoversOfKilledProcesses(t *testing.T) {
	var folder string
	newRig(t, func(s *setup) {
		folder = s.TempDir
		for _, name := range []string{tempPrefix + "1", tempPrefix + "2", "weir-other", "of-others"} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(folder, tempPrefix+"folder"), 0o700); err != nil {
			t.Fatal(err)
		}
	})
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"of-others", "weir-other", tempPrefix + "folder"}; !slices.Equal(names, want) {
		t.Errorf("the folder has %q, want %q", names, want)
	}
}

// TestLeftoversBesideAnotherProcess: a start takes nothing away from a process that uses the folder.
func TestLeftoversBesideAnotherProcess(t *testing.T) {
	m := &Mirror{opts: Options{TempDir: t.TempDir()}}
	stop := make(chan struct{})
	var starts sync.WaitGroup
	starts.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				removeLeftovers(m.opts.TempDir)
			}
		}
	})
	for range 500 {
		f, err := m.newTempFile()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1)
		if err := f.add([]byte("x"), 1<<20); err != nil {
			t.Error(err)
		} else if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, []byte("x")) {
			t.Errorf("read %q, %v", got, err)
		}
		f.release()
	}
	close(stop)
	starts.Wait()
}
