package streams

import (
	"context"
	"encoding/json"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	imagev1 "github.com/openshift/api/image/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"golang.org/x/sync/singleflight"

	"weir.dev/weir/internal/imageapi"
)

const (
	// reviewFor is how long an answer counts: rights that are given or taken show in a
	// listing no later.
	reviewFor  = 10 * time.Second
	maxReviews = 1 << 15
	// maxConcurrentReviews bounds the reviews of all listings together.
	maxConcurrentReviews = 16
)

// question is what is asked of a user: list or get imagestreams or their layers, in a
// namespace or all ("").
type question struct {
	user              string // identity, see identityOf
	verb, subresource string
	namespace, stream string
}

type answer struct {
	allowed bool
	at      time.Time
}

// reviews asks what users may do, each question once in a while.
type reviews struct {
	ask     func(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, error)
	now     func() time.Time
	answers *lru.Cache[question, answer]
	flights singleflight.Group
	asking  chan struct{}
}

func newReviews(ask func(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, error), now func() time.Time) *reviews {
	return &reviews{ask: ask, now: now, answers: newLRU[question, answer](maxReviews), asking: make(chan struct{}, maxConcurrentReviews)}
}

// viewer is a user whose view of the streams is asked for.
type viewer struct {
	reviews *reviews
	user    user.Info
	id      string
}

func (r *reviews) viewer(u user.Info) viewer {
	return viewer{reviews: r, user: u, id: identityOf(u)}
}

// identityOf is a text that two users share only if they may do the same.
func identityOf(u user.Info) string {
	text, err := json.Marshal([]any{u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra()})
	if err != nil {
		panic(err) // strings, and lists and maps of strings
	}
	return string(text)
}

// everything tells whether the user may list, or pull from, all streams of a namespace,
// or, of "", of all namespaces.
func (v viewer) everything(ctx context.Context, namespace string) (bool, error) {
	allowed, err := v.may(ctx, question{verb: "list", namespace: namespace})
	if allowed || err != nil {
		return allowed, err
	}
	return v.may(ctx, question{verb: "get", subresource: imageapi.SubresourceLayers, namespace: namespace})
}

// stream tells whether the user may see one stream.
func (v viewer) stream(ctx context.Context, namespace, name string) (bool, error) {
	allowed, err := v.everything(ctx, namespace)
	if allowed || err != nil {
		return allowed, err
	}
	return v.may(ctx, question{verb: "get", subresource: imageapi.SubresourceLayers, namespace: namespace, stream: name})
}

func (v viewer) may(ctx context.Context, q question) (bool, error) {
	r := v.reviews
	q.user = v.id
	if a, found := r.answers.Get(q); found && r.now().Sub(a.at) < reviewFor {
		return a.allowed, nil
	}
	flight := r.flights.DoChan(q.key(), func() (any, error) {
		allowed, err := v.review(context.WithoutCancel(ctx), q)
		return allowed, err
	})
	select {
	case done := <-flight:
		allowed, _ := done.Val.(bool)
		return allowed, done.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (v viewer) review(ctx context.Context, q question) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r := v.reviews
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	at := r.now()
	allowed, err := r.ask(ctx, q.spec(v.user))
	if err == nil {
		r.answers.Add(q, answer{allowed: allowed, at: at})
	}
	return allowed, err
}

// key has no part that can be taken for another: names hold no NUL.
func (q question) key() string {
	return q.verb + "\x00" + q.subresource + "\x00" + q.namespace + "\x00" + q.stream + "\x00" + q.user
}

func (q question) spec(u user.Info) authorizationv1.SubjectAccessReviewSpec {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range u.GetExtra() {
		extra[key] = values
	}
	return authorizationv1.SubjectAccessReviewSpec{
		User: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: q.namespace, Name: q.stream, Verb: q.verb,
			Group: imagev1.GroupName, Version: imagev1.GroupVersion.Version, Resource: imageapi.ImageStreams, Subresource: q.subresource,
		},
	}
}
