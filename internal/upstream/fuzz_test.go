package upstream

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer realm="https://a/t",service="s"`)
	f.Add(`Negotiate abc==, Basic realm="a\"b`)
	f.Add(`a b=c,d e="f`)
	f.Fuzz(func(t *testing.T, header string) {
		all := parseChallenges([]string{header, header})
		if len(all) > maxChallenges {
			t.Errorf("%d challenges", len(all))
		}
		for _, c := range all {
			if c.scheme == "" || c.scheme != strings.ToLower(c.scheme) || len(c.params) > maxParameters {
				t.Errorf("challenge %+v", c)
			}
		}
		if c, ok := pickChallenge(http.Header{"Www-Authenticate": {header}}); ok && c.scheme != "basic" {
			if u, err := realmURL(c.params["realm"], false); err == nil && u.Scheme != "https" {
				t.Errorf("realm %s", u)
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Sat, 21 Nov 2026 12:00:30 GMT")
	f.Add("-1")
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if d := retryAfter(value, now, time.Hour); d < 0 || d > time.Hour {
			t.Errorf("%q: %s", value, d)
		}
	})
}

func FuzzNextLink(f *testing.F) {
	f.Add(`</v2/a/tags/list?last=x>; rel="next"`)
	f.Add(`<a>; x="\",<b>; rel=next`)
	f.Add(`<<>>,<>;rel=next;`)
	f.Add(`/v2/a/tags/list?last=x; rel=next, <b?c#d`)
	f.Fuzz(func(t *testing.T, value string) {
		if n := len(linksIn(value)); n > maxLinks {
			t.Errorf("%d links", n)
		}
		query, err := nextPage([]string{value, value})
		if err == nil && query != "" && (!strings.Contains(value, "?"+query) || !visible(query) || strings.Contains(query, "#")) {
			t.Errorf("%q is not a query of %q", query, value)
		}
	})
}

func FuzzErrorAnswer(f *testing.F) {
	f.Add(404, []byte(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"x"}]}`), "secret-value")
	f.Add(401, []byte(`{"details":"incorrect username or password"}`), "dTpw")
	f.Add(500, []byte("<html>"), "x")
	f.Add(403, []byte(`{"errors":[1,{"code":2,"message":"m"},{"code":"DENIED","message":[]}],"details":{}}`), "x")
	f.Add(403, []byte(`{"errors":[{"code":"DENIED","message":"https://u:p@h/?q=secret-value Basic c2VjcmV0LXZhbHVl"}]}`), "secret-value")
	f.Fuzz(func(t *testing.T, status int, body []byte, secret string) {
		for _, kind := range []Kind{KindToken, KindManifest, KindTags} {
			e := errorOf(&answer{status: status, header: http.Header{}, body: body}, kind, time.Hour)
			text := redact(e.Text, []string{secret})
			if e.Code == "" || !utf8.ValidString(text) || len(e.Text) > maxText+8 {
				t.Errorf("code %q, text %q", e.Code, text)
			}
			if strings.ContainsAny(e.Text, "\n\r\x00\x1b") {
				t.Errorf("control characters in %q", e.Text)
			}
		}
	})
}

func FuzzTokenAnswer(f *testing.F) {
	f.Add([]byte(`{"token":"x","expires_in":300}`))
	f.Add([]byte(`{"access_token":"x","expires_in":1e309}`))
	f.Add([]byte(`{"token":1,"access_token":"x","expires_in":{}}`))
	f.Add([]byte(`{"token":7,"access_token":"x","expires_in":" 300 "}`))
	now := time.Now()
	f.Fuzz(func(t *testing.T, body []byte) {
		tok, err := parseToken(body, now)
		if err == nil && (tok.value == "" || tok.until.Before(now) || tok.until.After(now.Add(maxTokenLife))) {
			t.Errorf("token %+v", tok)
		}
	})
}
