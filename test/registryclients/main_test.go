// Package registryclients_test drives the integrated registry of a whole Weir with the
// clients that people use: podman, buildah and skopeo, crane, helm, cosign and ORAS'
// library, each as somebody who has logged in, and as nobody. What they push is looked
// for in the API, and what one pushes another runs.
package registryclients_test

import (
	"errors"
	"os"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/testenv"
)

var env *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Run(m, func(e *testenv.Env) { env = e }, testenv.WithRegistry))
}

// project is a namespace and who works there.
type project struct {
	// host is host:port of the registry.
	host      string
	namespace string
	// editor may do everything with the namespace's streams.
	editor login
}

// login is what a client shows: any user name, and a token of the API.
type login struct{ user, token string }

// newProject makes a namespace with a service account that edits its streams.
func newProject(t testing.TB) *project {
	t.Helper()
	p := &project{host: env.Registry(), namespace: env.Namespace(t, "clients")}
	p.editor = p.account(t, "editor", roles.RegistryEditor)
	return p
}

// account makes a service account with a cluster's role in the namespace, and a token.
func (p *project) account(t testing.TB, name, role string) login {
	t.Helper()
	accounts := env.Kube.CoreV1().ServiceAccounts(p.namespace)
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if role != "" {
		p.bind(t, name, role, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: p.namespace, Name: name})
		p.mayPull(t, name)
	}
	token, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return login{user: "serviceaccount", token: token.Status.Token}
}

// mayPull waits until the API knows of a right just granted to a service account: who
// asks the registry before is refused, and that is remembered for some seconds.
func (p *project) mayPull(t testing.TB, account string) {
	t.Helper()
	testenv.Eventually(t, "the rights of "+account, func() error {
		review, err := env.Kube.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + p.namespace + ":" + account,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + p.namespace, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: p.namespace, Verb: "get", Group: imagev1.GroupName, Resource: "imagestreams", Subresource: "layers", Name: "any",
			},
		}}, metav1.CreateOptions{})
		if err == nil && !review.Status.Allowed {
			err = errors.New(review.Status.Reason)
		}
		return err
	})
}

// letEverybodyPull grants nobody in particular the right to pull from the namespace.
func (p *project) letEverybodyPull(t testing.TB) {
	t.Helper()
	p.bind(t, "everybody", roles.ImagePuller, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"})
}

func (p *project) bind(t testing.TB, name, role string, subject rbacv1.Subject) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{subject},
	}
	if _, err := env.Kube.RbacV1().RoleBindings(p.namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// bindCluster gives a service account of the namespace a role in the whole cluster.
func (p *project) bindCluster(t testing.TB, account, role string) {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: p.namespace + "-" + account},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: p.namespace, Name: account}},
	}
	if _, err := env.Kube.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	testenv.Eventually(t, what, check)
}
