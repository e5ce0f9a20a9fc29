package streams

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// nothingFor is how long it counts that a user sees nothing of a namespace. It is longer than
	// reviewFor: a user who sees nothing of very many gets further with the next request.
	nothingFor = time.Minute
	// maxSights bounds what is remembered of users and namespaces, and maxRememberedNames the
	// names in it.
	maxSights          = 1 << 15
	maxRememberedNames = 1 << 18
)

type sightKey struct{ user, namespace string }

type knownSight struct {
	sight
	at time.Time
}

// sights remembers what users see of namespaces. It is bounded in number and in names.
type sights struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[sightKey, knownSight]
	names int
}

func newSights() *sights {
	s := &sights{}
	s.lru, _ = simplelru.NewLRU[sightKey, knownSight](maxSights, func(_ sightKey, k knownSight) { s.names -= len(k.names) }) // fails for sizes below 1
	return s
}

func (s *sights) get(key sightKey, now time.Time) (sight, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, found := s.lru.Get(key)
	life := reviewFor
	if known.nothing() {
		life = nothingFor
	}
	return known.sight, found && now.Sub(known.at) < life
}

func (s *sights) put(key sightKey, known sight, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Remove(key)
	s.names += len(known.names)
	s.lru.Add(key, knownSight{known, at})
	for s.names > maxRememberedNames && s.lru.Len() > 1 {
		s.lru.RemoveOldest()
	}
}

// sight tells what the user sees of a namespace: one request for its rules, and two more where the
// rules do not say everything.
func (v viewer) sight(ctx context.Context, namespace string) (sight, error) {
	key := sightKey{v.id, namespace}
	if known, found := v.reviews.sights.get(key, v.reviews.now()); found {
		return known, nil
	}
	found, err := v.once(ctx, "rules\x00"+namespace, func(ctx context.Context) (any, error) {
		at := v.reviews.now()
		s, err := v.reviews.rules(ctx, v.user, namespace)
		if err == nil {
			v.reviews.sights.put(key, s, at)
		}
		return s, err
	})
	s, _ := found.(sight)
	return s, err
}

// stream tells whether the user sees a stream of a namespace.
func (v viewer) stream(ctx context.Context, s sight, namespace, name string) (bool, error) {
	if s.of(name) || !s.unsure {
		return s.of(name), nil
	}
	allowed, err := v.everything(ctx, namespace)
	if allowed || err != nil {
		return allowed, err
	}
	return v.may(ctx, questionAbout(namespace, name))
}
