package upstream

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"weir.dev/weir/internal/pullsecrets"
)

func testBudgetOptions() budgetOptions {
	return budgetOptions{DefaultOptions().Hosts, defaultBounds()}
}

func testBudget(change ...func(*budgetOptions)) *hostBudget {
	opts := testBudgetOptions()
	for _, f := range change {
		f(&opts)
	}
	return newHostBudget("host.test", opts, defaultDownloads())
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
	c := newTestClient(t, func(o *Options) { o.Hosts.Concurrency = 3 })
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
		o.Hosts.Concurrency = 1
		o.Hosts.MaxWait.Duration = 30 * time.Millisecond
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

// throttling answers 429 for an hour to some users, and to all others with a manifest.
func throttling(users ...string) http.Handler {
	return v2(func(w http.ResponseWriter, r *http.Request) {
		user, _, ok := r.BasicAuth()
		switch {
		case slices.Contains(users, user):
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		case !ok && r.Header.Get("Authorization") == "" && !strings.Contains(r.URL.Path, "/public/"):
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Write(manifestOf("x"))
		}
	})
}

func TestLongRetryAfterPausesOneLogin(t *testing.T) {
	s := serve(t, throttling("alice"))
	c := newTestClient(t)
	alice := pullsecrets.Credential{Username: "alice", Password: "wonder", Origin: "secret a/pull"}
	bob := pullsecrets.Credential{Username: "bob", Password: "builder", Origin: "secret b/pull"}
	_, err := open(t, c, s.host+"/a/b", alice).Manifest(t.Context(), "x")
	if e := wantCode(t, err, CodeTooManyRequests); e.RetryAfter != 5*time.Minute {
		t.Errorf("a pause of %s, want the bound of five minutes", e.RetryAfter)
	}
	sent := len(s.all())
	_, err = open(t, c, s.host+"/a/b", alice).Manifest(t.Context(), "y")
	e := wantCode(t, err, CodeTooManyRequests)
	if e.RetryAfter < 4*time.Minute || e.HTTPStatus != 0 || !strings.Contains(e.Text, "secret a/pull") || strings.Contains(e.Text, "wonder") {
		t.Errorf("%+v", e)
	}
	if now := len(s.all()); now != sent {
		t.Errorf("%d requests although told to wait", now-sent)
	}
	if _, err := open(t, c, s.host+"/a/b", bob).Manifest(t.Context(), "x"); err != nil {
		t.Errorf("another login: %v", err)
	}
	if _, err := open(t, c, s.host+"/public/b").Manifest(t.Context(), "x"); err != nil {
		t.Errorf("without a login: %v", err)
	}
	// The limit of one's own login does not use up that of others.
	if _, err := open(t, c, s.host+"/public/b", alice).Manifest(t.Context(), "z"); CodeOf(err) != CodeTooManyRequests {
		t.Errorf("a throttled login went on without one: %v", err)
	}
}

func TestOwnLoginIsTriedAfterASharedOneIsThrottled(t *testing.T) {
	s := serve(t, throttling("node"))
	c := newTestClient(t)
	node := pullsecrets.Credential{Username: "node", Password: "shared", Node: true, Origin: "node file x"}
	own := pullsecrets.Credential{Username: "alice", Password: "wonder", Origin: "secret a/pull"}
	if _, err := open(t, c, s.host+"/a/b", node, own).Manifest(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

func TestThrottledPingHoldsUpNothing(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		throttling().ServeHTTP(w, r)
	}))
	c := newTestClient(t)
	for _, tag := range []string{"x", "y"} {
		if _, err := open(t, c, s.host+"/a/b", pullsecrets.Credential{Username: "alice", Password: "wonder"}).Manifest(t.Context(), tag); err != nil {
			t.Error(err)
		}
	}
	pings := 0
	for _, line := range s.lines() {
		if line == "GET /v2/" {
			pings++
		}
	}
	if pings != 1 {
		t.Errorf("%d pings", pings)
	}
}

func TestRateAdapts(t *testing.T) {
	p := newPace("x", testBudgetOptions())
	limit := func() float64 {
		if l := p.limiter.Limit(); l != rate.Inf {
			return float64(l)
		}
		return 0
	}
	now := time.Now()
	p.window, p.counted = now, 40
	p.slow(now, 0)
	if limit() != 20 || !p.pause.Equal(now.Add(unsaidRetryAfter)) {
		t.Fatalf("after the first refusal: %v until %v", limit(), p.pause)
	}
	p.slow(now.Add(100*time.Millisecond), 0)
	if limit() != 20 {
		t.Errorf("one burst slowed twice: %v", limit())
	}
	now = now.Add(2 * time.Second)
	p.slow(now, 0)
	if limit() != 10 {
		t.Errorf("after the second: %v", limit())
	}
	p.recover(now.Add(500 * time.Millisecond))
	if limit() != 10 {
		t.Errorf("recovers during its pause: %v", limit())
	}
	for range 90 {
		if limit() == 0 {
			t.Error("recovers too fast")
		}
		now = now.Add(1100 * time.Millisecond)
		p.recover(now)
		p.recover(now)
	}
	if limit() != 0 {
		t.Errorf("never recovers: %v", limit())
	}
	for range 100 {
		now = now.Add(2 * time.Second)
		p.slow(now, 0)
	}
	if limit() != 0.5 {
		t.Errorf("falls below the least rate: %v", limit())
	}
}

func TestLimitedRateSpreadsTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testBudget()
		alice := &pullsecrets.Credential{Username: "alice"}
		refuse(t, h, alice, time.Second)
		take(t, h, alice).release(-1, true) // the probe
		h.paces[alice.Identity()].limiter.SetLimit(50)
		start := time.Now()
		for range 11 {
			take(t, h, alice).release(-1, false)
		}
		if since := time.Since(start); since < 180*time.Millisecond {
			t.Errorf("eleven turns at 50 a second took %s", since)
		}
		h.paces[alice.Identity()].limiter.SetLimit(0.001)
		start = time.Now()
		_, err := h.acquire(t.Context(), alice)
		if since := time.Since(start); since > 0 {
			t.Errorf("waited %s for what could not come", since)
		}
		if err == nil || err.Code != CodeTooManyRequests || err.RetryAfter < time.Minute {
			t.Errorf("a turn beyond the longest wait: %+v", err)
		}
	})
}

// take gets a turn.
func take(t *testing.T, h *hostBudget, cred *pullsecrets.Credential) *turn {
	t.Helper()
	turn, err := h.acquire(t.Context(), cred)
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

// refuse has the host ask for a pause.
func refuse(t *testing.T, h *hostBudget, cred *pullsecrets.Credential, pause time.Duration) {
	t.Helper()
	take(t, h, cred).release(pause, true)
}

func TestPauseIsOneCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testBudget(func(o *budgetOptions) { o.Concurrency = 2 })
		alice, bob, nobody := &pullsecrets.Credential{Username: "alice", Origin: "secret a/x"}, &pullsecrets.Credential{Username: "bob"}, &pullsecrets.Credential{}
		refuse(t, h, alice, 20*time.Second)
		refuse(t, h, nobody, time.Hour)
		// Requests that wait for a pause take no room from others.
		for range 5 {
			go func() {
				if turn, err := h.acquire(t.Context(), alice); err == nil {
					turn.release(-1, true)
				}
			}()
		}
		synctest.Wait()
		start := time.Now()
		for _, cred := range []*pullsecrets.Credential{bob, nil} {
			take(t, h, cred).release(-1, true)
		}
		if since := time.Since(start); since > 0 {
			t.Errorf("others waited %s", since)
		}
		_, err := h.acquire(t.Context(), nobody)
		if err == nil || err.Code != CodeTooManyRequests || err.RetryAfter != time.Hour || !strings.Contains(err.Text, "with no credentials") {
			t.Errorf("in the pause: %+v", err)
		}
		if s := h.snapshot(time.Now()); s.Paused != 2 || s.PausedFor != time.Hour || s.Rate == 0 {
			t.Errorf("snapshot %+v", s)
		}
	})
}

func TestPauseEndsWithOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testBudget()
		alice := &pullsecrets.Credential{Username: "alice"}
		refuse(t, h, alice, 10*time.Second)
		turns := make(chan *turn, 5)
		for range cap(turns) {
			go func() { turns <- take(t, h, alice) }()
		}
		only := func(when string) *turn {
			t.Helper()
			elapse(10 * time.Second)
			if len(turns) != 1 {
				t.Fatalf("%s: %d requests, want one probe", when, len(turns))
			}
			return <-turns
		}
		only("after the pause").release(5*time.Second, true) // refused again
		probe := only("after the second pause")
		probe.release(-1, false) // no answer: the next one is the probe
		synctest.Wait()
		if len(turns) != 1 {
			t.Fatalf("%d requests after a probe without an answer, want one", len(turns))
		}
		start := time.Now()
		(<-turns).release(-1, true)
		for range 2 {
			(<-turns).release(-1, true)
		}
		if since := time.Since(start); since < 500*time.Millisecond {
			t.Errorf("after the pause two requests took %s, want them spread", since)
		}
		if s := h.snapshot(time.Now()); s.Paused != 0 || s.Waiting != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

func TestProbeThatGivesUpLeavesItToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testBudget(func(o *budgetOptions) { o.Concurrency = 1 })
		alice := &pullsecrets.Credential{Username: "alice"}
		refuse(t, h, alice, time.Second)
		elapse(2 * time.Second)
		busy := take(t, h, nil)
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan *Error)
		go func() { _, err := h.acquire(ctx, alice); gone <- err }()
		synctest.Wait()
		cancel()
		if err := <-gone; err == nil || err.Code != CodeCanceled {
			t.Errorf("the probe that gave up: %v", err)
		}
		busy.release(-1, true)
		take(t, h, alice).release(-1, true)
	})
}

func TestPacesAreForgotten(t *testing.T) {
	h := testBudget()
	for i := range maxPaces + 50 {
		refuse(t, h, &pullsecrets.Credential{Username: fmt.Sprint("u", i)}, time.Hour)
		take(t, h, &pullsecrets.Credential{Username: fmt.Sprint("calm", i)}).release(-1, true)
	}
	if len(h.paces) > maxPaces {
		t.Errorf("%d paces are remembered", len(h.paces))
	}
	if last := h.paces[pullsecrets.Credential{Username: fmt.Sprint("u", maxPaces+49)}.Identity()]; last == nil {
		t.Error("the last pause is forgotten")
	}
}

func TestIdleHostsAreForgotten(t *testing.T) {
	opts := testBudgetOptions()
	opts.hosts = 3
	b := newBudgets(opts, defaultDownloads())
	get := func(host string) *turn {
		turn, err := b.acquire(t.Context(), host, &pullsecrets.Credential{})
		if err != nil {
			t.Fatal(err)
		}
		return turn
	}
	remembered := func() string {
		var hosts []string
		for _, s := range b.snapshot() {
			hosts = append(hosts, s.Host)
		}
		return fmt.Sprint(hosts)
	}
	busy := get("busy")
	get("paused").release(time.Hour, true)
	for i := range 10 {
		get(fmt.Sprint("h", i)).release(-1, true)
	}
	if got := remembered(); got != "[busy h9 paused]" {
		t.Errorf("remembered: %v", got)
	}
	for i := range 10 {
		get(fmt.Sprint("p", i)).release(time.Hour, true)
	}
	if got := remembered(); got != "[busy p8 p9]" {
		t.Errorf("remembered of paused hosts only: %v", got)
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

// elapse lets time pass in a bubble of synctest.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
