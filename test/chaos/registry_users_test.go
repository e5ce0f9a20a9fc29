package chaos_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/cli"
)

// administrator is a client with a password for everything.
func administrator(t *testing.T, p *process) registryClient {
	t.Helper()
	token, err := cli.Token(t.Context(), cli.TokenOptions{Kubeconfig: p.kubeconfig, Expires: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return registryClient{p.registry(t), basicAuthorization(token)}
}

// account makes a service account with a role in its namespace, unless that is "", and
// returns a token of the API for it.
func account(t *testing.T, p *process, ns, name, role string) string {
	t.Helper()
	ctx, accounts := t.Context(), p.kube.CoreV1().ServiceAccounts(ns)
	if _, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if role != "" {
		_, err := p.kube.RbacV1().RoleBindings(ns).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: name}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	token, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

// makeNamespace makes a namespace.
func makeNamespace(t *testing.T, p *process, name string) {
	t.Helper()
	if _, err := p.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// signedToken is a token of the registry for a user, signed with the registry's own key
// as if at another time.
func signedToken(t *testing.T, p *process, who user.Info, at time.Time, lifetime time.Duration, grants ...tokens.Grant) string {
	t.Helper()
	keys := tokens.NewKeys(tokens.KeyOptions{
		Secrets: p.kube.CoreV1().Secrets(tokens.DefaultNamespace), Now: func() time.Time { return at },
	})
	token, _, err := tokens.NewIssuer(keys, nil).Issue(t.Context(), tokens.Access, who, grants, lifetime, tokens.End{})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// token asks the token endpoint, with the client's password.
func (c registryClient) token(t *testing.T, scopes ...string) string {
	t.Helper()
	reply, err := c.want(t.Context(), http.StatusOK, http.MethodGet, "/openshift/token?"+url.Values{"scope": scopes}.Encode(), nil)
	var told struct{ Token string }
	if err != nil || json.Unmarshal(reply.body, &told) != nil || told.Token == "" {
		t.Fatalf("asking for a token: %v %s", err, reply.body)
	}
	return told.Token
}
