package upstream

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// pinged is what asking a registry for /v2/ taught.
type pinged struct {
	scheme    string // "https" or "http"
	challenge challenge
	// challenged: it asks for a login. asked: the registry itself does so, not
	// somebody it redirected to; only then credentials are shown.
	challenged, asked bool
	until             time.Time
}

// session is the login of one credential at one repository.
type session struct {
	mu        sync.Mutex
	challenge *challenge // learned from a 401 after the ping; overrides the ping's
	until     time.Time  // how long it does
	token     token
}

// login is what a request needs to reach a registry.
type login struct {
	base          string // scheme://host
	plain         bool   // over http
	authorization string // header value, "" for none
	secrets       []string
}

// source is one source with one credential, during one call.
type source struct {
	Source
	client *Client
	cred   Credential
}

// key is the cache key of this source's login: the credential as a hash only.
func (s *source) key() string {
	return key(s.Host, s.Path, s.cred.identity(), flag(s.Insecure))
}

func (s *source) pingKey() string { return key(s.Host, flag(s.Insecure)) }

// ping learns how the registry wants to be spoken to; remembered per host.
func (s *source) ping(ctx context.Context) (pinged, error) {
	c, k := s.client, s.pingKey()
	if p, ok := c.pings.Get(k); ok && time.Now().Before(p.until) {
		return p, nil
	}
	return c.pingFlights.do(ctx, c, k, c.opts.Timeouts.Call, func(ctx context.Context) (pinged, error) {
		p, err := c.pingHost(ctx, s.Host, s.Insecure)
		if err != nil {
			return pinged{}, err
		}
		c.pings.Add(k, p)
		return p, nil
	})
}

// pingHost asks over https and, of an insecure registry that cannot speak it,
// over http.
func (c *Client) pingHost(ctx context.Context, host string, insecure bool) (pinged, error) {
	p, err := c.pingScheme(ctx, "https", host, insecure)
	if err == nil {
		return p, nil
	}
	// An answer over TLS, whatever it says, means that https is spoken here.
	if !insecure || err.HTTPStatus != 0 || err.Code != CodeUnavailable || ctx.Err() != nil {
		return pinged{}, err
	}
	p, plainErr := c.pingScheme(ctx, "http", host, insecure)
	if plainErr == nil {
		return p, nil
	}
	if plainErr.HTTPStatus != 0 || errors.Is(err, http.ErrSchemeMismatch) {
		return pinged{}, plainErr // http is spoken here, so this is the failure that counts
	}
	return pinged{}, err
}

func (c *Client) pingScheme(ctx context.Context, scheme, host string, insecure bool) (pinged, *Error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeouts.Ping)
	defer cancel()
	q := query{kind: KindPing, method: http.MethodGet, url: scheme + "://" + host + "/v2/", host: host, insecure: insecure}
	ans, err := c.exchange(ctx, q)
	if err != nil {
		return pinged{}, err
	}
	life := c.opts.Timeouts.Session
	switch busy := c.pressure(ans); {
	case busy >= 0:
		// A ping is nobody's in particular, so that it must hold up no credential: how to
		// log in is learned from the answer to the request itself.
		life = max(busy, unsaidRetryAfter)
	case !isV2(ans):
		return pinged{}, errorOf(ans, KindPing, c.opts.Limits.RetryAfter)
	}
	p := pinged{scheme: scheme, asked: ans.from(host), until: time.Now().Add(life)}
	if ans.url.Scheme == "https" && strings.EqualFold(ans.url.Hostname(), hostname(host)) && ans.from(host) {
		p.scheme = "https"
	}
	if ans.status == http.StatusUnauthorized {
		p.challenge, p.challenged = pickChallenge(ans.header)
	}
	return p, nil
}

// isV2 says whether an answer to /v2/ is one of a registry.
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

// session is the remembered login of this source and credential.
func (s *source) session() *session {
	k := s.key()
	fresh := &session{}
	if old, ok, _ := s.client.sessions.PeekOrAdd(k, fresh); ok {
		s.client.sessions.Get(k) // counts as used
		return old
	}
	return fresh
}

// login makes everything a request needs, from memory where possible.
func (s *source) login(ctx context.Context) (login, error) {
	p, err := s.ping(ctx)
	if err != nil {
		return login{}, err
	}
	l := login{base: p.scheme + "://" + s.Host, plain: p.scheme == "http"}
	sess := s.session()
	sess.mu.Lock()
	ch, challenged, asked := p.challenge, p.challenged, p.asked
	if sess.challenge != nil && time.Now().Before(sess.until) {
		ch, challenged, asked = *sess.challenge, true, true
	}
	remembered := sess.token
	sess.mu.Unlock()
	if !challenged {
		return l, nil
	}
	return s.answer(ctx, l, ch, asked, remembered)
}

// answer answers a challenge.
func (s *source) answer(ctx context.Context, l login, ch challenge, asked bool, remembered token) (login, error) {
	cred := s.cred
	if !asked {
		cred = Credential{}
	}
	switch {
	case cred.RegistryToken != "":
		l.authorization = "Bearer " + cred.RegistryToken
	case ch.scheme == "basic":
		if cred.Username != "" || cred.Password != "" {
			l.authorization = basicAuthorization(cred)
		}
	default:
		t := remembered
		if !t.valid(time.Now()) {
			var err error
			if t, err = s.fetchToken(ctx, l, ch, cred); err != nil {
				return l, err
			}
		}
		l.authorization = "Bearer " + t.value
	}
	l.secrets = s.secrets(l.authorization)
	return l, nil
}

// relogin learns from a 401 in the middle of things: the token ran out early,
// or this repository wants another login than the ping announced. It returns
// false when trying again would be the same request.
func (s *source) relogin(ctx context.Context, old login, ans *answer) (login, bool, error) {
	ch, ok := pickChallenge(ans.header)
	if !ok || !ans.from(s.Host) {
		return old, false, nil
	}
	sess := s.session()
	sess.mu.Lock()
	sess.challenge, sess.until = &ch, time.Now().Add(s.client.opts.Timeouts.Session)
	if "Bearer "+sess.token.value == old.authorization {
		sess.token = token{}
	}
	remembered := sess.token
	sess.mu.Unlock()
	fresh, err := s.answer(ctx, old.without(), ch, true, remembered)
	return fresh, fresh.authorization != old.authorization, err
}

func (l login) without() login {
	l.authorization, l.secrets = "", nil
	return l
}

func basicAuthorization(c Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
}

// secrets is what must not appear in a text, should a registry echo it.
func (s *source) secrets(authorization string) []string {
	secrets := []string{s.cred.Password, s.cred.IdentityToken, s.cred.RegistryToken}
	if s.cred.Password != "" {
		_, encoded, _ := strings.Cut(basicAuthorization(s.cred), " ")
		secrets = append(secrets, encoded)
	}
	if _, value, ok := strings.Cut(authorization, " "); ok {
		secrets = append(secrets, value)
	}
	return secrets
}
