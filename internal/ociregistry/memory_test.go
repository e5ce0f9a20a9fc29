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
		take := func(user string, n int64, wait bool) (int64, bool) {
			taken, err := m.take(t.Context(), holder{user, "of " + user}, n, wait)
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
		m.give(holder{"b", "of b"}, 10)
		if !<-got {
			t.Error("what was given back is not taken")
		}
		if _, ok := take("c", 10, true); ok { // after memoryWait
			t.Error("a request that waited is not refused")
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.take(gone, holder{"c", "of c"}, 10, true); err == nil {
			t.Error("a client that is gone gets memory")
		}
		m.give(holder{"a", "of a"}, 40)
		m.give(holder{"b", "of b"}, 30)
		m.give(holder{"c", "of c"}, 30)
		if m.held != 0 || len(m.users)+len(m.namespaces) != 0 {
			t.Errorf("%d are held by %v of %v", m.held, m.users, m.namespaces)
		}
	})
}

// TestMemoryOfOneNamespace holds that a tenant with any number of accounts leaves memory to others,
// and that one client leaves some to the others of its namespace.
func TestMemoryOfOneNamespace(t *testing.T) {
	m := newMemory(120, 40)
	take := func(user, namespace string, n int64) bool {
		_, err := m.take(t.Context(), holder{user, namespace}, n, false)
		return err == nil
	}
	if !take("one", "theirs", 40) || !take("two", "theirs", 40) {
		t.Fatal("two accounts have no share each")
	}
	for _, account := range []string{"one", "three", "four"} {
		if take(account, "theirs", 10) {
			t.Errorf("account %s of the same namespace gets memory too", account)
		}
	}
	if !take("other", "ours", 40) {
		t.Error("a tenant's accounts hold all memory")
	}
	m.give(holder{"one", "theirs"}, 40)
	if !take("three", "theirs", 10) {
		t.Error("what was given back is not taken")
	}
}
