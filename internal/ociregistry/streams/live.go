package streams

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"

	"golang.org/x/sync/singleflight"
)

// maxRecentReads bounds the streams of which is remembered that they were just read.
const maxRecentReads = 8192

// liveReads reads streams from the API: those that the watch has not told of, and those
// that somebody may have written since.
type liveReads struct {
	get   func(context.Context, types.NamespacedName) (*imagev1.ImageStream, error)
	known *known
	clock func() time.Time

	recent  *lru.Cache[types.NamespacedName, time.Time]
	flights singleflight.Group
}

func newLiveReads(get func(context.Context, types.NamespacedName) (*imagev1.ImageStream, error), k *known, now func() time.Time) *liveReads {
	return &liveReads{get: get, known: k, clock: now, recent: newLRU[types.NamespacedName, time.Time](maxRecentReads)}
}

// again is the stream as it is now, give or take a moment; nil when there is none.
// Callers who ask for one stream at a time share one request, and nobody makes another
// within a moment.
func (l *liveReads) again(ctx context.Context, id types.NamespacedName) (*version, error) {
	if at, found := l.recent.Get(id); !found || l.clock().Sub(at) >= aMoment {
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
	l.recent.Add(id, began)
	return nil
}

// distrust has whoever asks next for the stream ask the API.
func (l *liveReads) distrust(id types.NamespacedName) {
	l.known.doubt(id)
	l.recent.Remove(id)
}

// newLRU makes a cache of a size that is a constant, which is all that making one can
// fail for.
func newLRU[K comparable, V any](size int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](size)
	if err != nil {
		panic(err)
	}
	return c
}
