package access

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// realm determines the token endpoint of a request.
type realm struct {
	configured *endpoint
	proxies    []netip.Prefix
}

// endpoint is a scheme and host under which a client reaches the registry.
type endpoint struct{ scheme, host string }

// newRealm takes scheme://host[:port], or "" for the host of each request.
func newRealm(configured string, proxies []netip.Prefix) (realm, error) {
	r := realm{proxies: proxies}
	if configured == "" {
		return r, nil
	}
	u, err := url.Parse(configured)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !validHost(u.Host) || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return realm{}, fmt.Errorf("the token realm %q must be a scheme and a host such as https://registry.example.com, without path, query and fragment", configured)
	}
	r.configured = &endpoint{u.Scheme, u.Host}
	return r, nil
}

// of returns the endpoint for the client of a request.
func (r realm) of(req *http.Request) endpoint {
	if r.configured != nil {
		return *r.configured
	}
	e := endpoint{"http", req.Host}
	if req.TLS != nil {
		e.scheme = "https"
	}
	if r.trusts(req.RemoteAddr) {
		e = e.forwarded(req.Header)
	}
	if !validHost(e.host) {
		e.host = "localhost"
	}
	return e
}

// trusts reports whether a connection comes from a trusted proxy.
func (r realm) trusts(remote string) bool {
	if len(r.proxies) == 0 {
		return false
	}
	from, err := netip.ParseAddrPort(remote)
	return err == nil && r.isProxy(from.Addr().Unmap())
}

func (r realm) isProxy(address netip.Addr) bool {
	return slices.ContainsFunc(r.proxies, func(p netip.Prefix) bool { return p.Contains(address) })
}

// client returns the address of a request's client, without port. Each proxy appends the address
// of its peer to X-Forwarded-For: the client is the last address that is not a trusted proxy.
// Entries before it are not trustworthy.
func (r realm) client(req *http.Request) string {
	from, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return req.RemoteAddr
	}
	client := from.Addr().Unmap()
	hops := strings.Split(strings.Join(req.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && r.isProxy(client); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = hop.Unmap()
	}
	return client.String()
}

// forwarded returns the endpoint with the scheme and host from proxy headers, if they are set.
// With several proxies, the first entry is that of the proxy next to the client. Forwarded
// (RFC 7239) takes precedence over X-Forwarded-*.
func (e endpoint) forwarded(h http.Header) endpoint {
	proto, host := first(h.Get("X-Forwarded-Proto")), first(h.Get("X-Forwarded-Host"))
	for pair := range strings.SplitSeq(first(h.Get("Forwarded")), ";") {
		name, value, _ := strings.Cut(pair, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "proto":
			proto = value
		case "host":
			host = value
		}
	}
	if proto = strings.ToLower(proto); proto == "http" || proto == "https" {
		e.scheme = proto
	}
	if validHost(host) {
		e.host = host
	}
	return e
}

func first(list string) string {
	value, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(value)
}

// validHost reports whether a host[:port] is safe to put in a header.
func validHost(host string) bool {
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._:[]", c) >= 0:
		default:
			return false
		}
	}
	return host != "" && len(host) <= 255
}

// url returns the URL of the token endpoint.
func (e endpoint) url() string { return e.scheme + "://" + e.host + TokenPath }

// bearer returns a Bearer challenge with the token endpoint and, unless it is "", a scope.
// failure is the error code for the token of the request, "" if it had none.
func (e endpoint) bearer(scope, failure string) string {
	return bearerChallenge(e.url(), e.host, scope, failure)
}

// basic returns the challenge for a request with Basic credentials.
func (e endpoint) basic() string { return basicChallenge(e.host) }

func bearerChallenge(url, service, scope, failure string) string {
	var b strings.Builder
	b.WriteString(`Bearer realm="` + url + `",service="` + service + `"`)
	if scope != "" {
		b.WriteString(`,scope="` + scope + `"`)
	}
	if failure != "" {
		b.WriteString(`,error="` + failure + `"`)
	}
	return b.String()
}

func basicChallenge(service string) string {
	return `Basic realm="` + service + `",error="access denied"`
}
