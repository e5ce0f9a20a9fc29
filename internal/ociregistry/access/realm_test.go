package access

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestRealmOfARequest(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	forwarded := map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "outside.example.com"}
	for name, test := range map[string]struct {
		configured, remote, host string
		tls                      bool
		headers                  map[string]string
		want                     string
	}{
		"plain":                     {remote: "192.0.2.1:1", host: "r:5000", want: "http://r:5000"},
		"over TLS":                  {remote: "192.0.2.1:1", host: "r", tls: true, want: "https://r"},
		"configured":                {configured: "https://token.example.com", remote: "192.0.2.1:1", host: "r", want: "https://token.example.com"},
		"configured counts more":    {configured: "https://token.example.com", remote: "10.1.1.1:1", host: "r", headers: forwarded, want: "https://token.example.com"},
		"headers of a proxy":        {remote: "10.1.1.1:1", host: "r", headers: forwarded, want: "https://outside.example.com"},
		"of a proxy, mapped":        {remote: "[::ffff:10.1.1.1]:1", host: "r", headers: forwarded, want: "https://outside.example.com"},
		"of a proxy, IPv6":          {remote: "[fd00::1]:1", host: "r", headers: forwarded, want: "https://outside.example.com"},
		"headers of anybody":        {remote: "192.0.2.1:1", host: "r", headers: forwarded, want: "http://r"},
		"headers of who knows whom": {remote: "@", host: "r", headers: forwarded, want: "http://r"},
		"several proxies":           {remote: "10.1.1.1:1", host: "r", headers: map[string]string{"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "a.example.com, b"}, want: "https://a.example.com"},
		"only the scheme":           {remote: "10.1.1.1:1", host: "r", headers: map[string]string{"X-Forwarded-Proto": "HTTPS"}, want: "https://r"},
		"RFC 7239":                  {remote: "10.1.1.1:1", host: "r", headers: map[string]string{"Forwarded": `for=1.2.3.4; Proto=https;host="x.example.com:8443", for=10.1.1.2`}, want: "https://x.example.com:8443"},
		"RFC 7239 counts more":      {remote: "10.1.1.1:1", host: "r", headers: map[string]string{"Forwarded": "host=x", "X-Forwarded-Host": "y"}, want: "http://x"},
		"nonsense from a proxy":     {remote: "10.1.1.1:1", host: "r", headers: map[string]string{"X-Forwarded-Proto": "gopher", "X-Forwarded-Host": `x",evil="`}, want: "http://r"},
		"nonsense as host":          {remote: "192.0.2.1:1", host: `x",evil="`, want: "http://localhost"},
		"no host":                   {remote: "192.0.2.1:1", host: "", want: "http://localhost"},
	} {
		r, err := newRealm(test.configured, proxies)
		if err != nil {
			t.Fatal(err)
		}
		req := request(http.MethodGet, "/v2/", "")
		req.Host, req.RemoteAddr = test.host, test.remote
		if test.tls {
			req.TLS = &tls.ConnectionState{}
		}
		for header, value := range test.headers {
			req.Header.Set(header, value)
		}
		if got := r.of(req).url(); got != test.want+TokenPath {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add("https", "a.example.com", "for=1;proto=https;host=x", "r:5000")
	f.Add("x\"", "a b", "host=\"x\"\"", "[::1]:5000")
	f.Add("", "", ";;=;,", "\x00")
	f.Fuzz(func(t *testing.T, proto, host, forwarded, asked string) {
		r, err := newRealm("", []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})
		if err != nil {
			t.Fatal(err)
		}
		req := request(http.MethodGet, "/v2/", "")
		req.RemoteAddr, req.Host = "10.0.0.1:1", asked
		req.Header["X-Forwarded-Proto"], req.Header["X-Forwarded-Host"], req.Header["Forwarded"] = []string{proto}, []string{host}, []string{forwarded}
		e := r.of(req)
		if e.scheme != "http" && e.scheme != "https" || strings.ContainsAny(e.url(), "\"\\ \r\n,") {
			t.Fatalf("the realm is %q", e.url())
		}
		if challenge := e.bearer("", ""); strings.Count(challenge, `"`) != 4 {
			t.Fatalf("the challenge is %q", challenge)
		}
		_, _ = url.Parse(e.url())
	})
}

// The address of a client is that of the connection, or what trusted proxies say of it.
func TestClientAddress(t *testing.T) {
	r := realm{proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("::1/128")}}
	for _, test := range []struct {
		remote, want string
		forwarded    []string
	}{
		{"192.0.2.7:1234", "192.0.2.7", nil},
		{"[2001:db8::7]:1234", "2001:db8::7", nil},
		{"[::ffff:192.0.2.7]:1234", "192.0.2.7", nil},
		{"192.0.2.7:1234", "192.0.2.7", []string{"198.51.100.1"}},
		{"10.0.0.1:1234", "10.0.0.1", nil},
		{"10.0.0.1:1234", "198.51.100.1", []string{"198.51.100.1"}},
		{"10.0.0.1:1234", "198.51.100.1", []string{"203.0.113.9, 198.51.100.1"}},
		{"10.0.0.1:1234", "198.51.100.1", []string{"198.51.100.1, 10.0.0.2"}},
		{"10.0.0.1:1234", "198.51.100.1", []string{"203.0.113.9", "198.51.100.1"}},
		{"10.0.0.1:1234", "10.0.0.1", []string{"198.51.100.1, unknown"}},
		{"[::1]:1234", "2001:db8::7", []string{"2001:db8::7"}},
		{"@", "@", []string{"198.51.100.1"}},
	} {
		req := request(http.MethodGet, "/v2/", "")
		req.RemoteAddr, req.Header["X-Forwarded-For"] = test.remote, test.forwarded
		if got := r.client(req); got != test.want {
			t.Errorf("%s, %v: %s, want %s", test.remote, test.forwarded, got, test.want)
		}
	}
}
