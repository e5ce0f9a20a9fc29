package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/util/webhook"

	"weir.dev/weir/internal/auth"
	"weir.dev/weir/internal/caches"
)

// accessReviews is the API's resource.
type accessReviews interface {
	Create(ctx context.Context, r *authorizationv1.SubjectAccessReview, o metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error)
}

// reviewedRights is an authorizer that caches access reviews. The library's cache cannot be
// bounded in bytes.
type reviewedRights struct {
	reviews accessReviews
	retry   wait.Backoff
	now     func() time.Time
	known   *caches.Cache[rightKey, authorizationv1.SubjectAccessReviewStatus]
}

// rightKey identifies a right of a user: auth.IdentityOf, and the fields of an access review.
type rightKey struct{ user, verb, group, version, resource, subresource, namespace, name string }

// newReviewedRights returns an authorizer. Reviews of one user do not evict those of others from
// the cache.
func newReviewedRights(reviews accessReviews, p *caches.Pool, now func() time.Time) *reviewedRights {
	return &reviewedRights{
		reviews: reviews, now: now,
		retry: wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 3},
		known: caches.New(p, caches.Options[rightKey, authorizationv1.SubjectAccessReviewStatus]{
			Name: "rights", Bytes: rightsBytes, Life: allowedTTL, Now: now,
			Cost: func(k rightKey, s authorizationv1.SubjectAccessReviewStatus) int {
				return len(k.user) + len(k.resource) + len(k.subresource) + len(k.namespace) + len(k.name) + len(s.Reason) + len(s.EvaluationError)
			},
			Tenant: func(k rightKey) string { return k.user },
		}),
	}
}

// Authorize implements authorizer.Authorizer, for requests for resources.
func (r *reviewedRights) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	key := rightKey{
		user: auth.IdentityOf(a.GetUser()), verb: a.GetVerb(), group: a.GetAPIGroup(), version: a.GetAPIVersion(),
		resource: a.GetResource(), subresource: a.GetSubresource(),
		namespace: strings.Clone(a.GetNamespace()), name: strings.Clone(a.GetName()),
	}
	status, found := r.known.Get(key)
	if !found {
		asked := r.now()
		var err error
		if status, err = r.review(ctx, key, a.GetUser()); err != nil {
			return authorizer.DecisionNoOpinion, "", err
		}
		life := refusedTTL
		if status.Allowed {
			life = allowedTTL
		}
		r.known.AddUntil(key, status, asked.Add(life))
	}
	switch {
	case status.Denied && status.Allowed:
		return authorizer.DecisionDeny, status.Reason, errors.New("the access review is both allowed and denied")
	case status.Denied:
		return authorizer.DecisionDeny, status.Reason, nil
	case status.Allowed:
		return authorizer.DecisionAllow, status.Reason, nil
	}
	return authorizer.DecisionNoOpinion, status.Reason, nil
}

// review creates an access review, with retries.
func (r *reviewedRights) review(ctx context.Context, k rightKey, u user.Info) (authorizationv1.SubjectAccessReviewStatus, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: auth.ReviewOf(u, authorizationv1.ResourceAttributes{
		Verb: k.verb, Group: k.group, Version: k.version, Resource: k.resource, Subresource: k.subresource, Namespace: k.namespace, Name: k.name,
	})}
	var answer *authorizationv1.SubjectAccessReview
	err := webhook.WithExponentialBackoff(ctx, r.retry, func() (err error) {
		answer, err = r.reviews.Create(ctx, review, metav1.CreateOptions{})
		return err
	}, webhook.DefaultShouldRetry)
	if err != nil {
		return authorizationv1.SubjectAccessReviewStatus{}, fmt.Errorf("creating an access review for %s %s: %w", k.verb, k.resource, err)
	}
	return answer.Status, nil
}

// ConditionsAwareAuthorize implements authorizer.Authorizer, without conditions.
func (r *reviewedRights) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(r.Authorize(ctx, a))
}

// EvaluateConditions implements authorizer.Authorizer: there are none.
func (*reviewedRights) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}
