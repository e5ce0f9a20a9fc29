package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// errRedirect marks redirects that are not followed.
var errRedirect = errors.New("redirect not followed")

// insecureKey is the context key under which a request carries that its
// registry is insecure by configuration.
type insecureKey struct{}

// proxyKey is the context key under which a request carries the proxy that it goes through.
type proxyKey struct{}

func proxyOf(ctx context.Context) *url.URL {
	proxy, _ := ctx.Value(proxyKey{}).(*url.URL)
	return proxy
}

// newHTTPClient makes the client for registries whose certificate is verified,
// or for those where it is not.
func newHTTPClient(opts Options, addresses addressPolicy, insecure bool) *http.Client {
	base := &http.Transport{
		Proxy:                  func(r *http.Request) (*url.URL, error) { return proxyOf(r.Context()), nil },
		DialContext:            dialer(opts.Timeouts.Dial.Duration, addresses),
		TLSHandshakeTimeout:    opts.bounds.tls,
		TLSClientConfig:        &tls.Config{RootCAs: opts.RootCAs, InsecureSkipVerify: insecure, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    opts.Hosts.Concurrency,
		IdleConnTimeout:        opts.bounds.idle,
		MaxResponseHeaderBytes: opts.bounds.headers,
	}
	return &http.Client{
		Transport:     &guardedTransport{inner: base, proxy: opts.Proxy, addresses: addresses, userAgent: opts.UserAgent},
		CheckRedirect: redirectPolicy(opts.bounds.redirects),
	}
}

// dialer contacts registries as far as the policy allows their addresses, and any proxy: the
// administrator chose it, and it is often on this machine.
func dialer(timeout time.Duration, addresses addressPolicy) func(ctx context.Context, network, address string) (net.Conn, error) {
	toProxy := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}
	toRegistry := *toProxy
	toRegistry.Control = addresses.control
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if proxyOf(ctx) != nil {
			return toProxy.DialContext(ctx, network, address)
		}
		return toRegistry.DialContext(ctx, network, address)
	}
}

// guardedTransport looks at every request once more before it leaves,
// redirected ones included.
type guardedTransport struct {
	inner     *http.Transport
	proxy     func(*http.Request) (*url.URL, error)
	addresses addressPolicy
	userAgent string
}

// RoundTrip refuses forbidden IP literals (through a proxy the dialer would
// never see them), picks the proxy, and names this client.
func (t *guardedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.addresses.checkURL(req.URL); err != nil {
		return nil, err
	}
	proxy, err := t.proxy(req)
	if err != nil {
		return nil, fmt.Errorf("finding the proxy for %s: %w", req.URL.Host, err)
	}
	req = req.Clone(context.WithValue(req.Context(), proxyKey{}, proxy))
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", t.userAgent)
	}
	return t.inner.RoundTrip(req)
}

// CloseIdleConnections lets http.Client reach the connections.
func (t *guardedTransport) CloseIdleConnections() { t.inner.CloseIdleConnections() }

// redirectPolicy follows at most limit redirects. Towards any other host or
// port, and from then on for good, credentials are left behind; from https to
// http is followed for insecure registries only; and a request with a body,
// which holds a refresh token, never moves to another host.
func redirectPolicy(limit int) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if len(via) > limit {
			return fmt.Errorf("%w: more than %d redirects", errRedirect, limit)
		}
		req.Header.Del("Referer")
		insecure, _ := req.Context().Value(insecureKey{}).(bool)
		switch req.URL.Scheme {
		case "https":
		case "http":
			if via[len(via)-1].URL.Scheme == "https" && !insecure {
				return fmt.Errorf("%w: from https to http", errRedirect)
			}
		default:
			return fmt.Errorf("%w: unsupported scheme", errRedirect)
		}
		if !leftHost(req, via) {
			return nil
		}
		if via[0].Method == http.MethodPost {
			return fmt.Errorf("%w: a token request must stay on its host", errRedirect)
		}
		req.URL.User = nil
		for _, h := range []string{"Authorization", "Cookie", "Www-Authenticate", "Proxy-Authorization", RequestURLHeader} {
			req.Header.Del(h)
		}
		return nil
	}
}

// leftHost reports whether a chain of redirects ever left where it began. An
// upgrade to https on the default ports is not leaving.
func leftHost(req *http.Request, via []*http.Request) bool {
	origin := via[0]
	for _, hop := range append(via[1:len(via):len(via)], req) {
		same := authority(hop) == authority(origin)
		upgraded := origin.URL.Scheme == "http" && hop.URL.Scheme == "https" &&
			strings.EqualFold(hop.URL.Hostname(), origin.URL.Hostname()) && origin.URL.Port() == "" && hop.URL.Port() == ""
		if !same && !upgraded {
			return true
		}
	}
	return false
}

// authority is scheme, host and port in one spelling.
func authority(req *http.Request) string {
	return req.URL.Scheme + "://" + net.JoinHostPort(strings.ToLower(req.URL.Hostname()), portOf(req.URL))
}

// portOf is the port of a URL, or that of its scheme.
func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
