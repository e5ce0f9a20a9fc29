package upstream

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir.dev/weir/internal/pullsecrets"
)

// failureText is the text of a failed HEAD, at a server that has not been asked before.
func failureText(t *testing.T, h http.Handler) string {
	t.Helper()
	s := serve(t, h)
	c := newTestClient(t, func(o *Options) { o.bounds.ping, o.Hosts.Retries = time.Second, 0 })
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

// A user who may import must not learn from the texts which ports are open and which names
// are known within the server's network: all of this reads alike, but for servers that speak
// HTTP or TLS.
func TestFailuresWithoutAnAnswerReadAlike(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"reset": func(w http.ResponseWriter, _ *http.Request) { closeHard(t, w, "") },
		"hangs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"other": func(w http.ResponseWriter, _ *http.Request) { closeHard(t, w, "SSH-2.0-secret\r\n") },
	} {
		if text := failureText(t, h); text != `Get "http://HOST/v2/": `+unreachable {
			t.Errorf("%s: %s", name, text)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := free.Addr().String()
	free.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, at := range []string{closed, silent.Addr().String(), "no-such-name.invalid:5000"} {
		for _, insecure := range []bool{true, false} {
			c := newTestClient(t, func(o *Options) { o.bounds.ping, o.Hosts.Retries = 100*time.Millisecond, 0 })
			_, err := openAs(t, c, at+"/team/app", insecure).Head(t.Context(), "latest")
			e := wantCode(t, err, CodeUnavailable)
			if want := `Get "https://` + at + `/v2/": ` + unreachable; e.Text != want || e.Detail == "" || strings.Contains(e.Detail, "->") {
				t.Errorf("%s (%s) is told, want %s", e.Text, e.Detail, want)
			}
			if full := e.InFull().Error(); !strings.Contains(full, e.Detail) {
				t.Errorf("the log has %s", full)
			}
		}
	}
}

func TestFailuresNameWhatWouldHelp(t *testing.T) {
	plain, secure := serve(t, v2(nil)), serveTLS(t, v2(nil))
	for at, want := range map[string]string{plain.host: "importPolicy.insecure", secure.host: "--import-ca-dir"} {
		_, err := openAs(t, newTestClient(t), at+"/team/app", false).Head(t.Context(), "latest")
		if err == nil || !strings.HasPrefix(err.Error(), `Get "https://`+at+`/v2/": `) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	other := newTestClient(t, func(o *Options) { o.RootCAs = trust(secure) })
	_, port, err := net.SplitHostPort(secure.host)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openAs(t, other, "localhost:"+port+"/team/app", false).Head(t.Context(), "latest")
	if err == nil || !strings.Contains(err.Error(), "valid for other names") || strings.Contains(err.Error(), "example.com") {
		t.Errorf("a certificate for other names: %v", err)
	}
}

func TestPauseHasTheSameTextWhileItShrinks(t *testing.T) {
	h := newHostBudget("q.io", testBudgetOptions(), defaultDownloads())
	refuse(t, h, &pullsecrets.Credential{}, time.Hour)
	_, first := h.acquire(t.Context(), &pullsecrets.Credential{})
	h.paces[pullsecrets.Credential{}.Identity()].pause = time.Now().Add(time.Minute)
	_, later := h.acquire(t.Context(), &pullsecrets.Credential{})
	if first.Text != later.Text || first.RetryAfter < 59*time.Minute || later.RetryAfter > time.Minute {
		t.Errorf("%q after %s, %q after %s", first.Text, first.RetryAfter, later.Text, later.RetryAfter)
	}
}
