package validation

import (
	"regexp"
	"strings"
	"testing"

	"weir.dev/weir/internal/reference"
)

func TestAllowedRegistries(t *testing.T) {
	list := func(entries ...AllowedRegistry) []AllowedRegistry { return entries }
	for name, test := range map[string]struct {
		list      []AllowedRegistry
		internal  string
		spec      string
		transport Transport
		allowed   bool
	}{
		"empty list":              {nil, "reg:5000", "any.io/x", TransportSecure, true},
		"exact":                   {list(AllowedRegistry{DomainName: "q.io"}), "", "q.io/x", TransportSecure, true},
		"case":                    {list(AllowedRegistry{DomainName: "Q.io"}), "", "q.IO/x", TransportSecure, true},
		"other host":              {list(AllowedRegistry{DomainName: "q.io"}), "", "sub.q.io/x", TransportSecure, false},
		"default port":            {list(AllowedRegistry{DomainName: "q.io"}), "", "q.io:443/x", TransportSecure, true},
		"other port":              {list(AllowedRegistry{DomainName: "q.io"}), "", "q.io:5000/x", TransportSecure, false},
		"secure entry over http":  {list(AllowedRegistry{DomainName: "q.io"}), "", "q.io/x", TransportInsecure, false},
		"insecure entry":          {list(AllowedRegistry{DomainName: "q.io", Insecure: true}), "", "q.io/x", TransportSecure, false},
		"insecure entry over 80":  {list(AllowedRegistry{DomainName: "q.io", Insecure: true}), "", "q.io/x", TransportInsecure, true},
		"any over insecure":       {list(AllowedRegistry{DomainName: "q.io", Insecure: true}), "", "q.io/x", TransportAny, true},
		"any over secure":         {list(AllowedRegistry{DomainName: "q.io"}), "", "q.io/x", TransportAny, true},
		"any with a port":         {list(AllowedRegistry{DomainName: "q.io"}), "", "q.io:8443/x", TransportAny, false},
		"star":                    {list(AllowedRegistry{DomainName: "*.q.io"}), "", "a.b.q.io/x", TransportSecure, true},
		"star needs the dot":      {list(AllowedRegistry{DomainName: "*.q.io"}), "", "q.io/x", TransportSecure, false},
		"question mark":           {list(AllowedRegistry{DomainName: "q?.io"}), "", "q1.io/x", TransportSecure, true},
		"question mark is one":    {list(AllowedRegistry{DomainName: "q?.io"}), "", "q12.io/x", TransportSecure, false},
		"everything secure":       {list(AllowedRegistry{DomainName: "*"}), "", "q.io/x", TransportSecure, true},
		"port glob":               {list(AllowedRegistry{DomainName: "q.io:*"}), "", "q.io:5000/x", TransportSecure, true},
		"port of a glob":          {list(AllowedRegistry{DomainName: "*:5000"}), "", "reg:5000/x", TransportSecure, true},
		"brackets are no pattern": {list(AllowedRegistry{DomainName: "[q].io"}), "", "q.io/x", TransportSecure, false},
		"internal":                {list(AllowedRegistry{DomainName: "q.io"}), "reg.svc:5000", "reg.svc:5000/p/s", TransportSecure, true},
		"hub left out":            {list(AllowedRegistry{DomainName: "docker.io"}), "", "busybox", TransportSecure, true},
		"hub index":               {list(AllowedRegistry{DomainName: "docker.io"}), "", "index.docker.io/library/busybox", TransportSecure, true},
		"hub contact":             {list(AllowedRegistry{DomainName: "docker.io"}), "", "registry-1.docker.io/library/busybox", TransportSecure, true},
		"hub by another name":     {list(AllowedRegistry{DomainName: "registry-1.docker.io"}), "", "busybox", TransportSecure, true},
		"hub not listed":          {list(AllowedRegistry{DomainName: "q.io"}), "", "busybox", TransportSecure, false},
	} {
		t.Run(name, func(t *testing.T) {
			allowed, err := NewAllowedRegistries(test.list, test.internal)
			if err != nil {
				t.Fatal(err)
			}
			spec, err := reference.Parse(test.spec)
			if err != nil {
				t.Fatal(err)
			}
			if err := allowed.Allowed(spec, test.transport); (err == nil) != test.allowed {
				t.Errorf("error %v, allowed should be %v", err, test.allowed)
			}
		})
	}
}

func TestAllowListMessage(t *testing.T) {
	allowed, err := NewAllowedRegistries([]AllowedRegistry{{DomainName: "q.io"}, {DomainName: "h.io", Insecure: true}, {DomainName: "q.io"}, {DomainName: "*:5000"}}, "reg:5000")
	if err != nil {
		t.Fatal(err)
	}
	got := allowed.Allowed(reference.PullSpec{Registry: "no.io:8443", Name: "x"}, TransportSecure).Error()
	want := `registry "no.io:8443" not allowed by whitelist: "q.io:443", "h.io:80", "*:5000", "reg:5000" (imports.allowedRegistries in the server's configuration)`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := allowed.Allowed(reference.PullSpec{Name: "x"}, TransportSecure).Error(); !strings.HasPrefix(got, `registry "docker.io" not allowed by whitelist: `) {
		t.Error(got)
	}
}

func TestMalformedAllowLists(t *testing.T) {
	for _, name := range []string{"", ":443", "q.io:", "q.io:http", "q.io/x", "a b", "http://q.io"} {
		if _, err := NewAllowedRegistries([]AllowedRegistry{{DomainName: name}}, ""); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{{"*", ""}, {"a*b?c", "aXXbYc"}, {"**a", "ba"}, {"?", "é"}, {"*a*a*a*b", "aaaaaaaaaaaa"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 100 || len(text) > 1000 || strings.ToValidUTF8(pattern+text, "") != pattern+text || regexp.MustCompile(`[^\x00-\x7f]`).MatchString(pattern+text) {
			return // hosts are ASCII, and short
		}
		quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		if want := regexp.MustCompile(`(?s)^` + quoted + `$`).MatchString(text); glob(pattern, text) != want {
			t.Errorf("glob(%q, %q) = %v, want %v", pattern, text, !want, want)
		}
	})
}
