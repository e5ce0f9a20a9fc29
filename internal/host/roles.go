package host

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
	"weir.dev/weir/internal/auth/roles"
)

// SharedNamespace is the namespace whose streams every authenticated user may
// see and pull.
const SharedNamespace = roles.SharedNamespace

// rbacWithImageRoles is Kubernetes' RBAC group whose start hook brings Weir's
// roles up to date together with Kubernetes' own: rules that are missing are
// added, an object annotated rbac.authorization.kubernetes.io/autoupdate=false
// is left alone.
type rbacWithImageRoles struct {
	rbacrest.RESTStorageProvider
}

func (p rbacWithImageRoles) PostStartHook() (string, genericapiserver.PostStartHookFunc, error) {
	policy := &rbacrest.PolicyData{
		ClusterRoles:               append(append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...), roles.ClusterRoles()...),
		ClusterRoleBindings:        append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...),
		Roles:                      bootstrappolicy.NamespaceRoles(),
		RoleBindings:               bootstrappolicy.NamespaceRoleBindings(),
		ClusterRolesToAggregate:    bootstrappolicy.ClusterRolesToAggregate(),
		ClusterRoleBindingsToSplit: bootstrappolicy.ClusterRoleBindingsToSplit(),
	}
	policy.Roles[SharedNamespace] = roles.SharedNamespaceRoles()
	policy.RoleBindings[SharedNamespace] = roles.SharedNamespaceBindings()
	ensure := policy.EnsureRBACPolicy()
	return rbacrest.PostStartHookName, func(hook genericapiserver.PostStartHookContext) error {
		if err := ensureNamespace(hook, SharedNamespace); err != nil {
			return err
		}
		return ensure(hook)
	}, nil
}

// ensureNamespace waits until the system namespaces' controller has made name:
// roles cannot be put into a namespace that is not there.
func ensureNamespace(hook genericapiserver.PostStartHookContext, name string) error {
	client, err := kubernetes.NewForConfig(hook.LoopbackClientConfig)
	if err != nil {
		return fmt.Errorf("waiting for namespace %s: %w", name, err)
	}
	err = wait.PollUntilContextTimeout(hook, 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return false, nil // etcd or the server itself is still starting
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for namespace %s: %w", name, err)
	}
	return nil
}
