package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"weir.dev/weir/internal/caches"
)

// countingReviewer accepts tokens that begin with "good".
type countingReviewer struct {
	mu    sync.Mutex
	asked map[string]int
	err   error
}

func (c *countingReviewer) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	<-time.After(time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[token]++
	if c.err != nil || !strings.HasPrefix(token, "good") {
		return nil, false, c.err
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: token}}, true, nil
}

// TestTokensAreReviewedOnceInAWhile: many requests with a token, at a time or in turn, cost one
// review in ten seconds, those with a refused one one in five, and a failure is no answer.
func TestTokensAreReviewedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &countingReviewer{asked: map[string]int{}}
		r := newRememberingReviewer(api, nil, time.Now)
		want := func(token string, accepted bool, reviews int) {
			t.Helper()
			var requests sync.WaitGroup
			for range 10 {
				requests.Go(func() {
					response, ok, err := r.AuthenticateToken(t.Context(), token)
					if err != nil || ok != accepted || ok && response.User.GetName() != token {
						t.Errorf("%s: %v, %t, %v", token, response, ok, err)
					}
				})
			}
			requests.Wait()
			if api.asked[token] != reviews {
				t.Errorf("%d reviews of %s, want %d", api.asked[token], token, reviews)
			}
		}
		want("good", true, 1)
		want("bad", false, 1)
		want("good", true, 1)
		want("bad", false, 1)
		<-time.After(unknownTokenTTL)
		want("good", true, 1)
		want("bad", false, 2)
		<-time.After(knownTokenTTL - unknownTokenTTL)
		want("good", true, 2)

		api.err = errors.New("down")
		if _, _, err := r.AuthenticateToken(t.Context(), "good2"); !errors.Is(err, api.err) {
			t.Errorf("got %v", err)
		}
		api.err = nil
		want("good2", true, 2)
	})
}

// TestWrongTokensDriveOutNoGoodOne: tokens that are refused cost nothing to send.
func TestWrongTokensDriveOutNoGoodOne(t *testing.T) {
	api := &countingReviewer{asked: map[string]int{}}
	now := time.Now()
	r := newRememberingReviewer(api, caches.NewPool(1<<20), func() time.Time { return now })
	for i := range 100 {
		if _, ok, err := r.AuthenticateToken(t.Context(), fmt.Sprint("good", i)); !ok {
			t.Fatal(err)
		}
	}
	for i := range 20_000 {
		r.refused.Add(tokenHash{byte(i), byte(i >> 8)}, struct{}{})
	}
	if n := r.accepted.Len(); n != 100 {
		t.Errorf("%d of 100 good tokens are left", n)
	}
	if n := r.refused.Bytes(); n > 1<<20 {
		t.Errorf("%d bytes for refused tokens", n)
	}
}

// fakeReviews answers with a status, and fails first as often as wanted.
type fakeReviews struct {
	status authorizationv1.SubjectAccessReviewStatus
	fail   int
	asked  []authorizationv1.SubjectAccessReviewSpec
}

func (f *fakeReviews) Create(_ context.Context, r *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	f.asked = append(f.asked, r.Spec)
	if f.fail > 0 {
		f.fail--
		return nil, apierrors.NewInternalError(errors.New("down"))
	}
	answer := r.DeepCopy()
	answer.Status = f.status
	return answer, nil
}

func TestReviewedRights(t *testing.T) {
	pull := authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: "alice", UID: "1", Groups: []string{"g"}, Extra: map[string][]string{"k": {"v"}}},
		Verb: "get", APIGroup: "image.openshift.io", APIVersion: "*", Resource: "imagestreams", Subresource: "layers", Namespace: "shop", Name: "web", ResourceRequest: true,
	}
	for name, test := range map[string]struct {
		status authorizationv1.SubjectAccessReviewStatus
		want   authorizer.Decision
		life   time.Duration
	}{
		"allowed":    {authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: "r"}, authorizer.DecisionAllow, allowedTTL},
		"no opinion": {authorizationv1.SubjectAccessReviewStatus{Reason: "r"}, authorizer.DecisionNoOpinion, refusedTTL},
		"denied":     {authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: "r"}, authorizer.DecisionDeny, refusedTTL},
		"both":       {authorizationv1.SubjectAccessReviewStatus{Denied: true, Allowed: true, Reason: "r"}, authorizer.DecisionDeny, allowedTTL},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &fakeReviews{status: test.status, fail: 1}
				r := newReviewedRights(api, nil, time.Now)
				want := func(reviews int) {
					t.Helper()
					decision, reason, err := r.Authorize(t.Context(), pull)
					if decision != test.want || reason != "r" || (err != nil) != (name == "both") || len(api.asked) != reviews {
						t.Errorf("%v %q %v after %d reviews, want %v after %d", decision, reason, err, len(api.asked), test.want, reviews)
					}
				}
				want(2) // one failed
				want(2)
				<-time.After(test.life)
				want(3)
				other := pull
				other.User = &user.DefaultInfo{Name: "alice", UID: "2"}
				if _, _, err := r.Authorize(t.Context(), other); len(api.asked) != 4 {
					t.Errorf("another user was not reviewed: %v", err)
				}
				spec := api.asked[0]
				if a := spec.ResourceAttributes; spec.User != "alice" || spec.UID != "1" || spec.Groups[0] != "g" || spec.Extra["k"][0] != "v" ||
					*a != (authorizationv1.ResourceAttributes{Namespace: "shop", Name: "web", Verb: "get", Group: "image.openshift.io", Version: "*", Resource: "imagestreams", Subresource: "layers"}) {
					t.Errorf("asks for %+v", spec)
				}
			})
		})
	}
}

// TestRightsThatCannotBeReviewed: no answer is not remembered, and an error that does not pass is told
// at once.
func TestRightsThatCannotBeReviewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeReviews{fail: 5}
		r := newReviewedRights(api, nil, time.Now)
		a := authorizer.AttributesRecord{User: &user.DefaultInfo{Name: "alice"}, Verb: "get", Resource: "imagestreams", ResourceRequest: true}
		decision, _, err := r.Authorize(t.Context(), a)
		var status apierrors.APIStatus
		if decision != authorizer.DecisionNoOpinion || !errors.As(err, &status) || status.Status().Code != http.StatusInternalServerError || len(api.asked) != 3 {
			t.Errorf("%v, %v after %d reviews", decision, err, len(api.asked))
		}
		if r.known.Len() != 0 {
			t.Error("no answer is remembered")
		}
	})
}
