package streams

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"golang.org/x/sync/singleflight"

	"weir.dev/weir/internal/auth"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/imageapi"
)

const (
	// reviewFor is how long a review is cached: a listing shows changed rights no later.
	reviewFor = 10 * time.Second
	// maxConcurrentReviews bounds the reviews of all listings together.
	maxConcurrentReviews = 16
	// maxRequestReviews bounds those of one listing. The next one goes on from what is remembered.
	maxRequestReviews = 1000
)

// question is a right to review: a user may list or get imagestreams or their layers, in a
// namespace or in all ("").
type question struct {
	user              string // identity, see auth.IdentityOf
	verb, subresource string
	namespace, stream string
}

// reviews caches the rights of users.
type reviews struct {
	ask     func(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, error)
	rules   func(ctx context.Context, u user.Info, namespace string) (sight, error)
	now     func() time.Time
	answers *caches.Cache[question, bool]
	sights  *caches.Cache[sightKey, sight]
	flights singleflight.Group
	asking  chan struct{}
}

func newReviews(a reviewer, p *caches.Pool, now func() time.Time) *reviews {
	return &reviews{
		ask: a.review, rules: a.rules, now: now, answers: newAnswerCache(p, now), sights: newSightCache(p, now),
		asking: make(chan struct{}, maxConcurrentReviews),
	}
}

// reviewer is the API, which reviews.
type reviewer interface {
	review(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, error)
	rules(ctx context.Context, u user.Info, namespace string) (sight, error)
}

// viewer is the user of one request that lists streams.
type viewer struct {
	reviews *reviews
	user    user.Info
	id      string
	// left is the number of reviews that the request may still cause.
	left *atomic.Int64
}

func (r *reviews) viewer(u user.Info) viewer {
	v := viewer{reviews: r, user: u, id: auth.IdentityOf(u), left: &atomic.Int64{}}
	v.left.Store(maxRequestReviews)
	return v
}

// everything reports whether the user may list, or pull from, all streams of a namespace or, for
// "", of all namespaces.
func (v viewer) everything(ctx context.Context, namespace string) (bool, error) {
	allowed, err := v.may(ctx, question{verb: "list", namespace: namespace})
	if allowed || err != nil {
		return allowed, err
	}
	return v.may(ctx, questionAbout(namespace, ""))
}

// questionAbout returns the right to pull from a stream, or from all streams of a namespace.
func questionAbout(namespace, stream string) question {
	return question{verb: "get", subresource: imageapi.SubresourceLayers, namespace: namespace, stream: stream}
}

func (v viewer) may(ctx context.Context, q question) (bool, error) {
	r := v.reviews
	q.user = v.id
	if allowed, found := r.answers.Get(q); found {
		return allowed, nil
	}
	found, err := v.once(ctx, q.key(), func(ctx context.Context) (any, error) {
		at := r.now()
		allowed, err := r.ask(ctx, q.spec(v.user))
		if err == nil {
			r.answers.AddUntil(q, allowed, at.Add(reviewFor))
		}
		return allowed, err
	})
	allowed, _ := found.(bool)
	return allowed, err
}

// errManyReviews ends a request that reached its limit of reviews.
var errManyReviews = errors.New("too many reviews for one request")

// once requests a review of the user, shared with concurrent requests for the same key, with a
// bound for all requests together.
func (v viewer) once(ctx context.Context, key string, ask func(context.Context) (any, error)) (any, error) {
	if v.left.Add(-1) < 0 {
		return nil, errManyReviews
	}
	flight := v.reviews.flights.DoChan(v.id+key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		select {
		case v.reviews.asking <- struct{}{}:
			defer func() { <-v.reviews.asking }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return ask(ctx)
	})
	select {
	case done := <-flight:
		return done.Val, done.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// key has no part that can be taken for another: names hold no NUL.
func (q question) key() string {
	return q.verb + "\x00" + q.subresource + "\x00" + q.namespace + "\x00" + q.stream
}

func (q question) spec(u user.Info) authorizationv1.SubjectAccessReviewSpec {
	return auth.ReviewOf(u, authorizationv1.ResourceAttributes{
		Namespace: q.namespace, Name: q.stream, Verb: q.verb,
		Group: imagev1.GroupName, Version: imagev1.GroupVersion.Version, Resource: imageapi.ImageStreams, Subresource: q.subresource,
	})
}
