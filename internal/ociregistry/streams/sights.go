package streams

import (
	"context"
	"time"
)

// nothingFor is how long it is cached that a user sees nothing of a namespace. It is longer than
// reviewFor, so that a user without rights in very many namespaces progresses with each request.
const nothingFor = time.Minute

type sightKey struct{ user, namespace string }

// life returns how long a sight is cached.
func (s sight) life() time.Duration {
	if s.nothing() {
		return nothingFor
	}
	return reviewFor
}

// sight returns the streams of a namespace that the user may see. It takes one request for the
// rules, and two more if they are incomplete.
func (v viewer) sight(ctx context.Context, namespace string) (sight, error) {
	key := sightKey{v.id, namespace}
	if known, found := v.reviews.sights.Get(key); found {
		return known, nil
	}
	found, err := v.once(ctx, "rules\x00"+namespace, func(ctx context.Context) (any, error) {
		at := v.reviews.now()
		s, err := v.reviews.rules(ctx, v.user, namespace)
		if err == nil {
			v.reviews.sights.AddUntil(key, s, at.Add(s.life()))
		}
		return s, err
	})
	s, _ := found.(sight)
	return s, err
}

// stream reports whether the user may see a stream of a namespace.
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
