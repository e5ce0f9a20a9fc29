package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weir.dev/weir/internal/foreignjson"
)

const (
	// tokenLife is how long a token lives that does not say, by the token protocol.
	tokenLife = 60 * time.Second
	// maxTokenLife is the longest life believed.
	maxTokenLife = time.Hour
	// maxTokenBytes is the largest token kept and sent.
	maxTokenBytes = 16 << 10
	// maxScopeBytes is the longest extra scope taken from a challenge.
	maxScopeBytes = 1 << 10
)

// token is a bearer token and until when it is used.
type token struct {
	value string
	until time.Time
}

func (t token) valid(now time.Time) bool { return t.value != "" && now.Before(t.until) }

// tokenAnswer is the body of a token realm's answer. Unknown members are ignored.
type tokenAnswer struct {
	Token       string  `json:"token"`
	AccessToken string  `json:"access_token"`
	ExpiresIn   float64 `json:"expires_in"`
}

// fetchToken asks the realm of a challenge for a token and remembers it.
func (s *source) fetchToken(ctx context.Context, l login, ch challenge, cred Credential) (token, error) {
	realm, err := realmURL(ch.params["realm"], l.plain && s.Insecure)
	if err != nil {
		return token{}, err
	}
	c := s.client
	k := key(s.key(), realm.String(), ch.params["service"], ch.params["scope"], cred.identity())
	return c.tokenFlights.do(ctx, c, k, c.opts.Timeouts.Call, func(ctx context.Context) (token, error) {
		t, err := s.requestToken(ctx, realm, ch, cred)
		if err != nil {
			err.Text = redact(err.Error(), s.secrets(""))
			return token{}, err
		}
		sess := s.session()
		sess.mu.Lock()
		sess.token = t
		sess.mu.Unlock()
		return t, nil
	})
}

// realmURL checks the realm that a registry named. It has to be https, unless
// the registry itself is spoken to over http by configuration.
func realmURL(realm string, plainAllowed bool) (*url.URL, *Error) {
	u, err := url.Parse(realm)
	switch {
	case err != nil, u.Host == "", u.User != nil, !hostGrammar.MatchString(u.Host):
		return nil, &Error{Code: CodeProtocol, Text: "the registry names a malformed token realm"}
	case u.Scheme == "https", u.Scheme == "http" && plainAllowed:
		u.Fragment = ""
		return u, nil
	case u.Scheme == "http":
		return nil, &Error{Code: CodeProtocol, Text: "the registry names a token realm without TLS: " + clean(bounded(u.Host, 100))}
	}
	return nil, &Error{Code: CodeProtocol, Text: "the registry names a token realm of an unsupported scheme"}
}

// requestToken asks with what the credential is: an identity token by POST
// (OAuth), where the realm does not know that or there is none by GET.
func (s *source) requestToken(ctx context.Context, realm *url.URL, ch challenge, cred Credential) (token, *Error) {
	var ans *answer
	var err *Error
	if cred.IdentityToken != "" {
		ans, err = s.client.exchange(ctx, s.oauthQuery(realm, ch, cred))
	}
	if err != nil {
		return token{}, err
	}
	if ans == nil || ans.status == http.StatusNotFound || ans.status == http.StatusMethodNotAllowed {
		if ans, err = s.client.exchange(ctx, s.tokenQuery(realm, ch, cred)); err != nil {
			return token{}, err
		}
	}
	if !ans.ok() {
		err := errorOf(ans, KindToken, s.client.opts.Limits.RetryAfter)
		err.realm = true
		return token{}, err
	}
	return parseToken(ans.body, time.Now())
}

// scopes are what is asked for: pulling this repository, and what the
// challenge names beyond that.
func (s *source) scopes(ch challenge) []string {
	scopes := []string{"repository:" + s.Path + ":pull"}
	if extra := ch.params["scope"]; extra != "" && extra != scopes[0] && len(extra) <= maxScopeBytes {
		scopes = append(scopes, extra)
	}
	return scopes
}

func (s *source) tokenQuery(realm *url.URL, ch challenge, cred Credential) query {
	u := *realm
	params := u.Query()
	if service := ch.params["service"]; service != "" {
		params.Set("service", service)
	}
	params.Del("scope")
	for _, scope := range s.scopes(ch) {
		params.Add("scope", scope)
	}
	header := http.Header{}
	if cred.Username != "" || cred.Password != "" {
		params.Set("account", cred.Username)
		header.Set("Authorization", basicAuthorization(cred))
	}
	u.RawQuery = params.Encode()
	return query{kind: KindToken, method: http.MethodGet, url: u.String(), host: u.Host, cred: &s.cred, header: header,
		limit: s.client.opts.Limits.Token, insecure: s.Insecure}
}

func (s *source) oauthQuery(realm *url.URL, ch challenge, cred Credential) query {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {cred.IdentityToken},
		"service":       {ch.params["service"]},
		"client_id":     {s.client.opts.UserAgent},
		"scope":         {strings.Join(s.scopes(ch), " ")},
	}
	return query{kind: KindToken, method: http.MethodPost, url: realm.String(), host: realm.Host, cred: &s.cred, form: form,
		limit: s.client.opts.Limits.Token, insecure: s.Insecure}
}

// parseToken reads a token answer. Tokens are sent back in a header, so
// anything but visible ASCII is refused here with a clear reason.
func parseToken(body []byte, now time.Time) (token, *Error) {
	var a tokenAnswer
	if err := foreignjson.Unmarshal(body, &a); err != nil {
		// The decoder's text may quote the answer, which may hold a token.
		return token{}, &Error{Code: CodeProtocol, Text: "the token realm's answer is not a token"}
	}
	value := a.Token
	if value == "" {
		value = a.AccessToken
	}
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
	return token{value: value, until: now.Add(usableFor(a.ExpiresIn))}, nil
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
