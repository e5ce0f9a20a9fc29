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

// liveReads reads streams from the API: those that the watch has not told of, and those
// that somebody may have written since.
type liveReads struct {
	get   func(context.Context, types.NamespacedName) (*imagev1.ImageStream, error)
	known *known
	clock func() time.Time

	// recent are streams that were read within a moment.
	recent  *caches.Cache[types.NamespacedName, struct{}]
	flights singleflight.Group
}

func newLiveReads(get func(context.Context, types.NamespacedName) (*imagev1.ImageStream, error), k *known, p *caches.Pool, now func() time.Time) *liveReads {
	return &liveReads{get: get, known: k, clock: now, recent: newRecentCache(p, now)}
}

// again is the stream as it is now, give or take a moment; nil when there is none.
// Callers who ask for one stream at a time share one request, and nobody makes another
// within a moment.
func (l *liveReads) again(ctx context.Context, id types.NamespacedName) (*version, error) {
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

// now reads the stream by a request of its own, which sees every write that was
// acknowledged before.
func (l *liveReads) now(ctx context.Context, id types.NamespacedName) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	began := l.clock()
	s, err := l.get(ctx, id)
	switch {
	case err == nil:
		l.known.put(s, began)
	case missing(err, id.Name):
		l.known.gone(id, began)
	default:
		return fmt.Errorf("reading image stream %s: %w", id, err)
	}
	l.recent.AddUntil(id, struct{}{}, began.Add(aMoment))
	return nil
}

// distrust has whoever asks next for the stream ask the API.
func (l *liveReads) distrust(id types.NamespacedName) {
	l.known.doubt(id)
	l.recent.Remove(id)
}
