package host

import (
	genericapiserver "k8s.io/apiserver/pkg/server"
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
		ClusterRoleBindings:        append(append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...), roles.ClusterRoleBindings()...),
		Roles:                      bootstrappolicy.NamespaceRoles(),
		RoleBindings:               bootstrappolicy.NamespaceRoleBindings(),
		ClusterRolesToAggregate:    bootstrappolicy.ClusterRolesToAggregate(),
		ClusterRoleBindingsToSplit: bootstrappolicy.ClusterRoleBindingsToSplit(),
	}
	policy.Roles[SharedNamespace] = roles.SharedNamespaceRoles()
	policy.RoleBindings[SharedNamespace] = roles.SharedNamespaceBindings()
	// It makes the namespace too, if the controller of system namespaces has not yet.
	return rbacrest.PostStartHookName, policy.EnsureRBACPolicy(), nil
}
