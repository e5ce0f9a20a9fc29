package streams

import (
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"

	"golang.org/x/sync/singleflight"

	"weir.dev/weir/internal/caches"
)

// liveReads reads streams from the API: those that the watch has not delivered yet, and those
// that may have changed since.
type liveReads struct {
	get   func(context.Context, types.NamespacedName) (*imagev1.ImageStream, error)
	known *known
	clock func() time.Time

	// recent has the streams that were read within freshFor.
	recent  *caches.Cache[types.NamespacedName, struct{}]
	flights singleflight.Group
}

func newLiveReads(get func(context.Context, types.NamespacedName) (*imagev1.ImageStream, error), k *known, p *caches.Pool, now func() time.Time) *liveReads {
	return &liveReads{get: get, known: k, clock: now, recent: newRecentCache(p, now)}
}

// fresh returns the stream, read from the API at most freshFor ago; nil if there is none.
// Concurrent callers for one stream share a request.
func (l *liveReads) fresh(ctx context.Context, id types.NamespacedName) (*version, error) {
	if _, found := l.recent.Get(id); !found {
		flight := l.flights.DoChan(id.String(), func() (any, error) {
			return nil, l.now(context.WithoutCancel(ctx), id)
		})
		select {
		case done := <-flight:
			if done.Err != nil {
				return nil, done.Err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	v, _ := l.known.get(id)
	return v, nil
}

// now reads the stream with an unshared request, which sees every write acknowledged before.
func (l *liveReads) now(ctx context.Context, id types.NamespacedName) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	began := l.clock()
	s, err := l.get(ctx, id)
	switch {
	case err == nil:
		l.known.put(s, began)
	case missing(err, id.Name):
		l.known.deleted(id, began)
	default:
		return fmt.Errorf("reading image stream %s: %w", id, err)
	}
	l.recent.AddUntil(id, struct{}{}, began.Add(freshFor))
	return nil
}

// invalidate makes the next reader of the stream read it from the API.
func (l *liveReads) invalidate(id types.NamespacedName) {
	l.known.invalidate(id)
	l.recent.Remove(id)
}
