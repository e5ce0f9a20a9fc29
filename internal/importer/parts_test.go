package importer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/upstream"
)

func TestForeignText(t *testing.T) {
	for text, secret := range map[string]string{
		"Get https://user:hunter2@q.io/v2/: refused":              "hunter2",
		"Get https://cdn.io/x?X-Amz-Signature=abcdef0123&a=b":     "abcdef0123",
		"Authorization: Bearer eyJhbGciOi.payload.sig-nature":     "eyJhbGciOi",
		`sent {"access_token": "deadbeefcafe"}`:                   "deadbeefcafe",
		"password=correct-horse":                                  "correct-horse",
		"authorization basic dXNlcjpodW50ZXIy is not good enough": "dXNlcjpodW50ZXIy",
	} {
		if got := foreignText(text); strings.Contains(got, secret) {
			t.Errorf("%q still has its secret: %q", text, got)
		}
	}
	for _, plain := range []string{"no basic auth credentials", "incorrect username or password", "denied: requested access to the resource is denied"} {
		if got := foreignText(plain); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
	}
	if got := foreignText("two\nlines\x00and \xff bytes"); strings.ContainsAny(got, "\n\x00") || !utf8.ValidString(got) {
		t.Errorf("got %q", got)
	}
	if got := foreignText(strings.Repeat("é", 100_000)); len(got) > maxForeignText+4 || !utf8.ValidString(got) {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzForeignText(f *testing.F) {
	f.Add("a://b:c@d?token=e", 10)
	f.Fuzz(func(t *testing.T, text string, repeat int) {
		got := foreignText(strings.Repeat(text, max(0, min(repeat, 1000))))
		// Blanking may add to the length, so the bound is checked with its ellipsis.
		if len(got) > maxForeignText+len("…") || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r") {
			t.Errorf("%q", got)
		}
	})
}

func TestContentCacheIsBoundedInBytes(t *testing.T) {
	c := newRemembered(nil, 64*1024).content
	key := func(path string, n int) contentKey {
		return contentKey{repository: repositoryKey{host: "h", path: path}, digest: digest.FromString(fmt.Sprint(n))}
	}
	body := content{bytes: make([]byte, 512)}
	for n := range 200 {
		c.Add(key("p", n), body)
		if c.Bytes() > 64*1024 {
			t.Fatalf("after %d entries: %d bytes", n, c.Bytes())
		}
	}
	if _, ok := c.Get(key("p", 199)); !ok {
		t.Error("the newest entry is gone")
	}
	if _, ok := c.Get(key("p", 0)); ok {
		t.Error("the oldest entry is there")
	}
	c.Add(key("p", 200), content{bytes: make([]byte, 4096)})
	if _, ok := c.Get(key("p", 200)); ok {
		t.Error("content that would drive out much else was kept")
	}
	if _, ok := c.Get(key("q", 199)); ok {
		t.Error("another repository has the content")
	}
}

func TestForEach(t *testing.T) {
	var running, peak, done atomic.Int32
	err := forEach(t.Context(), 100, 7, "x", func(i int) error {
		n := running.Add(1)
		defer running.Add(-1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		done.Add(1)
		return nil
	})
	if err != nil || done.Load() != 100 || peak.Load() > 7 {
		t.Errorf("%d done, %d at once, %v", done.Load(), peak.Load(), err)
	}
	for range 50 {
		err = forEach(t.Context(), 100, 7, "x", func(i int) error {
			if i >= 5 && i%2 == 1 {
				return fmt.Errorf("%d", i)
			}
			return nil
		})
		if err == nil || err.Error() != "5" {
			t.Fatalf("error %v, want that of the lowest index", err)
		}
	}
	done.Store(0)
	if err := forEach(t.Context(), 100, 1, "x", func(int) error { done.Add(1); return errDefect }); err == nil || done.Load() != 1 {
		t.Errorf("%d pieces of work were started, the first of which failed", done.Load())
	}
	if err := forEach(t.Context(), 1, 1, "x", func(int) error { panic("here") }); !errors.Is(err, errDefect) {
		t.Errorf("panic became %v", err)
	}
}

func TestMemo(t *testing.T) {
	var m memo[string, int]
	ctx := context.Background()
	runs := 0
	for range 3 {
		v, err := m.do(ctx, "a", func() (int, error) { runs++; return 7, nil })
		if v != 7 || err != nil || runs != 1 {
			t.Fatalf("%d, %v after %d runs", v, err, runs)
		}
	}
	started, release := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		first <- guard(ctx, "x", func() error {
			_, err := m.do(ctx, "b", func() (int, error) { close(started); <-release; panic("in the work") })
			return err
		})
	}()
	<-started
	cancelled, cancel := context.WithCancelCause(ctx)
	cancel(errOutOfTime)
	if _, err := m.do(cancelled, "b", nil); !errors.Is(err, errOutOfTime) {
		t.Errorf("a waiter whose time is up got %v", err)
	}
	close(release)
	if _, err := m.do(ctx, "b", nil); !errors.Is(err, errDefect) {
		t.Errorf("a waiter on work that panics got %v", err)
	}
	if err := <-first; !errors.Is(err, errDefect) {
		t.Errorf("the panicking caller got %v", err)
	}
}

func TestSlots(t *testing.T) {
	s := newSlots(1)
	release, err := s.acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.acquire(t.Context(), "b")
	if err != nil {
		t.Fatalf("a busy host holds up another: %v", err)
	}
	over, cancel := context.WithCancelCause(context.Background())
	cancel(errOutOfTime)
	if _, err := s.acquire(over, "a"); !errors.Is(err, errOutOfTime) {
		t.Errorf("got %v", err)
	}
	release()
	other()
	if release, err = s.acquire(t.Context(), "a"); err != nil {
		t.Fatalf("room was not given back: %v", err)
	}
	release()
	if len(s.all) != 0 {
		t.Errorf("%d slots are lost", len(s.all))
	}
}

func TestRetryClasses(t *testing.T) {
	for code, want := range map[upstream.Code]Retry{
		upstream.CodeManifestUnknown: RetryLater, upstream.CodeNameUnknown: RetryLater, upstream.CodeBlobUnknown: RetryLater,
		upstream.CodeUnauthorized: RetryLater, upstream.CodeBadCredentials: RetryLater, upstream.CodeDenied: RetryLater,
		upstream.CodeIntegrity: RetryLater, upstream.CodeTooLarge: RetryLater, upstream.CodeProtocol: RetryLater,
		upstream.CodeTooManyRequests: RetrySoon, upstream.CodeUnavailable: RetrySoon, upstream.CodeCanceled: RetrySoon,
		upstream.CodeBlocked: RetryNever, upstream.CodeName: RetryNever, upstream.CodeForbiddenAddress: RetryNever,
	} {
		if got := outcomeOf(t.Context(), "x:1", &upstream.Error{Code: code}); got.retry != want {
			t.Errorf("%s: %s, want %s", code, got.retry, want)
		}
	}
	if RetryNever.String()+RetryLater.String()+RetrySoon.String() != "neverlatersoon" {
		t.Error("names of classes")
	}
}
