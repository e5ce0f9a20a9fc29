package upstream

import (
	"strings"
	"time"

	"weir.dev/weir/internal/caches"
)

const (
	// The bounds of caches in bytes. A login has a token of 1 to 4 KiB, often.
	pingsBytes     = 4 << 20
	sessionsBytes  = 16 << 20
	preferredBytes = 4 << 20
	// loginIdle is how long a login that is not used, and the credential that worked, are
	// remembered.
	loginIdle = time.Hour
	// paramBytes is about what a parameter of a challenge takes beside its texts, and sessionBytes
	// what a login takes without its token and challenge.
	paramBytes, sessionBytes = 64, 160
)

// makeCaches makes the caches. Their tenants are the hosts: one that has clients come for ever more
// repositories does not drive out the logins for others.
func (c *Client) makeCaches() {
	p, most := c.opts.Caches, c.opts.bounds.sessions
	c.pings = caches.New(p, caches.Options[string, pinged]{
		Name: "upstream_pings", Bytes: pingsBytes, Entries: most, Life: c.opts.bounds.session,
		Cost: func(key string, p pinged) int { return len(key) + challengeBytes(p.challenge) + errorBytes(p.doubt) },
	})
	c.sessions = caches.New(p, caches.Options[string, *session]{
		Name: "upstream_sessions", Bytes: sessionsBytes, Entries: most, Life: c.opts.Timeouts.Call.Duration, Idle: loginIdle,
		Cost: func(key string, s *session) int { return len(key) + s.size() }, Tenant: hostOfKey,
	})
	c.preferred = caches.New(p, caches.Options[string, string]{
		Name: "upstream_credentials", Bytes: preferredBytes, Entries: most, Idle: loginIdle,
		Cost: func(key, id string) int { return len(key) + len(id) }, Tenant: hostOfKey,
	})
}

// hostOfKey is the host that a key begins with, see source.key and credentialsKey.
func hostOfKey(key string) string {
	place, _, _ := strings.Cut(key, "\x00")
	host, _, _ := strings.Cut(place, "/")
	return host
}

// challengeBytes is about what a challenge takes in memory.
func challengeBytes(c *challenge) int {
	if c == nil {
		return 0
	}
	bytes := paramBytes
	for name, value := range c.params {
		bytes += len(name) + len(value) + paramBytes
	}
	return bytes
}

// errorBytes is about what a failure takes in memory.
func errorBytes(e *Error) int {
	if e == nil {
		return 0
	}
	return len(e.Error()) * 2 // and its parts
}

// size is about what a login takes in memory.
func (s *session) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sessionBytes + challengeBytes(s.challenge) + len(s.token.value) + len(s.token.answers)
}
