package access

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	clienttesting "k8s.io/client-go/testing"

	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/ociregistry"
)

var serviceAccounts = corev1.SchemeGroupVersion.WithResource("serviceaccounts")

// makeAccount makes the service account shop/robot.
func (w *world) makeAccount(t *testing.T, uid types.UID) {
	t.Helper()
	if err := w.objects.Tracker().Create(serviceAccounts, &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "robot", UID: uid},
	}, "shop"); err != nil {
		t.Fatal(err)
	}
}

func (w *world) deleteAccount(t *testing.T) {
	t.Helper()
	if err := w.objects.Tracker().Delete(serviceAccounts, "shop", "robot"); err != nil {
		t.Fatal(err)
	}
}

// The registry's own tokens of a service account end seconds after it, and are none of an
// account that is made later under the same name.
func TestTokensEndWithTheirAccount(t *testing.T) {
	w := newWorld()
	robot := &user.DefaultInfo{Name: "system:serviceaccount:shop:robot", UID: "7"}
	apiToken := jwtThatEnds(w.at.Add(time.Hour))
	w.tokens[apiToken] = robot
	w.makeAccount(t, "7")
	a := w.access()
	password, _, err := a.issuer.Issue(context.Background(), tokens.Password, robot, nil, time.Hour,
		tokens.End{Bound: []tokens.Object{{Resource: tokens.ResourceServiceAccounts, Namespace: "shop", Name: "robot", UID: "7"}}})
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{
		"a password": password, "a token": ask(t, a, basicHeader(apiToken)).Token, "a token for a password": ask(t, a, basicHeader(password)).Token,
	}
	for _, token := range shown {
		as(t, a, token)
	}
	refused := func(when string) {
		t.Helper()
		for what, token := range shown {
			e := failure(t, second(a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+token))))
			if e.Code != ociregistry.CodeUnauthorized || !strings.Contains(e.Message, "serviceaccounts shop/robot") {
				t.Errorf("%s, %s: %v", when, what, e)
			}
			if r := askRaw(a, basicHeader(token)); r.Code != http.StatusUnauthorized {
				t.Errorf("%s, %s buys %s", when, what, r.Body)
			}
		}
	}
	w.deleteAccount(t)
	w.pass(11 * time.Second)
	refused("after the account")
	w.makeAccount(t, "8")
	refused("with another account of the name")
	// The API may go on for seconds to take the first account's token.
	if r := askRaw(a, basicHeader(apiToken)); r.Code != http.StatusUnauthorized {
		t.Errorf("the first account's token buys %s", r.Body)
	}
}

// An API that does not answer whether an account exists ends no token.
func TestAccountsThatCannotBeLookedUp(t *testing.T) {
	w := newWorld()
	apiToken := jwtThatEnds(w.at.Add(time.Hour))
	w.tokens[apiToken] = &user.DefaultInfo{Name: "system:serviceaccount:shop:robot", UID: "7"}
	w.makeAccount(t, "7")
	a := w.access()
	token := ask(t, a, basicHeader(apiToken)).Token
	w.pass(11 * time.Second)
	w.objects.PrependReactor("get", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	if e := failure(t, second(a.Authenticate(request(http.MethodGet, "/v2/", "Bearer "+token)))); e.Code != ociregistry.CodeUnavailable {
		t.Errorf("got %v", e)
	}
	if r := askRaw(a, basicHeader(token)); r.Code != http.StatusServiceUnavailable {
		t.Errorf("the token endpoint answers %d %s", r.Code, r.Body)
	}
}
