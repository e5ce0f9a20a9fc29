package upstream

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// failureText is the text of a failed HEAD, at a server that has not been asked before.
func failureText(t *testing.T, h http.Handler) string {
	t.Helper()
	s := serve(t, h)
	c := newTestClient(t, func(o *Options) { o.Timeouts.Ping, o.Budget.Retries = time.Second, -1 })
	_, err := open(t, c, s.host+"/team/app").Head(context.Background(), "latest")
	if err == nil {
		t.Fatal("no failure")
	}
	return strings.ReplaceAll(err.Error(), s.host, "HOST")
}

// closeHard ends the connection of a request with a reset, after some bytes.
func closeHard(t *testing.T, w http.ResponseWriter, first string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = conn.Write([]byte(first))
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func TestSameFailureHasTheSameText(t *testing.T) {
	reset := v2(func(w http.ResponseWriter, _ *http.Request) { closeHard(t, w, "") })
	text := failureText(t, reset)
	if text != "read tcp HOST: read: connection reset by peer" {
		t.Errorf("failure reads %q, want one without this side's port", text)
	}
	if again := failureText(t, reset); again != text {
		t.Errorf("the same failure reads %q, then %q", text, again)
	}
}

func TestPauseHasTheSameTextWhileItShrinks(t *testing.T) {
	h := newHostBudget("q.io", BudgetOptions{}.withDefaults(), DownloadOptions{}.withDefaults())
	refuse(t, h, &Credential{}, time.Hour)
	_, first := h.acquire(t.Context(), &Credential{})
	h.paces[Credential{}.identity()].pause = time.Now().Add(time.Minute)
	_, later := h.acquire(t.Context(), &Credential{})
	if first.Text != later.Text || first.RetryAfter < 59*time.Minute || later.RetryAfter > time.Minute {
		t.Errorf("%q after %s, %q after %s", first.Text, first.RetryAfter, later.Text, later.RetryAfter)
	}
}

// The failed attempt to speak https says nothing about a registry that speaks http.
func TestFailureOfPlainRegistryIsThatOfHTTP(t *testing.T) {
	text := failureText(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	if text != "timed out" {
		t.Errorf("a registry that hangs fails with %q", text)
	}
	text = failureText(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { closeHard(t, w, "SSH-2.0-x\r\n") }))
	if !strings.Contains(text, "malformed HTTP") {
		t.Errorf("a server that speaks no HTTP fails with %q", text)
	}
}
