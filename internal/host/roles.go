package host

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"k8s.io/component-helpers/auth/rbac/reconciliation"
	"k8s.io/klog/v2"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/etcdroom"
)

// SharedNamespace is the namespace whose streams every authenticated user may
// see and pull.
const SharedNamespace = roles.SharedNamespace

const (
	// rolesInterval is the time between two attempts to bring the roles up to date, and
	// rolesTimeout the time after which the server ends instead.
	rolesInterval = 200 * time.Millisecond
	rolesTimeout  = 30 * time.Second
	// parallelRoles are brought up to date at a time: etcd syncs what comes together once.
	parallelRoles = 32
	// roomInterval is the time between two attempts on a disk that is full.
	roomInterval = 10 * time.Second
)

// rbacWithImageRoles is Kubernetes' RBAC group whose start hook brings Weir's
// roles up to date together with Kubernetes' own: rules that are missing are
// added, an object annotated rbac.authorization.kubernetes.io/autoupdate=false
// is left alone.
//
// Kubernetes' own hook waits for a second and goes through the roles one by one, which was
// half of the time from start to readiness. It also moves roles of releases before 1.9.
type rbacWithImageRoles struct {
	rbacrest.RESTStorageProvider
}

func (p rbacWithImageRoles) PostStartHook() (string, genericapiserver.PostStartHookFunc, error) {
	return rbacrest.PostStartHookName, func(hook genericapiserver.PostStartHookContext) error {
		config := rest.CopyConfig(hook.LoopbackClientConfig)
		config.QPS = -1 // the server's own fairness decides, not a client's guess
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("making the client of roles: %w", err)
		}
		var last error
		err = wait.PollUntilContextTimeout(hook, rolesInterval, rolesTimeout, true, func(ctx context.Context) (bool, error) {
			last = reconcileRoles(ctx, client)
			return last == nil, nil
		})
		if err != nil && isInsufficient(last) {
			klog.ErrorS(last, "Roles cannot be brought up to date before there is room again")
			go reconcileWithRoom(hook, client)
			return nil
		}
		if err != nil {
			return fmt.Errorf("bringing roles up to date: %w: %w", err, last)
		}
		return nil
	}, nil
}

// reconcileWithRoom brings the roles up to date once there is room: a full disk does not end
// the server, nor keep it from starting.
func reconcileWithRoom(ctx context.Context, client kubernetes.Interface) {
	_ = wait.PollUntilContextCancel(ctx, roomInterval, false, func(ctx context.Context) (bool, error) {
		return reconcileRoles(ctx, client) == nil, nil
	}) // it ends with the server
}

func isInsufficient(err error) bool {
	return apierrors.ReasonForError(err) == etcdroom.ReasonInsufficient
}

// reconcileRoles brings all roles and bindings up to date. Bindings do not need their roles,
// and the namespaces of roles are made where they are missing.
func reconcileRoles(ctx context.Context, client kubernetes.Interface) error {
	// Many at once would all wait if storage does not answer yet.
	if _, err := client.RbacV1().ClusterRoles().List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(parallelRoles)
	forEach(&group, append(append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...), roles.ClusterRoles()...),
		func(role *rbacv1.ClusterRole) error {
			return reconcileRole(reconciliation.ClusterRoleRuleOwner{ClusterRole: role}, reconciliation.ClusterRoleModifier{Client: client.RbacV1().ClusterRoles()})
		})
	forEach(&group, append(append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...), roles.ClusterRoleBindings()...),
		func(binding *rbacv1.ClusterRoleBinding) error {
			return reconcileBinding(reconciliation.ClusterRoleBindingAdapter{ClusterRoleBinding: binding},
				reconciliation.ClusterRoleBindingClientAdapter{Client: client.RbacV1().ClusterRoleBindings()})
		})
	namespaced, bindings := bootstrappolicy.NamespaceRoles(), bootstrappolicy.NamespaceRoleBindings()
	for namespace, more := range roles.NamespaceRoles() {
		namespaced[namespace] = append(namespaced[namespace], more...)
	}
	for namespace, more := range roles.NamespaceBindings() {
		bindings[namespace] = append(bindings[namespace], more...)
	}
	for _, list := range namespaced {
		forEach(&group, list, func(role *rbacv1.Role) error {
			return reconcileRole(reconciliation.RoleRuleOwner{Role: role}, reconciliation.RoleModifier{Client: client.RbacV1(), NamespaceClient: client.CoreV1().Namespaces()})
		})
	}
	for _, list := range bindings {
		forEach(&group, list, func(binding *rbacv1.RoleBinding) error {
			return reconcileBinding(reconciliation.RoleBindingAdapter{RoleBinding: binding},
				reconciliation.RoleBindingClientAdapter{Client: client.RbacV1(), NamespaceClient: client.CoreV1().Namespaces()})
		})
	}
	return group.Wait()
}

func forEach[T any](group *errgroup.Group, list []T, do func(*T) error) {
	for i := range list {
		group.Go(func() error { return do(&list[i]) })
	}
}

func reconcileRole(role reconciliation.RuleOwner, client reconciliation.RuleOwnerModifier) error {
	options := reconciliation.ReconcileRoleOptions{Role: role, Client: client, Confirm: true}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		result, err := options.Run()
		if err != nil {
			return fmt.Errorf("role %s: %w", role.GetName(), err)
		}
		if result.Protected && result.Operation != reconciliation.ReconcileNone {
			klog.InfoS("A role lacks rights that it should have, and is protected from being given them", "role", role.GetName(), "namespace", role.GetNamespace(), "missing", result.MissingRules)
		}
		return nil
	})
}

func reconcileBinding(binding reconciliation.RoleBinding, client reconciliation.RoleBindingModifier) error {
	options := reconciliation.ReconcileRoleBindingOptions{RoleBinding: binding, Client: client, Confirm: true}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		result, err := options.Run()
		if err != nil {
			return fmt.Errorf("role binding %s: %w", binding.GetName(), err)
		}
		if result.Protected && result.Operation != reconciliation.ReconcileNone {
			klog.InfoS("A role binding lacks subjects that it should have, and is protected from being given them", "binding", binding.GetName(), "namespace", binding.GetNamespace(), "missing", result.MissingSubjects)
		}
		return nil
	})
}
