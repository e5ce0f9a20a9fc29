package upstream

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// pinged is the result of a request for /v2/: the scheme, and the challenge of logins. It decides
// nothing about repositories.
type pinged struct {
	scheme string // "https" or "http"
	// challenge is that of the registry itself, without a scope: some put a placeholder
	// there. nil when it gave none, or an answer came from where it redirected to.
	challenge *challenge
	// doubt is the failure that the answer stands for if it is none of a registry. There
	// are registries that serve everything but /v2/, so it counts only when what is
	// requested next is not answered as by a registry either.
	doubt *Error
	until time.Time
}

func (s *source) pingKey() string { return key(s.Host, flag(s.Insecure)) }

// ping learns how the registry wants to be spoken to; known reports whether from memory.
func (s *source) ping(ctx context.Context) (p pinged, known bool, err error) {
	c, k := s.client, s.pingKey()
	if p, ok := c.pings.Get(k); ok && time.Now().Before(p.until) {
		return p, true, nil
	}
	p, err = c.pingFlights.do(ctx, c, k, c.opts.Timeouts.Call.Duration, func(ctx context.Context) (pinged, error) {
		p, err := c.pingHost(ctx, s.Host, s.Insecure)
		if err != nil {
			return pinged{}, err
		}
		c.pings.Add(k, p)
		return p, nil
	})
	return p, false, err
}

// pingHost tries https and, of an insecure registry that cannot speak it, http.
func (c *Client) pingHost(ctx context.Context, host string, insecure bool) (pinged, error) {
	p, err := c.pingScheme(ctx, "https", host, insecure)
	if err == nil {
		return p, nil
	}
	if !insecure || err.Code != CodeUnavailable || ctx.Err() != nil {
		return pinged{}, err
	}
	p, plainErr := c.pingScheme(ctx, "http", host, insecure)
	if plainErr == nil {
		return p, nil
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return pinged{}, plainErr // http is spoken here, so this is the failure that counts
	}
	return pinged{}, err
}

// pingScheme sends the request over one scheme. Any answer means that the scheme is spoken;
// the error is that there was none.
func (c *Client) pingScheme(ctx context.Context, scheme, host string, insecure bool) (pinged, *Error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.bounds.ping)
	defer cancel()
	q := query{kind: KindPing, method: http.MethodGet, url: scheme + "://" + host + "/v2/", host: host, insecure: insecure}
	ans, err := c.exchange(ctx, q)
	if err != nil {
		if errors.Is(err, errRedirect) {
			return pinged{scheme: scheme, doubt: err, until: time.Now().Add(c.opts.bounds.session)}, nil
		}
		return pinged{}, err
	}
	return c.taught(scheme, host, ans), nil
}

// taught returns the result of an answer to a ping.
func (c *Client) taught(scheme, host string, ans *answer) pinged {
	p, life := pinged{scheme: scheme}, c.opts.bounds.session
	switch busy := c.pressure(ans); {
	case busy >= 0:
		// A ping is of no credential, so that it must hold up none: how to
		// log in is learned from the answer to the request itself.
		life = max(busy, unsaidRetryAfter)
	case !isV2(ans):
		p.doubt = errorOf(ans, KindPing, c.opts.Hosts.MaxPause.Duration)
		if p.doubt.Code == CodeUnavailable {
			life = unsaidRetryAfter
		}
	}
	p.until = time.Now().Add(min(life, c.opts.bounds.session))
	if !ans.from(host) {
		return p
	}
	if ans.url.Scheme == "https" && strings.EqualFold(ans.url.Hostname(), hostname(host)) {
		p.scheme = "https"
	}
	if ch, ok := pickChallenge(ans.header); ok && ans.status == http.StatusUnauthorized {
		delete(ch.params, "scope")
		p.challenge = &ch
	}
	return p
}

// isV2 reports whether an answer to /v2/ is one of a registry.
func isV2(ans *answer) bool {
	return ans.ok() || ans.status == http.StatusUnauthorized || ans.status == http.StatusForbidden ||
		ans.header.Get("Docker-Distribution-Api-Version") != ""
}

func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.Trim(host, "[]")
}

// doubtOf is the failure that a ping left open, now that an answer is no success: nil when
// the answer is one of a registry.
func (s *source) doubtOf(l login, ans *answer) *Error {
	if l.doubt == nil || spoken(ans) {
		return nil
	}
	s.client.pings.Remove(s.pingKey())
	return l.doubt
}

// settle ends the doubt of a ping after a success.
func (s *source) settle(l login) {
	c, k := s.client, s.pingKey()
	if p, ok := c.pings.Get(k); ok && p.doubt == l.doubt {
		p.doubt = nil
		c.pings.Add(k, p)
	}
}
