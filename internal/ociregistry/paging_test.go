package ociregistry

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	all := []string{"a", "b", "c", "d"}
	for _, c := range []struct {
		query string
		want  []string
		more  bool
	}{
		{"", all, false},
		{"n=2", all[:2], true},
		{"n=4", all, false},
		{"n=40", all, false},
		{"n=0", []string{}, false},
		{"n=2&last=b", all[2:], false},
		{"n=1&last=b", all[2:3], true},
		{"last=c", all[3:], false},
		{"last=bb", all[2:], false},
		{"last=z", []string{}, false},
		{"n=5&last=", all, false},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		p, err := parsePage(query, -1)
		if err != nil {
			t.Errorf("%q: %v", c.query, err)
			continue
		}
		got, more := p.cut(all)
		if !slices.Equal(got, c.want) || more != c.more {
			t.Errorf("%q is %v, more %v; not %v, %v", c.query, got, more, c.want, c.more)
		}
	}
	for _, n := range []string{"n=", "n=-1", "n=x", "n=1.5", "n=99999999999999999999"} {
		query, _ := url.ParseQuery(n)
		if _, err := parsePage(query, -1); !hasCode(err, CodeUnsupported) {
			t.Errorf("%q: %v", n, err)
		}
	}
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
