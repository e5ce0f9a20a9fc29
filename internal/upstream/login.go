package upstream

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/registryrules"
)

// maxLogins is how many logins one request tries after its first was refused.
const maxLogins = 3

// login has the scheme and the authorization of requests to a registry.
type login struct {
	base          string // scheme://host
	plain         bool   // over http
	doubt         *Error // see pinged
	authorization string // header value, "" for none
	secrets       []string

	challenge *challenge // that authorization answers; nil without one
	// remembered: authorization is a token of an earlier call. known: the challenge is, or
	// the ping that brought none.
	remembered, known bool
	// tried are the challenges, by key, for which a token was fetched during this call.
	tried []string
}

// source is one source with one credential, during one call.
type source struct {
	registryrules.Source
	client *Client
	cred   pullsecrets.Credential
}

// key is the cache key of this source's login: the credential as a hash only.
func (s *source) key() string {
	return key(s.Host, s.Path, s.cred.Identity(), flag(s.Insecure))
}

// login makes everything a request for a path below this repository needs, from memory where
// possible. What was remembered of the registry is looked up again if a login fails by it.
func (s *source) login(ctx context.Context, path string) (login, error) {
	l, ch, err := s.greet(ctx)
	if err != nil || ch == nil {
		return l, err
	}
	done, _, err := s.authorize(ctx, l, *ch)
	if err == nil || ctx.Err() != nil {
		return done, err
	}
	if l.known {
		s.session().learn(nil, time.Time{})
		s.client.pings.Remove(s.pingKey())
		anew, now, pingErr := s.greet(ctx)
		switch {
		case pingErr != nil:
			return done, err
		case now == nil:
			return anew, nil
		case !now.sameRealm(*ch):
			if done, _, err = s.authorize(ctx, anew, *now); err == nil {
				return done, nil
			}
		}
	}
	return s.consult(ctx, done, path, err)
}

// consult finds a login after the token realm refused one for this repository: the registry may
// have another name for it, which is in its challenge to a request without a login.
func (s *source) consult(ctx context.Context, l login, path string, refusal error) (login, error) {
	if !asError(refusal).refused() {
		return l, refusal
	}
	l.authorization = ""
	ans, err := s.send(ctx, l, path, query{kind: KindHead, method: http.MethodHead, header: http.Header{"Accept": {acceptManifests}}})
	if err != nil || ans.status != http.StatusUnauthorized || !ans.from(s.Host) {
		return l, refusal
	}
	ch, ok := pickChallenge(ans.header)
	if !ok {
		return l, refusal
	}
	other, ok, err := s.authorize(ctx, l, ch)
	if err != nil || !ok {
		return l, refusal
	}
	s.learn(other)
	return other, nil
}

// learn has the challenge that a login answers be answered the next time.
func (s *source) learn(l login) {
	sess := s.session()
	sess.learn(l.challenge, time.Now().Add(s.client.opts.bounds.session))
	s.keep(sess)
}

// greet finds how the registry is spoken to and the challenge to answer, nil for none.
func (s *source) greet(ctx context.Context) (login, *challenge, error) {
	p, known, err := s.ping(ctx)
	if err != nil {
		return login{}, nil, err
	}
	l := login{base: p.scheme + "://" + s.Host, plain: p.scheme == "http", doubt: p.doubt, known: known}
	if learned := s.session().learned(); learned != nil {
		l.known = true
		return l, learned, nil
	}
	return l, p.challenge, nil
}

// authorize answers a challenge; false when it can be answered only as it was already.
func (s *source) authorize(ctx context.Context, l login, ch challenge) (login, bool, error) {
	switch {
	case s.cred.RegistryToken != "":
		return s.show(l, ch, "Bearer "+s.cred.RegistryToken)
	case ch.scheme != "basic":
		return s.authorizeByToken(ctx, l, ch)
	case s.cred.Username != "" || s.cred.Password != "":
		return s.show(l, ch, basicAuthorization(s.cred))
	}
	return s.show(l, ch, "")
}

// show is a login with an authorization; false when it is the one that l has.
func (s *source) show(l login, ch challenge, authorization string) (login, bool, error) {
	other := authorization != l.authorization
	l.challenge, l.authorization, l.secrets = &ch, authorization, s.secrets(authorization)
	return l, other, nil
}

// authorizeByToken answers a challenge with a remembered token, or else with one for the
// first scopes that were not tried yet and that the token realm grants.
func (s *source) authorizeByToken(ctx context.Context, l login, ch challenge) (login, bool, error) {
	var refusal error
	for _, scopes := range s.scopesInTurn(ch) {
		wanted := ch.withScopes(scopes)
		if slices.Contains(l.tried, wanted.key()) {
			continue
		}
		t, remembered := s.session().tokenFor(wanted)
		if !remembered {
			l.tried = append(slices.Clip(l.tried), wanted.key())
			fresh, err := s.fetchToken(ctx, l, wanted)
			if err != nil && !asError(err).refused() {
				return l, false, err
			}
			if err != nil {
				if refusal == nil {
					refusal = err
				}
				continue
			}
			t = fresh
		}
		l, other, err := s.show(l, wanted, "Bearer "+t.value)
		l.remembered = remembered
		return l, other, err
	}
	return l, false, refusal
}

// relogin finds another login after an answer that refused one: a token may have run out
// early, or this repository wants another login than the ping announced. It returns false
// when there is none that was not tried.
func (s *source) relogin(ctx context.Context, old login, q query, ans *answer) (login, bool, error) {
	if !ans.from(s.Host) {
		return old, false, nil
	}
	switch ans.status {
	case http.StatusUnauthorized:
	case http.StatusBadRequest, http.StatusForbidden:
		// What it says to a token that it does not accept, and also about other things. A
		// GET follows a HEAD, and finds out.
		if !old.remembered || q.method == http.MethodHead {
			return old, false, nil
		}
	default:
		return old, false, nil
	}
	ch, err := s.challengeOf(ctx, old, ans)
	if err != nil || ch == nil {
		return old, false, err
	}
	if old.remembered {
		s.session().forget(old.authorization)
	}
	return s.authorize(ctx, old, *ch)
}

// challengeOf is the challenge to answer after a refusal: its own, else the one that was
// answered before, else that of the registry if the ping is of an earlier call.
func (s *source) challengeOf(ctx context.Context, old login, ans *answer) (*challenge, error) {
	if ch, ok := pickChallenge(ans.header); ok && ans.status == http.StatusUnauthorized {
		return &ch, nil
	}
	if old.challenge != nil || !old.known {
		return old.challenge, nil
	}
	s.client.pings.Remove(s.pingKey())
	p, _, err := s.ping(ctx)
	return p.challenge, err
}

func basicAuthorization(c pullsecrets.Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
}

// secrets are blanked in texts, should a registry echo them.
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
