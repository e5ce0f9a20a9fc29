package ociregistry

import (
	"strings"
	"time"

	"weir.dev/weir/internal/caches"
)

const (
	// DefaultMaxUploadsPerUser is how many unfinished uploads one user may have: enough for
	// about a hundred clients.
	DefaultMaxUploadsPerUser = 500
	// sessionIdle is how long an idle upload counts. After that storage may remove it, see
	// blobstore.
	sessionIdle = time.Hour
	// uploadsPause is the Retry-After of a client with too many uploads.
	uploadsPause = time.Minute
)

// sessions counts the unfinished uploads of users, as far as this process served them. An upload that
// another replica finishes expires here.
type sessions struct {
	most int
	of   *caches.Cache[session, struct{}]
}

type session struct{ user, id string }

func newSessions(o Options) *sessions {
	return &sessions{most: o.MaxUploadsPerUser, of: caches.New(o.Caches, caches.Options[session, struct{}]{
		Name: "user_uploads", Bytes: uploadersBytes, Idle: sessionIdle, Now: o.Now,
		Cost:   func(s session, _ struct{}) int { return len(s.user) + len(s.id) },
		Tenant: func(s session) string { return s.user },
		Group:  func(s session) string { return s.user },
	})}
}

// full returns an error if a user has the maximum number of uploads.
func (s *sessions) full(user string) error {
	if s.of.GroupLen(user) < s.most {
		return nil
	}
	e := NewError(CodeTooManyRequests, "%s has %d unfinished uploads, the maximum per user; finish or cancel some (DELETE of their location), or wait until idle ones are removed", user, s.most)
	e.RetryAfter = uploadsPause
	return e
}

// used records that a user started or continued an upload.
func (s *sessions) used(user, id string) {
	if _, found := s.of.Get(session{user, id}); found || s.of.GroupLen(user) < s.most {
		s.of.GetOrAdd(session{strings.Clone(user), strings.Clone(id)}, struct{}{})
	}
}

// ended removes a finished upload.
func (s *sessions) ended(user, id string) { s.of.Remove(session{user, id}) }
