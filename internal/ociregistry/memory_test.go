package ociregistry

import (
	"context"
	"testing"
	"testing/synctest"
)

// TestMemoryIsBounded holds that requests get no more than there is, a caller no more than its
// share, and that what waits goes on when something is given back.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(100, 40)
		take := func(caller string, n int64, wait bool) (int64, bool) {
			taken, err := m.take(t.Context(), caller, n, wait)
			if err != nil && !hasCode(err, CodeTooManyRequests) {
				t.Errorf("the error is %v", err)
			}
			return taken, err == nil
		}
		if n, ok := take("a", 1000, true); !ok || n != 40 {
			t.Errorf("a share is %d, %t", n, ok)
		}
		if _, ok := take("a", 1, false); ok {
			t.Error("a caller has more than its share")
		}
		take("b", 40, true)
		if _, ok := take("c", 30, false); ok {
			t.Error("there is more than there is")
		}
		got := make(chan bool)
		go func() {
			_, ok := take("c", 30, true)
			got <- ok
		}()
		synctest.Wait()
		m.give("b", 10)
		if !<-got {
			t.Error("what was given back is not taken")
		}
		if _, ok := take("c", 10, true); ok { // after memoryWait
			t.Error("a request that waited is not refused")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.take(gone, "c", 10, true); err == nil {
			t.Error("a client that is gone gets memory")
		}
		m.give("a", 40)
		m.give("b", 30)
		m.give("c", 30)
		if m.held != 0 || len(m.by) != 0 {
			t.Errorf("%d are held by %v", m.held, m.by)
		}
	})
}
