package upstream

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testBudget(change ...func(*BudgetOptions)) *hostBudget {
	opts := BudgetOptions{}
	for _, f := range change {
		f(&opts)
	}
	return newHostBudget("host.test", opts.withDefaults(), DownloadOptions{}.withDefaults())
}

func TestConcurrencyIsBoundedPerHost(t *testing.T) {
	var inFlight, most atomic.Int32
	release := make(chan struct{})
	slow := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		now := inFlight.Add(1)
		defer inFlight.Add(-1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		<-release
		w.Write(manifestOf("x"))
	}))
	quick := serve(t, v2(func(w http.ResponseWriter, r *http.Request) { w.Write(manifestOf("x")) }))
	c := newTestClient(t, func(o *Options) { o.Budget.Concurrency = 3 })
	r := open(t, c, slow.host+"/a/b")
	var work sync.WaitGroup
	for i := range 10 {
		work.Go(func() {
			if _, err := r.Manifest(t.Context(), fmt.Sprint("t", i)); err != nil {
				t.Error(err)
			}
		})
	}
	snapshot := func() (s BudgetSnapshot) {
		for _, b := range c.Budgets() {
			if b.Host == slow.host {
				s = b
			}
		}
		return s
	}
	eventually(t, "three in flight and seven waiting", func() bool {
		s := snapshot()
		return s.InFlight == 3 && s.Waiting == 7 && s.Limit == 3 && s.Rate == 0
	})
	// Another host is not held up.
	if _, err := open(t, c, quick.host+"/a/b").Manifest(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	// A caller that gives up does not keep its place.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := r.Manifest(ctx, "late")
	wantCode(t, err, CodeUnavailable)
	eventually(t, "the place is free again", func() bool { return snapshot().Waiting == 7 })
	close(release)
	work.Wait()
	if most.Load() != 3 {
		t.Errorf("%d at once", most.Load())
	}
}

func TestWaitingIsBounded(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{}, 1)
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		w.Write(manifestOf("x"))
	}))
	c := newTestClient(t, func(o *Options) {
		o.Budget.Concurrency = 1
		o.Budget.MaxWait = 30 * time.Millisecond
	})
	r := open(t, c, s.host+"/a/b")
	done := make(chan error, 1)
	go func() { _, err := r.Manifest(t.Context(), "first"); done <- err }()
	<-arrived
	_, err := r.Manifest(t.Context(), "second")
	e := wantCode(t, err, CodeTooManyRequests)
	if e.HTTPStatus != 0 || e.Text != "too many requests to "+s.host+" are waiting" {
		t.Errorf("%+v", e)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLongRetryAfterPausesTheHostOnly(t *testing.T) {
	var asked atomic.Int32
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	other := serve(t, v2(func(w http.ResponseWriter, r *http.Request) { w.Write(manifestOf("x")) }))
	c := newTestClient(t)
	r := open(t, c, s.host+"/a/b")
	_, err := r.Manifest(t.Context(), "x")
	wantCode(t, err, CodeTooManyRequests)
	_, err = r.Manifest(t.Context(), "y")
	e := wantCode(t, err, CodeTooManyRequests)
	if e.RetryAfter < 100*time.Second || e.HTTPStatus != 0 {
		t.Errorf("%+v", e)
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times although told to wait", asked.Load())
	}
	if _, err := open(t, c, other.host+"/a/b").Manifest(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

func TestRateAdapts(t *testing.T) {
	h := testBudget()
	now := time.Now()
	h.window, h.counted = now, 40
	h.inFlight = 1
	h.slow(now, 0)
	if s := h.snapshot(now); s.Rate != 20 || s.PausedFor != unsaidRetryAfter {
		t.Fatalf("after the first refusal: %+v", s)
	}
	h.slow(now.Add(100*time.Millisecond), 0)
	if s := h.snapshot(now); s.Rate != 20 {
		t.Errorf("one burst slowed twice: %+v", s)
	}
	now = now.Add(2 * time.Second)
	h.slow(now, 0)
	if s := h.snapshot(now); s.Rate != 10 {
		t.Errorf("after the second: %+v", s)
	}
	h.recover(now.Add(500 * time.Millisecond))
	if s := h.snapshot(now); s.Rate != 10 {
		t.Errorf("recovers during its pause: %+v", s)
	}
	for range 90 {
		if h.snapshot(now).Rate == 0 {
			t.Error("recovers too fast")
		}
		now = now.Add(1100 * time.Millisecond)
		h.recover(now)
		h.recover(now)
	}
	if s := h.snapshot(now); s.Rate != 0 {
		t.Errorf("never recovers: %+v", s)
	}
	for range 100 {
		now = now.Add(2 * time.Second)
		h.slow(now, 0)
	}
	if s := h.snapshot(now); s.Rate != 0.5 {
		t.Errorf("falls below the least rate: %+v", s)
	}
}

func TestLimitedRateSpreadsTurns(t *testing.T) {
	h := testBudget()
	h.pace.SetLimit(100)
	start := time.Now()
	for range 11 {
		if err := h.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.release(-1, false)
	}
	if since := time.Since(start); since < 90*time.Millisecond {
		t.Errorf("eleven turns at 100 a second took %s", since)
	}
	h.pace.SetLimit(0.001)
	start = time.Now()
	err := h.acquire(t.Context())
	if since := time.Since(start); since > 10*time.Second {
		t.Errorf("waited %s for what could not come", since)
	}
	if err == nil || err.Code != CodeTooManyRequests || err.RetryAfter < time.Minute {
		t.Errorf("a turn beyond the longest wait: %+v", err)
	}
}

func TestIdleHostsAreForgotten(t *testing.T) {
	b := newBudgets(BudgetOptions{Hosts: 3}.withDefaults(), DownloadOptions{}.withDefaults())
	turn := func(host string) *hostBudget {
		h, err := b.acquire(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	busy := turn("busy")
	turn("paused").release(time.Hour, true)
	for i := range 10 {
		turn(fmt.Sprint("h", i)).release(-1, true)
	}
	var hosts []string
	for _, s := range b.snapshot() {
		hosts = append(hosts, s.Host)
	}
	if fmt.Sprint(hosts) != "[busy h9 paused]" {
		t.Errorf("remembered: %v", hosts)
	}
	busy.release(-1, true)
}

func TestRetryAfterParsing(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-7": 0, "7.5": 0, "soon": 0, "3601": time.Hour,
		"18446744073709551615": time.Hour, "99999999999999999999999": time.Hour,
		"Sat, 21 Nov 2026 12:00:30 GMT":    30 * time.Second,
		"Sat, 21 Nov 2026 11:00:30 GMT":    0,
		"Sat, 21 Nov 2099 11:00:30 GMT":    time.Hour,
		"Saturday, 21-Nov-26 12:01:00 GMT": time.Minute,
	} {
		if got := retryAfter(value, now, time.Hour); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
