package upstream

import (
	"sync"
	"time"
)

// session is the login of one credential at one repository.
type session struct {
	mu        sync.Mutex
	challenge *challenge // that was answered instead of the ping's
	until     time.Time  // how long it does
	token     token
}

// session is the remembered login of this source and credential.
func (s *source) session() *session {
	known, _ := s.client.sessions.GetOrAdd(s.key(), &session{})
	return known
}

// keep remembers a login, which has changed, as long as anything in it counts.
func (s *source) keep(changed *session) {
	s.client.sessions.AddUntil(s.key(), changed, changed.end())
}

// end is when nothing of a login counts any more.
func (s *session) end() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.challenge != nil && s.until.After(s.token.until) {
		return s.until
	}
	return s.token.until
}

// take has a token shown from now on.
func (s *session) take(t token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = t
}

// learned is the challenge that was answered instead of the ping's; nil without one.
func (s *session) learned() *challenge {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.challenge == nil || time.Now().After(s.until) {
		return nil
	}
	return s.challenge
}

// learn keeps a challenge to answer instead of the ping's, until a time; nil forgets it.
func (s *session) learn(ch *challenge, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.challenge, s.until = ch, until
}

// tokenFor is the remembered token for a challenge.
func (s *session) tokenFor(ch challenge) (token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token, s.token.valid(time.Now()) && s.token.answers == ch.key()
}

// forget drops the token that an authorization showed, unless there is another by now.
func (s *session) forget(authorization string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if "Bearer "+s.token.value == authorization {
		s.token = token{}
	}
}
