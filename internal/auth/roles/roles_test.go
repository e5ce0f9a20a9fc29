package roles

import (
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
)

// grants reports whether a rule of the role allows the verb on the resource.
func grants(role rbacv1.ClusterRole, verb, group, resource string) bool {
	return slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
		return slices.Contains(r.Verbs, verb) && slices.Contains(r.APIGroups, group) && slices.Contains(r.Resources, resource)
	})
}

// Imports tell by Events what went wrong: users of the streams read them, and write none.
func TestRegistryRolesReadEvents(t *testing.T) {
	seen := 0
	for _, role := range ClusterRoles() {
		if !slices.Contains([]string{RegistryAdmin, RegistryEditor, RegistryViewer}, role.Name) {
			continue
		}
		seen++
		for _, group := range []string{"", "events.k8s.io"} {
			for _, verb := range read {
				if !grants(role, verb, group, "events") {
					t.Errorf("%s may not %s events of %q", role.Name, verb, group)
				}
			}
			if grants(role, "create", group, "events") {
				t.Errorf("%s may create events of %q", role.Name, group)
			}
		}
	}
	if seen != 3 {
		t.Errorf("there are %d registry roles", seen)
	}
}

// What binds a component names roles that are installed, or Kubernetes' own.
func TestComponentsHaveTheirRoles(t *testing.T) {
	installed := map[string]bool{"ClusterRole/system:auth-delegator": true, "Role/extension-apiserver-authentication-reader": true}
	for _, r := range ClusterRoles() {
		installed["ClusterRole/"+r.Name] = true
	}
	for _, r := range NamespaceRoles()[ComponentNamespace] {
		installed["Role/"+r.Name] = true
	}
	for _, component := range []string{APIServer, Controllers, Registry} {
		cluster, namespaced := ComponentBindings(component, rbacv1.Subject{Kind: rbacv1.UserKind, Name: "x"})
		refs := []rbacv1.RoleRef{}
		for _, b := range cluster {
			refs = append(refs, b.RoleRef)
		}
		for _, b := range namespaced {
			refs = append(refs, b.RoleRef)
		}
		for _, ref := range refs {
			if !installed[ref.Kind+"/"+ref.Name] {
				t.Errorf("%s is bound to %s/%s, which is not there", component, ref.Kind, ref.Name)
			}
		}
	}
}

// No component can do everything, and none but the registry can be another user.
func TestComponentsHaveFewRights(t *testing.T) {
	for _, role := range componentRoles() {
		for _, r := range role.Rules {
			impersonates := slices.Equal(r.Verbs, []string{"impersonate"})
			if slices.Contains(r.Verbs, "*") || slices.Contains(r.Resources, "*") && !impersonates || slices.Contains(r.APIGroups, "*") {
				t.Errorf("%s has all rights of a kind: %v", role.Name, r)
			}
			if slices.Contains(r.Verbs, "impersonate") && role.Name != Registry {
				t.Errorf("%s impersonates", role.Name)
			}
		}
	}
}
