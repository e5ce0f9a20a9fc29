package manager_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/controller/imageimport"
	"weir.dev/weir/internal/controller/manager"
	"weir.dev/weir/internal/controller/schedule"
	"weir.dev/weir/internal/testenv"
)

var env *testenv.Env

func TestMain(m *testing.M) { os.Exit(testenv.Run(m, func(e *testenv.Env) { env = e })) }

func TestSelection(t *testing.T) {
	all := []string{manager.Import, manager.Schedule, manager.History}
	for _, c := range []struct {
		flag     string
		on       []string
		mistaken bool
	}{
		{flag: "*", on: all},
		{flag: "*,-import", on: all[1:]},
		{flag: "import", on: all[:1]},
		{flag: "-schedule,import", on: all[:1]},
		{flag: "none"},
		{flag: "none,import", mistaken: true},
		{flag: "*,-imports", mistaken: true},
	} {
		s := manager.Selection(strings.Split(c.flag, ","))
		err := errors.Join(s.Validate()...)
		if (err != nil) != c.mistaken || err != nil && !strings.Contains(err.Error(), "--controllers") {
			t.Errorf("%s: %v, want a mistake that names the flag: %t", c.flag, err, c.mistaken)
		}
		if err != nil {
			continue
		}
		var on []string
		for _, name := range manager.Names() {
			if s.Runs(name) {
				on = append(on, name)
			}
		}
		if fmt.Sprint(on) != fmt.Sprint(c.on) {
			t.Errorf("%s runs %v, want %v", c.flag, on, c.on)
		}
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := manager.New(env.Config, manager.Options{
		Controllers: manager.Selection{"imports"}, Import: imageimport.DefaultOptions(), Schedule: schedule.Options{},
		Election: manager.Election{Enabled: true},
	})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"--controllers", "schedule.workers", "identity"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

// candidates count those of several processes that work at the same time.
type candidates struct {
	mu      sync.Mutex
	working []string
	began   chan string
}

func (c *candidates) work(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		c.mu.Lock()
		c.working = append(c.working, name)
		c.mu.Unlock()
		c.began <- name
		<-ctx.Done()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.working = c.working[1:]
		return nil
	}
}

// only checks that one alone works.
func (c *candidates) only(t *testing.T, name string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.working) != 1 || c.working[0] != name {
		t.Errorf("%q work, want %s alone", c.working, name)
	}
}

// election has short times.
func election(t *testing.T, identity string) manager.Election {
	e := manager.DefaultElection(identity)
	e.Name, e.LeaseDuration, e.RenewDeadline, e.RetryPeriod = strings.ToLower(t.Name()), 3*time.Second, 2*time.Second, 100*time.Millisecond
	return e
}

// begin applies for the Lease until the returned function is called, which waits for the end.
func begin(t *testing.T, e manager.Election, work func(context.Context) error) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Lead(ctx, env.Kube, work) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestOneProcessWorks(t *testing.T) {
	c := &candidates{began: make(chan string, 10)}
	endA := begin(t, election(t, "a"), c.work("a"))
	defer endA()
	if first := <-c.began; first != "a" {
		t.Fatal(first)
	}
	endB := begin(t, election(t, "b"), c.work("b"))
	defer endB()
	c.only(t, "a")
	endA()
	if next := <-c.began; next != "b" {
		t.Fatal(next)
	}
	c.only(t, "b")
}

// A process that loses the Lease ends its work, and begins again once it can have the Lease.
func TestALostLeaseEndsTheWork(t *testing.T) {
	e, c := election(t, "a"), &candidates{began: make(chan string, 10)}
	end := begin(t, e, c.work("a"))
	defer end()
	<-c.began
	leases := env.Kube.CoordinationV1().Leases(e.Namespace)
	testenv.Eventually(t, "the Lease to be taken over", func() error {
		lease, err := leases.Get(t.Context(), e.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		lease.Spec.HolderIdentity = new("b")
		_, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{})
		return err
	})
	if again := <-c.began; again != "a" {
		t.Fatal(again)
	}
	c.only(t, "a")
}

func TestAFailureOfTheWorkIsTheEnd(t *testing.T) {
	failure := errors.New("no more")
	for name, e := range map[string]manager.Election{"with a Lease": election(t, "a"), "without": {}} {
		if err := e.Lead(t.Context(), env.Kube, func(context.Context) error { return failure }); !errors.Is(err, failure) {
			t.Errorf("%s: %v, want the failure", name, err)
		}
	}
}
