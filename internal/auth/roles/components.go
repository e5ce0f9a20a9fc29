package roles

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/auth/tokens"
)

// Names of the roles of components that run in processes of their own. Each is a cluster role, and a
// role of ComponentNamespace.
const (
	APIServer   = "weir:apiserver"
	Controllers = "weir:controllers"
	Registry    = "weir:registry"
)

// ComponentNamespace is the namespace of the objects that components share: the key that signs tokens
// of the registry, the Lease of the controllers, the progress of scheduled imports.
const ComponentNamespace = metav1.NamespaceSystem

// Names of objects that the packages of their owners define too, further up.
const (
	leaseName    = "weir-controllers"
	progressName = "weir-schedule"
)

var (
	write    = []string{"create", "patch", "update"}
	eventing = rbacv1.PolicyRule{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: write}
	// boundObjects are those that tokens end with.
	boundObjects = in("", []string{"secrets", "serviceaccounts", "pods", "nodes"}, "get")
	// issuers has the issuer of the API server's tokens.
	issuers       = rbacv1.PolicyRule{NonResourceURLs: []string{"/.well-known/openid-configuration"}, Verbs: []string{"get"}}
	registryRules = []rbacv1.PolicyRule{
		in("config.openshift.io", []string{"imagedigestmirrorsets", "imagetagmirrorsets"}, read...),
		in("operator.openshift.io", []string{"imagecontentsourcepolicies"}, read...),
	}
)

// componentRoles are the cluster roles of components.
func componentRoles() []rbacv1.ClusterRole {
	return []rbacv1.ClusterRole{
		clusterRole(APIServer, append([]rbacv1.PolicyRule{
			in("", []string{"namespaces", "limitranges", "resourcequotas"}, read...),
			in("", []string{"resourcequotas/status"}, "patch", "update"),
			in("", []string{"secrets"}, "list"), // pull secrets
			boundObjects, eventing, issuers,
			in("admissionregistration.k8s.io", []string{
				"mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations",
				"validatingadmissionpolicies", "validatingadmissionpolicybindings", "validatingwebhookconfigurations",
			}, read...),
			in("flowcontrol.apiserver.k8s.io", []string{"flowschemas", "prioritylevelconfigurations"}, read...),
			in("flowcontrol.apiserver.k8s.io", []string{"flowschemas/status", "prioritylevelconfigurations/status"}, "patch", "update"),
			in("apiregistration.k8s.io", []string{"apiservices"}, "create"),
			named("apiregistration.k8s.io", "apiservices", []string{"v1.image.openshift.io", "v1alpha1.weir.dev"}, "get", "update"),
		}, registryRules...)...),
		clusterRole(Controllers,
			in("", []string{"namespaces"}, "get"),
			in("", []string{"secrets"}, "list", "watch"), // when pull secrets change
			eventing,
			rule("imagestreams", read...),
			rule("imagestreams/status", "update"),
			rule("imagestreams/layers", "get"), // of tags that name other streams
			rule("imagestreamimports", "create"),
			rule("images", "create"),
		),
		clusterRole(Registry, append([]rbacv1.PolicyRule{
			in("", []string{"namespaces"}, read...),
			boundObjects, eventing, issuers,
			rule("imagestreams", read...),
			rule("imagestreams/secrets", "get"),
			rule("imagestreamimages", "get"),
			rule("images", "get"),
			// It writes as the users whom it writes for, and as system:weir:registry.
			in("", []string{"users", "groups", "serviceaccounts"}, "impersonate"),
			// uids and userextras/KEY, whose keys are those of any authenticator: RBAC has no
			// pattern for them.
			in("authentication.k8s.io", []string{rbacv1.ResourceAll}, "impersonate"),
		}, registryRules...)...),
	}
}

// NamespaceRoles returns the roles of namespaces, by namespace.
func NamespaceRoles() map[string][]rbacv1.Role {
	key := []rbacv1.PolicyRule{in("", []string{"secrets"}, "create"), named("", "secrets", []string{tokens.DefaultName}, "get", "update")}
	return map[string][]rbacv1.Role{
		SharedNamespace: sharedNamespaceRoles(),
		ComponentNamespace: {
			componentRole(APIServer, append(key, named("", "configmaps", []string{progressName}, "get"))...),
			componentRole(Controllers,
				in("coordination.k8s.io", []string{"leases"}, "create"),
				named("coordination.k8s.io", "leases", []string{leaseName}, "get", "update"),
				in("", []string{"configmaps"}, "create"),
				named("", "configmaps", []string{progressName}, "get", "patch"),
			),
			componentRole(Registry, key...),
		},
	}
}

// NamespaceBindings returns the bindings of the roles of namespaces, by namespace.
func NamespaceBindings() map[string][]rbacv1.RoleBinding {
	return map[string][]rbacv1.RoleBinding{SharedNamespace: sharedNamespaceBindings()}
}

// ComponentBindings returns what binds the roles of a component (APIServer, Controllers, Registry) to a
// subject, with Kubernetes' own roles of servers that delegate authentication and authorization.
func ComponentBindings(component string, to rbacv1.Subject) (cluster []rbacv1.ClusterRoleBinding, namespaced []rbacv1.RoleBinding) {
	ref := func(kind, name string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
	}
	meta := func(suffix, namespace string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: component + suffix, Namespace: namespace}
	}
	subjects := []rbacv1.Subject{to}
	return []rbacv1.ClusterRoleBinding{
			{ObjectMeta: meta("", ""), RoleRef: ref("ClusterRole", component), Subjects: subjects},
			{ObjectMeta: meta(":auth-delegator", ""), RoleRef: ref("ClusterRole", "system:auth-delegator"), Subjects: subjects},
		}, []rbacv1.RoleBinding{
			{ObjectMeta: meta("", ComponentNamespace), RoleRef: ref("Role", component), Subjects: subjects},
			{ObjectMeta: meta(":authentication-reader", ComponentNamespace), RoleRef: ref("Role", "extension-apiserver-authentication-reader"), Subjects: subjects},
		}
}

func componentRole(name string, rules ...rbacv1.PolicyRule) rbacv1.Role {
	return rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ComponentNamespace}, Rules: rules}
}

func in(group string, resources []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}

func named(group, resource string, names []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: names, Verbs: verbs}
}
