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
