package testenv

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"weir.dev/weir/internal/auth/roles"
)

// tokenLifetime is longer than any test runs.
const tokenLifetime = 24 * time.Hour

// identities makes service accounts with the rights of one component each, and no others.
type identities struct {
	client kubernetes.Interface
	// admin is the kubeconfig that names the server, and folder is where those of components go.
	admin, folder string
}

// kubeconfigFor writes a kubeconfig of a service account with the roles of a component.
func (i identities) kubeconfigFor(ctx context.Context, component string) (file string, err error) {
	name := strings.ReplaceAll(component, ":", "-")
	if err := i.bind(ctx, name, component); err != nil {
		return "", fmt.Errorf("making the identity of %s: %w", component, err)
	}
	seconds := int64(tokenLifetime / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	token, err := i.client.CoreV1().ServiceAccounts(roles.ComponentNamespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("making a token of %s: %w", component, err)
	}
	config, err := clientcmd.LoadFromFile(i.admin)
	if err != nil {
		return "", err
	}
	for user := range config.AuthInfos {
		config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	}
	file = filepath.Join(i.folder, name+".kubeconfig")
	return file, clientcmd.WriteToFile(*config, file)
}

// bind makes a service account and its bindings, unless an earlier run over the same data did. The
// namespace and the roles are there a moment after the first start.
func (i identities) bind(ctx context.Context, name, component string) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	cluster, namespaced := roles.ComponentBindings(component, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: roles.ComponentNamespace, Name: name})
	var last error
	made := func(err error) bool {
		last = err
		return err == nil || apierrors.IsAlreadyExists(err)
	}
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, StartTimeout, true, func(ctx context.Context) (bool, error) {
		_, err := i.client.CoreV1().ServiceAccounts(roles.ComponentNamespace).Create(ctx, account, metav1.CreateOptions{})
		done := made(err)
		for n := 0; done && n < len(cluster); n++ {
			_, err := i.client.RbacV1().ClusterRoleBindings().Create(ctx, &cluster[n], metav1.CreateOptions{})
			done = made(err)
		}
		for n := 0; done && n < len(namespaced); n++ {
			_, err := i.client.RbacV1().RoleBindings(roles.ComponentNamespace).Create(ctx, &namespaced[n], metav1.CreateOptions{})
			done = made(err)
		}
		return done, nil
	})
	if err != nil {
		return fmt.Errorf("%w (last answer: %v)", err, last)
	}
	return nil
}
