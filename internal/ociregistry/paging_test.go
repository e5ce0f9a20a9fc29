package ociregistry

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	for text, want := range map[string]page{
		"": {n: -1}, "n=2": {n: 2}, "n=0": {}, "n=2&last=b": {n: 2, last: "b"}, "last=c": {n: -1, last: "c"}, "n=5&last=": {n: 5},
	} {
		query, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parsePage(query, -1); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, n := range []string{"n=", "n=-1", "n=x", "n=1.5", "n=99999999999999999999"} {
		query, _ := url.ParseQuery(n)
		if _, err := parsePage(query, -1); !hasCode(err, CodeUnsupported) {
			t.Errorf("%q: %v", n, err)
		}
	}
}

// cut takes the page out of a sorted list, as a directory does.
func (p page) cut(sorted []string) (entries []string, more bool) {
	if p.last != "" {
		i, found := slices.BinarySearch(sorted, p.last)
		if found {
			i++
		}
		sorted = sorted[i:]
	}
	if p.n < 0 || p.n >= len(sorted) {
		return sorted, false
	}
	return sorted[:p.n], p.n > 0
}

// FuzzLink holds that following links visits every entry once, in order, whatever they
// are called and however long pages are.
func FuzzLink(f *testing.F) {
	f.Add("a b c", 2)
	f.Add("a&b=c <x> \"y\"; rel=next #%zz", 1)
	f.Fuzz(func(t *testing.T, words string, n int) {
		if n <= 0 || n > 100 {
			return
		}
		all := strings.Fields(words)
		slices.Sort(all)
		all = slices.Compact(all)
		var seen []string
		target := "/v2/x/tags/list?n=" + url.QueryEscape(itoa(n))
		for range len(all) + 1 {
			u, err := url.Parse(target)
			if err != nil {
				t.Fatalf("the link %q: %v", target, err)
			}
			p, err := parsePage(u.Query(), -1)
			if err != nil {
				t.Fatalf("the link %q: %v", target, err)
			}
			entries, more := p.cut(all)
			seen = append(seen, entries...)
			if !more {
				break
			}
			h := http.Header{}
			p.link(h, "/v2/x/tags/list", entries[len(entries)-1])
			value, ok := strings.CutSuffix(h.Get("Link"), `>; rel="next"`)
			if !ok || value[0] != '<' || strings.ContainsAny(value[1:], "<> \"") {
				t.Fatalf("the header is %q", h.Get("Link"))
			}
			target = value[1:]
		}
		if !slices.Equal(seen, all) {
			t.Fatalf("pages of %d have %q, not %q", n, seen, all)
		}
	})
}

func itoa(n int) string { return strings.TrimPrefix(uploadRange(int64(n)+1), "0-") }
