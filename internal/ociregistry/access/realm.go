package access

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// realm tells where clients get their tokens.
type realm struct {
	configured *endpoint
	proxies    []netip.Prefix
}

// endpoint is a scheme and host under which a client reaches the registry.
type endpoint struct{ scheme, host string }

// newRealm takes scheme://host[:port], or "" for the host that a client asks.
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

// of is the endpoint for whoever sent a request.
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

// trusts tells whether a connection comes from a proxy whose headers count.
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

// client is the address that a request comes from, without a port. Each proxy adds the address
// that it was asked from to X-Forwarded-For: the last one that is no trusted proxy's counts,
// and what stands before it is the client's own word.
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

// forwarded is the endpoint that headers of a proxy tell of, as far as they do. Of several
// proxies in a row the first one spoke with the client, and stands first. Forwarded
// (RFC 7239) counts more than its predecessors.
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

// validHost reports whether a host[:port] can stand in a header without harm.
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

// url is that of the token endpoint.
func (e endpoint) url() string { return e.scheme + "://" + e.host + TokenPath }

// bearer sends a client to the token endpoint, for a scope if that is not "". failure says
// what was wrong with the token it had, if it had one.
func (e endpoint) bearer(scope, failure string) string {
	return bearerChallenge(e.url(), e.host, scope, failure)
}

// basic is what a client is told that showed a password with the request itself.
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
