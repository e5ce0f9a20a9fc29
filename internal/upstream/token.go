package upstream

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir.dev/weir/internal/foreignjson"
	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/registryrules"
)

const (
	// tokenLife is how long a token lives that does not say, by the token protocol.
	tokenLife = 60 * time.Second
	// maxTokenLife bounds the life of a token.
	maxTokenLife = time.Hour
	// maxTokenBytes is the largest token kept and sent.
	maxTokenBytes = 16 << 10
	// maxScopeBytes is the longest list of scopes taken from a challenge.
	maxScopeBytes = 1 << 10
)

// token is a bearer token and until when it is used.
type token struct {
	value   string
	until   time.Time
	answers string // key of the challenge that it was fetched for
}

func (t token) valid(now time.Time) bool { return t.value != "" && now.Before(t.until) }

// fetchToken fetches a token for a challenge from its realm and remembers it.
func (s *source) fetchToken(ctx context.Context, l login, ch challenge) (token, error) {
	realm, err := realmURL(ch.params["realm"], l.plain && s.Insecure)
	if err != nil {
		return token{}, err
	}
	c := s.client
	return c.tokenFlights.do(ctx, c, key(s.key(), ch.key()), c.opts.Timeouts.Call.Duration, func(ctx context.Context) (token, error) {
		t, err := s.requestToken(ctx, realm, ch)
		if err != nil {
			err.realm, err.Text = true, redact(err.Error(), s.secrets(""))
			return token{}, err
		}
		t.answers = ch.key()
		sess := s.session()
		sess.take(t)
		s.keep(sess)
		return t, nil
	})
}

// realmURL checks the realm that a registry named. It has to be https, unless
// the registry itself is spoken to over http by configuration.
func realmURL(realm string, plainAllowed bool) (*url.URL, *Error) {
	u, err := url.Parse(realm)
	switch {
	case err != nil, u.Host == "", u.User != nil, !registryrules.ValidHost(u.Host):
		return nil, &Error{Code: CodeProtocol, Text: "the registry names a malformed token realm"}
	case u.Scheme == "https", u.Scheme == "http" && plainAllowed:
		u.Fragment = ""
		return u, nil
	case u.Scheme == "http":
		return nil, &Error{Code: CodeProtocol, Text: "the registry names a token realm without TLS: " + foreigntext.Clean(u.Host, 100)}
	}
	return nil, &Error{Code: CodeProtocol, Text: "the registry names a token realm of an unsupported scheme"}
}

// requestToken sends what the credential is: an identity token by POST (OAuth), user name
// and password by GET. Realms that do not take the one refuse it in several ways.
func (s *source) requestToken(ctx context.Context, realm *url.URL, ch challenge) (token, *Error) {
	var ans *answer
	var err *Error
	if s.cred.IdentityToken != "" {
		if ans, err = s.client.exchange(ctx, s.oauthQuery(realm, ch)); err != nil {
			return token{}, err
		}
	}
	if ans == nil || s.fallsBackToGet(ans.status) {
		if ans, err = s.client.exchange(ctx, s.tokenQuery(realm, ch)); err != nil {
			return token{}, err
		}
	}
	if ans.ok() {
		return parseToken(ans.body, time.Now())
	}
	return token{}, errorOf(ans, KindToken, s.client.opts.Hosts.MaxPause.Duration)
}

// fallsBackToGet reports whether a GET may succeed after a POST was answered with a status.
// Without a password it would be one without a credential, so it has to be clear that the
// POST is unknown.
func (s *source) fallsBackToGet(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return false
	}
	return s.cred.Password != "" && status >= 400 && status < 500
}

// scopesInTurn are the scopes to request a token for: what the challenge to a request for
// this repository names, for only the registry can tell how it calls what was requested, and
// else pulling this repository. There are realms that grant all scopes of a request or none.
func (s *source) scopesInTurn(ch challenge) [][]string {
	own := []string{"repository:" + s.Path + ":pull"}
	named := ch.scopes()
	if len(named) == 0 || slices.Equal(named, own) {
		return [][]string{own}
	}
	return [][]string{named, own}
}

func (s *source) tokenQuery(realm *url.URL, ch challenge) query {
	u := *realm
	params := u.Query()
	if service := ch.params["service"]; service != "" {
		params.Set("service", service)
	}
	params["scope"] = ch.scopes()
	header := http.Header{}
	if s.cred.Username != "" || s.cred.Password != "" {
		params.Set("account", s.cred.Username)
		header.Set("Authorization", basicAuthorization(s.cred))
	}
	u.RawQuery = params.Encode()
	return query{kind: KindToken, method: http.MethodGet, url: u.String(), host: u.Host, cred: &s.cred, header: header,
		limit: s.client.opts.bounds.token, insecure: s.Insecure}
}

func (s *source) oauthQuery(realm *url.URL, ch challenge) query {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {s.cred.IdentityToken},
		"service":       {ch.params["service"]},
		"client_id":     {s.client.opts.UserAgent},
		"scope":         {ch.params["scope"]},
	}
	return query{kind: KindToken, method: http.MethodPost, url: realm.String(), host: realm.Host, cred: &s.cred, form: form,
		limit: s.client.opts.bounds.token, insecure: s.Insecure}
}

// tokenAnswer is the body of a token realm's answer. Members that are unknown or of another
// type are left out.
type tokenAnswer struct {
	Token       string  `json:"token"`
	AccessToken string  `json:"access_token"`
	ExpiresIn   seconds `json:"expires_in"`
}

// seconds is a JSON number, or one in a string as some realms send it, 0 for anything else.
type seconds float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *seconds) UnmarshalJSON(raw []byte) error {
	if f, err := strconv.ParseFloat(strings.Trim(string(raw), "\" "), 64); err == nil {
		*n = seconds(f)
	}
	return nil
}

// parseToken reads a token answer. Tokens are sent back in a header, so
// anything but visible ASCII is refused here with a clear reason.
func parseToken(body []byte, now time.Time) (token, *Error) {
	var a tokenAnswer
	if err := foreignjson.Unmarshal(body, &a); err != nil {
		// The decoder's text may quote the answer, which may hold a token.
		return token{}, &Error{Code: CodeProtocol, Text: "the token realm's answer is not a token"}
	}
	value := cmp.Or(a.Token, a.AccessToken)
	if value == "" {
		return token{}, &Error{Code: CodeProtocol, Text: "the token realm's answer holds no token"}
	}
	if len(value) > maxTokenBytes {
		return token{}, &Error{Code: CodeTooLarge, Text: fmt.Sprintf("the token exceeds the limit of %d bytes", maxTokenBytes)}
	}
	for i := 0; i < len(value); i++ {
		if value[i] <= ' ' || value[i] > '~' {
			return token{}, &Error{Code: CodeProtocol, Text: "the token holds characters that tokens cannot have"}
		}
	}
	return token{value: value, until: now.Add(usableFor(float64(a.ExpiresIn)))}, nil
}

// usableFor is how long a token is used: its life less a margin for clocks and
// for requests under way.
func usableFor(expiresIn float64) time.Duration {
	life := tokenLife
	if expiresIn >= 1 { // also false for what is not a number
		life = time.Duration(min(expiresIn, maxTokenLife.Seconds()) * float64(time.Second))
	}
	return life - min(life/10, 10*time.Second)
}
