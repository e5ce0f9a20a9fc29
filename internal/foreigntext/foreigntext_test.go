package foreigntext

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                        "plain",
		"two\nlines\t and\x00 bytes":   "two lines and bytes",
		"bad \xff byte":                "bad byte",
		"https://u:p@h/p?sig=1 failed": "https://h/p failed",
		"sent Bearer abcdefgh.ijk":     "sent Bearer [redacted]",
		"über und über zu lang für 24": "über und über zu lang …",
	} {
		if got := Clean(text, 24); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("https://user:secret@host/path?query=secret", 10)
	f.Add("a\u2028b\x1b[31m", 100)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = max(0, n%1000)
		got := Clean(text, n)
		if !utf8.ValidString(got) || len(got) > n+len("…") || strings.ContainsAny(got, "\n\r\x00\x1b") {
			t.Errorf("Clean(%q, %d) = %q", text, n, got)
		}
	})
}
