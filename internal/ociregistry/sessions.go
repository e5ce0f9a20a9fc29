package ociregistry

import (
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// DefaultMaxUploadsPerUser is how many unfinished uploads one user may have: those of about a
	// hundred clients.
	DefaultMaxUploadsPerUser = 500
	// sessionRests is how long an upload that its user does not go on with is counted. After that
	// storage makes room with it, see blobstore.
	sessionRests = time.Hour
	// maxUploaders bounds the users whose uploads are counted.
	maxUploaders = 4096
	// uploadsPause is when a client may try again that has too many uploads.
	uploadsPause = time.Minute
)

// sessions are the unfinished uploads of users, as far as this process answered them. What another
// replica finishes rests here.
type sessions struct {
	most int
	now  Clock

	mu sync.Mutex
	of *simplelru.LRU[string, map[string]time.Time] // user, upload, when it was last used
}

func newSessions(most int, now Clock) *sessions {
	of, _ := simplelru.NewLRU[string, map[string]time.Time](maxUploaders, nil) // fails for sizes below 1
	return &sessions{most: most, now: now, of: of}
}

// full is the error for a user with as many uploads as one may have.
func (s *sessions) full(user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, _ := s.of.Get(user)
	if len(all) < s.most {
		return nil
	}
	before := s.now().Add(-sessionRests)
	for id, used := range all {
		if used.Before(before) {
			delete(all, id)
		}
	}
	if len(all) < s.most {
		return nil
	}
	e := NewError(CodeTooManyRequests, "%s has %d unfinished uploads, the most that a user may have; finish or cancel some (DELETE of their location), or wait until those that rest are removed", user, s.most)
	e.RetryAfter = uploadsPause
	return e
}

// used takes note that a user began an upload, or went on with one.
func (s *sessions) used(user, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, found := s.of.Get(user)
	if !found {
		all = map[string]time.Time{}
		s.of.Add(strings.Clone(user), all)
	}
	if _, found := all[id]; found || len(all) < s.most {
		all[strings.Clone(id)] = s.now()
	}
}

// ended takes note that an upload is finished.
func (s *sessions) ended(user, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, found := s.of.Get(user)
	if !found {
		return
	}
	if delete(all, id); len(all) == 0 {
		s.of.Remove(user)
	}
}
