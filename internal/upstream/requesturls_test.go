package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

func TestRequestsSayWhatLedToThem(t *testing.T) {
	content, d := layer(100)
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Write(manifestOf("x"))
			return
		}
		blobs(content)(w, r)
	}))
	r := open(t, newTestClient(t), s.host+"/a/b")
	ask := map[string]func() error{
		"/v2/a/b/manifests/x": func() error {
			_, err := r.Manifest(WithRequestURLs(t.Context(), []string{"https://edge.test/v2/x", "bad\nvalue"}), "x")
			return err
		},
		"/v2/a/b/blobs/" + d.String(): func() error {
			b, err := openBlob(WithRequestURLs(t.Context(), []string{"https://edge.test/v2/x", "bad\nvalue"}), r, d, 0)
			if err == nil {
				b.Close()
			}
			return err
		},
	}
	for path, f := range ask {
		s.reset()
		if err := f(); err != nil {
			t.Fatal(err)
		}
		for _, asked := range s.all() {
			got := asked.Header.Values(RequestURLHeader)
			want := []string{"https://edge.test/v2/x", s.URL + path}
			if asked.URL.Path == "/v2/" {
				want = nil
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s carried %q, want %q", asked.URL.Path, got, want)
			}
		}
	}
	s.reset()
	if _, err := r.Head(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	for _, asked := range s.all() {
		if asked.Header.Get(RequestURLHeader) != "" {
			t.Error("an import carries " + asked.Header.Get(RequestURLHeader))
		}
	}
}

func TestCirclesAreNotGoneIn(t *testing.T) {
	content, d := layer(100)
	s := serve(t, v2(blobs(content)))
	r := open(t, newTestClient(t), s.host+"/a/b")
	other := digest.FromString("other")
	long := strings.Split(strings.Repeat("https://x.test/v2/ ", maxRequestURLs+1), " ")[:maxRequestURLs+1]
	for name, c := range map[string]struct {
		urls []string
		code Code
	}{
		"nothing":             {nil, ""},
		"this very blob":      {[]string{"https://one.test/", "http://" + s.host + "/v2/a/b/blobs/" + d.String()}, CodeLoop},
		"by the other scheme": {[]string{"https://" + strings.ToUpper(s.host) + "/v2/a/b/blobs/" + d.String()}, CodeLoop},
		"as a manifest":       {[]string{"https://" + s.host + "/v2/a/b/manifests/" + d.String()}, CodeLoop},
		"another blob":        {[]string{"http://" + s.host + "/v2/a/b/blobs/" + other.String()}, ""},
		"another repository":  {[]string{"http://" + s.host + "/v2/a/b/c/blobs/" + d.String()}, ""},
		"another registry":    {[]string{"http://other.test/v2/a/b/blobs/" + d.String()}, ""},
		"no URL":              {[]string{"::", "%zz", ""}, ""},
		"as many as may be":   {long[:maxRequestURLs], ""},
		"too many":            {long, CodeLoop},
		"too long a one":      {[]string{"http://x.test/" + strings.Repeat("a", maxRequestURL)}, CodeLoop},
	} {
		t.Run(name, func(t *testing.T) {
			s.reset()
			b, err := openBlob(WithRequestURLs(t.Context(), c.urls), r, d, 0)
			if CodeOf(err) != c.code {
				t.Errorf("got %v, want %q", err, c.code)
			}
			if err == nil {
				b.Close()
			} else if len(s.all()) != 0 {
				t.Errorf("although refused, asked %v", s.lines())
			}
		})
	}
}

// Two that came different ways do not share an answer, one could wait for itself.
func TestChainsDoNotShareWork(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan string, 2)
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.Header.Get(RequestURLHeader)
		<-release
		w.Write(manifestOf("x"))
	}))
	r := open(t, newTestClient(t), s.host+"/a/b")
	done := make(chan error, 2)
	for _, from := range []string{"https://one.test/", "https://two.test/"} {
		go func() {
			_, err := r.Manifest(WithRequestURLs(t.Context(), []string{from}), "x")
			done <- err
		}()
	}
	first, second := <-arrived, <-arrived
	close(release)
	if first == second {
		t.Errorf("both requests came from %s", first)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestContentRange(t *testing.T) {
	for value, want := range map[string]string{
		"bytes 0-0/1":                   "{0 0 1} true",
		"bytes 5-9/10":                  "{5 9 10} true",
		"BYTES 5-9/*":                   "{5 9 -1} true",
		"bytes 5-10/10":                 "{0 0 0} false",
		"bytes 9-5/10":                  "{0 0 0} false",
		"bytes */10":                    "{0 0 0} false",
		"bytes -5-9/10":                 "{0 0 0} false",
		"bytes 5-9/-1":                  "{0 0 0} false",
		"bytes 5-9":                     "{0 0 0} false",
		"bytes 5/10":                    "{0 0 0} false",
		"items 5-9/10":                  "{0 0 0} false",
		"bytes=5-9/10":                  "{0 0 0} false",
		"bytes  5-9/10":                 "{0 0 0} false",
		"bytes +5-9/10":                 "{0 0 0} false",
		"":                              "{0 0 0} false",
		"bytes 0-9223372036854775807/*": "{0 0 0} false",
		"bytes 0-9223372036854775806/9223372036854775807": "{0 0 0} false",
		"bytes 0-99999999999999999999/*":                  "{0 0 0} false",
	} {
		r, ok := parseContentRange(value)
		if got := fmt.Sprint(r, ok); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 5-9/10", "bytes 0-0/*", "bytes */3", "bytes 5-9223372036854775806/*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r, ok := parseContentRange(value)
		if !ok {
			return
		}
		if r.first < 0 || r.last < r.first || r.size >= 0 && r.last >= r.size || r.last-r.first+1 <= 0 {
			t.Errorf("%q: %+v", value, r)
		}
		again := fmt.Sprintf("bytes %d-%d/%d", r.first, r.last, r.size)
		if r.size < 0 {
			again = fmt.Sprintf("bytes %d-%d/*", r.first, r.last)
		}
		if back, ok := parseContentRange(again); !ok || back != r {
			t.Errorf("%q reads %+v, written %q reads %+v", value, r, again, back)
		}
	})
}
