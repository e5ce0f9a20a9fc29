// Package roles provides the RBAC roles of the image API, as plain values: who
// may pull, push, sign, audit and edit image streams. A standalone Weir brings
// them up to date at each start; in a cluster its installer applies them.
//
// The names and rights are those OpenShift documents for image.openshift.io, so
// that `oc policy add-role-to-user system:image-puller …` and existing bindings
// mean the same here. Rules name the group image.openshift.io and, as there, the
// legacy empty group.
package roles

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// SharedNamespace is the namespace whose streams all authenticated users may see
// and pull.
const SharedNamespace = "openshift"

// Names of the cluster roles.
const (
	ImagePuller    = "system:image-puller"
	ImagePusher    = "system:image-pusher"
	ImageBuilder   = "system:image-builder"
	ImageSigner    = "system:image-signer"
	ImageAuditor   = "system:image-auditor"
	ImagePruner    = "system:image-pruner"
	RegistryAdmin  = "registry-admin"
	RegistryEditor = "registry-editor"
	RegistryViewer = "registry-viewer"
	ClusterReader  = "cluster-reader"
	// RegistryLogin lets all who have logged in ask for a password for the registry.
	RegistryLogin = "weir:registry-login"

	sharedViewer = "shared-resource-viewer"
	allUsers     = "system:authenticated"
)

var (
	imageGroups = []string{"image.openshift.io", ""}
	read        = []string{"get", "list", "watch"}
	readWrite   = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

	// eventRule lets users of streams read what imports did.
	eventRule = rbacv1.PolicyRule{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: read}

	// scheduleRule shows when the scheduled tags of streams are checked.
	scheduleRule = rbacv1.PolicyRule{APIGroups: []string{weirv1alpha1.GroupName}, Resources: []string{weirv1alpha1.ScheduledTags}, Verbs: []string{"get", "list"}}

	streamResources = []string{"imagestreams", "imagestreammappings", "imagestreamtags", "imagetags", "imagestreamimages"}
)

// ClusterRoles returns the cluster-wide roles.
func ClusterRoles() []rbacv1.ClusterRole {
	pull, pushPull := rule("imagestreams/layers", "get"), rule("imagestreams/layers", "get", "update")
	edit := []rbacv1.PolicyRule{
		{APIGroups: imageGroups, Resources: append(append([]string{}, streamResources...), "imagestreams/secrets"), Verbs: readWrite},
		pushPull,
		rule("imagestreamimports", "create"),
		scheduleRule,
	}
	statusRead := rule("imagestreams/status", read...)
	view := rbacv1.PolicyRule{APIGroups: imageGroups, Resources: streamResources, Verbs: read}
	imagesRead := rbacv1.PolicyRule{APIGroups: imageGroups, Resources: []string{"images", "imagesignatures"}, Verbs: read}

	return append(componentRoles(), []rbacv1.ClusterRole{
		clusterRole(ImagePuller, pull),
		clusterRole(ImagePusher, pushPull),
		clusterRole(ImageBuilder, pushPull, rule("imagestreams", "create"), buildRule("builds", "get"), buildRule("builds/details", "update")),
		clusterRole(ImageSigner, rule("images", "get"), pull, rule("imagesignatures", "create", "delete")),
		clusterRole(ImageAuditor, rule("images", "get", "list", "watch", "patch", "update")),
		clusterRole(ImagePruner, prunerRules()...),
		clusterRole(RegistryAdmin, append(edit, namespaceRule("get"), eventRule, registryRoleRule())...),
		clusterRole(RegistryEditor, append(edit, namespaceRule("get"), eventRule)...),
		clusterRole(RegistryViewer, view, scheduleRule, pull, namespaceRule("get"), eventRule),
		aggregated("weir:aggregate-to-edit", "edit", append(edit, statusRead)...),
		aggregated("weir:aggregate-to-admin", "admin", append(edit, statusRead)...),
		aggregated("weir:aggregate-to-view", "view", view, scheduleRule, statusRead),
		readerRole(),
		aggregated("weir:aggregate-to-cluster-reader", "cluster-reader", imagesRead, pull, view, scheduleRule, statusRead),
		clusterRole(RegistryLogin, rbacv1.PolicyRule{APIGroups: []string{weirv1alpha1.GroupName}, Resources: []string{weirv1alpha1.RegistryTokens}, Verbs: []string{"create"}}),
	}...)
}

// ClusterRoleBindings returns the bindings of the cluster-wide roles.
func ClusterRoleBindings() []rbacv1.ClusterRoleBinding {
	return []rbacv1.ClusterRoleBinding{{
		ObjectMeta: metav1.ObjectMeta{Name: RegistryLogin},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: RegistryLogin},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: allUsers}},
	}}
}

// sharedNamespaceRoles are the roles of SharedNamespace.
func sharedNamespaceRoles() []rbacv1.Role {
	return []rbacv1.Role{{
		ObjectMeta: metav1.ObjectMeta{Name: sharedViewer, Namespace: SharedNamespace},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: imageGroups, Resources: []string{"imagestreams", "imagestreamtags", "imagetags", "imagestreamimages"}, Verbs: read},
			scheduleRule,
			rule("imagestreams/layers", "get"),
		},
	}}
}

// sharedNamespaceBindings are the bindings of SharedNamespace.
func sharedNamespaceBindings() []rbacv1.RoleBinding {
	return []rbacv1.RoleBinding{{
		ObjectMeta: metav1.ObjectMeta{Name: sharedViewer + "s", Namespace: SharedNamespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: sharedViewer},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: allUsers}},
	}}
}

// prunerRules are the requests that `oc adm prune images` makes.
func prunerRules() []rbacv1.PolicyRule {
	list := func(group string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list"}}
	}
	return []rbacv1.PolicyRule{
		list("", "pods", "replicationcontrollers", "limitranges"),
		list("build.openshift.io", "buildconfigs", "builds"),
		list("apps.openshift.io", "deploymentconfigs"),
		list("apps", "daemonsets", "deployments", "replicasets", "statefulsets"),
		list("batch", "jobs", "cronjobs"),
		rule("images", "get", "list", "delete"),
		rule("imagestreams", "get", "list"),
		rule("imagestreams/status", "update"),
	}
}

// readerRole is the aggregate that OpenShift calls cluster-reader and plain
// Kubernetes does not have.
func readerRole() rbacv1.ClusterRole {
	role := clusterRole(ClusterReader)
	role.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{
		{MatchLabels: map[string]string{aggregateLabel("cluster-reader"): "true"}},
		{MatchLabels: map[string]string{aggregateLabel("view"): "true"}},
	}}
	return role
}

func rule(resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: imageGroups, Resources: []string{resource}, Verbs: verbs}
}

func buildRule(resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"build.openshift.io", ""}, Resources: []string{resource}, Verbs: verbs}
}

func namespaceRule(verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: verbs}
}

// registryRoleRule lets a registry admin hand out roles within the namespace.
func registryRoleRule() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: readWrite}
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) rbacv1.ClusterRole {
	return rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
}

// aggregated is a role whose rules Kubernetes adds to those of the role `to`.
func aggregated(name, to string, rules ...rbacv1.PolicyRule) rbacv1.ClusterRole {
	role := clusterRole(name, rules...)
	role.Labels = map[string]string{aggregateLabel(to): "true"}
	return role
}

func aggregateLabel(to string) string {
	return "rbac.authorization.k8s.io/aggregate-to-" + to
}
