package component

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func untilEnd(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func TestFirstFailureEndsAll(t *testing.T) {
	g, failure := NewGroup(), errors.New("no more")
	fail := make(chan struct{})
	g.Start("other", untilEnd)
	g.Start("done early", func(context.Context) error { return nil })
	g.Start("broken", func(context.Context) error { <-fail; return failure })
	if err := g.Check(nil); err != nil || g.Context().Err() != nil {
		t.Fatalf("unhealthy before a failure: %v", err)
	}
	close(fail)
	<-g.Context().Done()
	if err := g.Err(); !errors.Is(err, failure) || err.Error() != "component broken failed: no more" {
		t.Errorf("failure %v", err)
	}
	if err := g.Check(nil); !errors.Is(err, failure) {
		t.Errorf("health %v, want the failure", err)
	}
	g.Stop()
	if err := g.Err(); !errors.Is(err, failure) {
		t.Errorf("after the end the failure is %v", err)
	}
}

func TestStopIsNoFailure(t *testing.T) {
	g := NewGroup()
	g.Start("waits", untilEnd)
	g.Start("breaks off", func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	g.Stop()
	g.Stop()
	if err := errors.Join(g.Err(), g.Check(nil)); err != nil {
		t.Error(err)
	}
}
