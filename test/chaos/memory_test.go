package chaos_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// memoryWatch samples the memory of this process.
type memoryWatch struct {
	before, peak int64
	stop         context.CancelFunc
	done         chan struct{}
}

func watchMemory(t *testing.T) *memoryWatch {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	before, err := residentBytes()
	if err != nil {
		t.Fatal(err)
	}
	m := &memoryWatch{before: before, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			now, err := residentBytes()
			if err != nil {
				t.Error(err)
				return
			}
			m.peak = max(m.peak, now)
		}
	}()
	return m
}

// check ends the watch and bounds the growth, in bytes.
func (m *memoryWatch) check(t *testing.T, bound int64) {
	t.Helper()
	m.stop()
	<-m.done
	t.Logf("%d MiB before, %d MiB at the peak", m.before>>20, m.peak>>20)
	if m.peak-m.before > bound {
		t.Errorf("memory grew from %d to %d MiB", m.before>>20, m.peak>>20)
	}
}

// residentBytes is the memory of this process that is in use, as the kernel counts it.
func residentBytes() (int64, error) {
	content, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(content), &total, &resident); err != nil {
		return 0, fmt.Errorf("reading /proc/self/statm: %w", err)
	}
	return resident * int64(os.Getpagesize()), nil
}
