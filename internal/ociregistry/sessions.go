package ociregistry

import (
	"strings"
	"time"

	"weir.dev/weir/internal/caches"
)

const (
	// DefaultMaxUploadsPerUser is how many unfinished uploads one user may have: those of about a
	// hundred clients.
	DefaultMaxUploadsPerUser = 500
	// sessionRests is how long an upload that its user does not go on with is counted. After that
	// storage makes room with it, see blobstore.
	sessionRests = time.Hour
	// uploadsPause is when a client may try again that has too many uploads.
	uploadsPause = time.Minute
)

// sessions are the unfinished uploads of users, as far as this process answered them. What another
// replica finishes rests here.
type sessions struct {
	most int
	of   *caches.Cache[session, struct{}]
}

type session struct{ user, id string }

func newSessions(o Options) *sessions {
	return &sessions{most: o.MaxUploadsPerUser, of: caches.New(o.Caches, caches.Options[session, struct{}]{
		Name: "user_uploads", Bytes: uploadersBytes, Idle: sessionRests, Now: o.Now,
		Cost:   func(s session, _ struct{}) int { return len(s.user) + len(s.id) },
		Tenant: func(s session) string { return s.user },
		Group:  func(s session) string { return s.user },
	})}
}

// full is the error for a user with as many uploads as one may have.
func (s *sessions) full(user string) error {
	if s.of.GroupLen(user) < s.most {
		return nil
	}
	e := NewError(CodeTooManyRequests, "%s has %d unfinished uploads, the most that a user may have; finish or cancel some (DELETE of their location), or wait until those that rest are removed", user, s.most)
	e.RetryAfter = uploadsPause
	return e
}

// used takes note that a user began an upload, or went on with one.
func (s *sessions) used(user, id string) {
	if _, found := s.of.Get(session{user, id}); found || s.of.GroupLen(user) < s.most {
		s.of.GetOrAdd(session{strings.Clone(user), strings.Clone(id)}, struct{}{})
	}
}

// ended takes note that an upload is finished.
func (s *sessions) ended(user, id string) { s.of.Remove(session{user, id}) }
