package upstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNextPage(t *testing.T) {
	const unreadable = "error"
	for in, want := range map[string]string{
		`</v2/a/tags/list?last=x&n=1>; rel="next"`: "last=x&n=1",
		`<?u>; rel=next`:    "u",
		`<?u>; rel='next'`:  "u",
		`<?u>;rel = "NEXT"`: "u",
		`<?u>; title="a, b <c>; rel=prev"; rel="first NEXT"`: "u",
		`<?p>; rel="prev", <?n>; rel="next"`:                 "n",
		`<?u>; rel="prev"`:                                   "",
		`<style.css>; rel=preload; as=style`:                 "",
		// Targets of another host, port, scheme or path: the query counts.
		`<https://other.test:8443/x/y?last=x#z>; rel="next"`: "last=x",
		// As some write it.
		`/v2/a/tags/list?next_page=abc&n=2; rel="next"`: "next_page=abc&n=2",
		`/a?p; rel="prev", /a?n; rel="next"`:            "n",
		`</a?last=x; rel="next"`:                        "last=x",
		`</a?last=x>`:                                   "last=x",
		`/a?last=x`:                                     "last=x",
		`<https://%zz/?last=x>; rel="next"`:             "last=x",
		// What cannot be followed is not the end.
		`</v2/a/tags/list>; rel="next"`: unreadable,
		`<>; rel="next"`:                unreadable,
		`nonsense`:                      unreadable,
		"<?a b>; rel=next":              unreadable,
		strings.Repeat("x", maxLinkBytes) + "<?u>;rel=next": unreadable,
		``: "",
	} {
		got, err := nextPage([]string{in})
		if err != nil {
			got = unreadable
		}
		if got != want {
			t.Errorf("%.60s: %q, want %q", in, got, want)
		}
	}
	if got, err := nextPage([]string{`<?p>; rel="prev"`, `<?n>; rel="next"`}); got != "n" || err != nil {
		t.Errorf("in two headers: %q, %v", got, err)
	}
}

// tagServer serves the tags in pages of the size that it is asked for, if it likes that.
func tagServer(tags []string, refuse func(n int) (status int, code string), link bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		if status, code := refuse(n); status != 0 {
			w.WriteHeader(status)
			if code != "" {
				fmt.Fprintf(w, `{"errors":[{"code":%q}]}`, code)
			}
			return
		}
		rest := tags
		if last := r.URL.Query().Get("last"); last != "" {
			rest = tags[slices.Index(tags, last)+1:]
		}
		if n > 0 && n < len(rest) {
			rest = rest[:n]
			if link {
				w.Header().Set("Link", fmt.Sprintf(`<?n=%d&last=%s>; rel="next"`, n, rest[n-1]))
			}
		}
		json.NewEncoder(w).Encode(tagPage{Tags: rest})
	}
}

// A registry that does not like the page size is asked for less; one that does not like
// something else is not asked again.
func TestTagPageSizeIsSteppedBack(t *testing.T) {
	var tags []string
	for i := range 250 {
		tags = append(tags, fmt.Sprintf("t%03d", i))
	}
	above := func(most, status int, code string) func(int) (int, string) {
		return func(n int) (int, string) {
			if n > most {
				return status, code
			}
			return 0, ""
		}
	}
	for name, c := range map[string]struct {
		refuse func(int) (int, string)
		asked  int
		code   Code
	}{
		"nothing":                   {above(1000, 400, ""), 1, ""},
		"PAGINATION_NUMBER_INVALID": {above(100, 400, "PAGINATION_NUMBER_INVALID"), 4, ""},
		"TOO_MANY_TAGS_REQUESTED":   {above(100, 400, "TOO_MANY_TAGS_REQUESTED"), 4, ""},
		"422":                       {above(100, 422, ""), 4, ""},
		"500":                       {above(100, 500, ""), 4, ""},
		"any number":                {above(0, 400, "UNSUPPORTED"), 3, ""},
		"any number, with 404":      {above(0, 404, ""), 3, ""},
		"everything":                {above(-1, 400, "UNSUPPORTED"), 3, CodeProtocol},
		"an unknown repository":     {above(-1, 404, "NAME_UNKNOWN"), 1, CodeNameUnknown},
		"for want of a login":       {above(-1, 403, "DENIED"), 1, CodeDenied},
		"for the rate":              {above(-1, 429, ""), 1, CodeTooManyRequests},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, v2(tagServer(tags, c.refuse, true)))
			got, err := open(t, newTestClient(t, func(o *Options) { o.Hosts.Retries = 0 }), s.host+"/a/b").Tags(t.Context())
			if c.code != "" {
				wantCode(t, err, c.code)
			} else if diff := cmp.Diff(tags, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			asked := slices.DeleteFunc(s.lines(), func(line string) bool { return line == "GET /v2/" })
			if len(asked) != c.asked {
				t.Errorf("%d requests, want %d", len(asked), c.asked)
			}
		})
	}
}

// A full page without a Link may not be the last, for the header is optional.
func TestFullPageWithoutLinkGoesOn(t *testing.T) {
	var tags []string
	for i := range 2000 {
		tags = append(tags, fmt.Sprintf("t%04d", i))
	}
	anything := func(int) (int, string) { return 0, "" }
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    int
		code    Code
	}{
		"more behind it": {tagServer(tags, anything, false), 2000, ""},
		"nothing behind": {tagServer(tags[:1000], anything, false), 1000, ""},
		"last not known": {func(w http.ResponseWriter, r *http.Request) {
			r.URL.RawQuery = "n=1000"
			tagServer(tags[:1000], anything, false)(w, r)
		}, 1000, ""},
		"last refused": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("last") {
				w.WriteHeader(400)
				return
			}
			tagServer(tags[:1000], anything, false)(w, r)
		}, 1000, ""},
		"broken in the middle": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("last") {
				w.WriteHeader(500)
				return
			}
			tagServer(tags[:1000], anything, false)(w, r)
		}, 0, CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, v2(c.handler))
			got, err := open(t, newTestClient(t), s.host+"/a/b").Tags(t.Context())
			if c.code != "" {
				wantCode(t, err, c.code)
			} else if err != nil || !slices.Equal(got, tags[:c.want]) {
				t.Errorf("%d tags, %v", len(got), err)
			}
		})
	}
}

func TestTagsFollowPages(t *testing.T) {
	var base string
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		switch last := r.URL.Query().Get("last"); last {
		case "":
			if r.URL.Query().Get("n") != "1000" {
				t.Errorf("asked for %s", r.URL)
			}
			w.Header().Set("Link", `</prefix/v2/other/tags/list?last=b&n=1000>; rel="next"`)
			fmt.Fprint(w, `{"tags":["a","b","","../x","`+strings.Repeat("t", 129)+`"]}`)
		case "b":
			w.Header().Set("Link", `<`+base+`/v2/a/b/tags/list?last=c>; rel="next"`)
			fmt.Fprint(w, `{"tags":null}`)
		default:
			fmt.Fprint(w, `{"tags":["c"]}`)
		}
	}))
	base = s.URL
	got, err := open(t, newTestClient(t), s.host+"/a/b").Tags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "", "c"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, r := range s.all() {
		if r.URL.Path != "/v2/" && r.URL.Path != "/v2/a/b/tags/list" {
			t.Errorf("asked %s", r.URL.Path)
		}
	}
}

func TestHostileTagLists(t *testing.T) {
	page := 0
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		code    Code
		limit   func(*Options)
	}{
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			page++
			w.Header().Set("Link", fmt.Sprintf(`<?last=%d>; rel="next"`, page))
			fmt.Fprintf(w, `{"tags":["t%d"]}`, page)
		}, CodeTooLarge, func(o *Options) { o.bounds.tagPages = 20 }},
		"many": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"tags":["t"%s]}`, strings.Repeat(`,"t"`, 200))
		}, CodeTooLarge, func(o *Options) { o.Limits.TagListLength = 200 }},
		"loop": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `<?last=x>; rel="next"`)
			fmt.Fprint(w, `{"tags":["t"]}`)
		}, CodeProtocol, nil},
		"large page": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"tags":["%s"]}`, strings.Repeat("x", 9<<20))
		}, CodeTooLarge, nil},
		"no JSON": {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") }, CodeProtocol, nil},
		"numbers": {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"tags":[1]}`) }, CodeProtocol, nil},
		"a next page without a word": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", `</v2/a/b/tags/list>; rel="next"`)
			fmt.Fprint(w, `{"tags":["t"]}`)
		}, CodeProtocol, nil},
		"a next page that is refused": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("last") {
				w.WriteHeader(400)
				return
			}
			w.Header().Set("Link", `<?last=x>; rel="next"`)
			fmt.Fprint(w, `{"tags":["t"]}`)
		}, CodeProtocol, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, v2(tt.handler))
			_, err := open(t, newTestClient(t, func(o *Options) {
				if tt.limit != nil {
					tt.limit(o)
				}
			}), s.host+"/a/b").Tags(t.Context())
			wantCode(t, err, tt.code)
		})
	}
}
