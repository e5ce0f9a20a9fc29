package auth

import (
	"context"
	"errors"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// answering asks nobody: it notes the question and gives its answer.
type answering struct {
	decision authorizer.Decision
	reason   string
	err      error
	asked    authorizer.Attributes
}

func (a *answering) Authorize(_ context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	a.asked = attributes
	return a.decision, a.reason, a.err
}

func (a *answering) ConditionsAwareAuthorize(ctx context.Context, attributes authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(a.Authorize(ctx, attributes))
}

func (*answering) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

var alice = &user.DefaultInfo{Name: "alice"}

func TestWords(t *testing.T) {
	ctx := context.Background()
	for want, ask := range map[string]func(Access) error{
		"get imagestreams layers shop/web":    func(a Access) error { return a.CanPull(ctx, alice, "shop", "web") },
		"update imagestreams layers shop/web": func(a Access) error { return a.CanPush(ctx, alice, "shop", "web") },
		"delete imagestreamtags  shop/":       func(a Access) error { return a.CanDeleteTags(ctx, alice, "shop") },
		"delete images  /":                    func(a Access) error { return a.CanDeleteImages(ctx, alice) },
		"update images  /":                    func(a Access) error { return a.CanUpdateImages(ctx, alice) },
		"create imagesignatures  shop/web":    func(a Access) error { return a.CanSign(ctx, alice, "shop", "web") },
		"get registry metrics /":              func(a Access) error { return a.CanInCluster(ctx, alice, "get", "registry", "metrics") },
		"create imagestreammappings  /": func(a Access) error {
			if !a.CanCreate(ctx, alice, "imagestreammappings") {
				return errors.New("refused")
			}
			return nil
		},
	} {
		authorizer := &answering{decision: authorizer.DecisionAllow}
		if err := ask(New(authorizer)); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		a := authorizer.asked
		got := strings.Join([]string{a.GetVerb(), a.GetResource(), a.GetSubresource(), a.GetNamespace() + "/" + a.GetName()}, " ")
		if got != want || a.GetAPIGroup() != "image.openshift.io" || !a.IsResourceRequest() || a.GetUser() != user.Info(alice) {
			t.Errorf("asked for %s in %s, want %s", got, a.GetAPIGroup(), want)
		}
	}
}

func TestRefusals(t *testing.T) {
	down := errors.New("down")
	for _, test := range []struct {
		answer answering
		text   string
		failed bool
	}{
		{answering{decision: authorizer.DecisionNoOpinion}, `"" ""`, false},
		{answering{decision: authorizer.DecisionDeny, reason: "no"}, `"no" ""`, false},
		{answering{decision: authorizer.DecisionNoOpinion, reason: "no", err: down}, `"no" "down"`, true},
	} {
		err := New(&test.answer).CanPull(context.Background(), alice, "shop", "web")
		var refusal *Refusal
		if !errors.As(err, &refusal) || err.Error() != test.text || errors.Is(err, down) != test.failed {
			t.Errorf("%+v: %v", test.answer, err)
		}
	}
	// An answer counts, whatever else went wrong on the way to it.
	if err := New(&answering{decision: authorizer.DecisionAllow, err: down}).CanPull(context.Background(), alice, "shop", "web"); err != nil {
		t.Error(err)
	}
}
