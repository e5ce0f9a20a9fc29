package contract_test

import (
	"fmt"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// TestAllowedRegistries has a Weir of its own that may import from one registry.
func TestAllowedRegistries(t *testing.T) {
	t.Parallel()
	allowed, other := testenv.NewRegistry(t), testenv.NewRegistry(t)
	config := testenv.ConfigFile(t, fmt.Sprintf("imports: {allowedRegistries: [{domainName: %q}, {domainName: \"*.example.com\"}]}\n", allowed.Host))
	weir := testenv.Start(t, func(o *standalone.Options) {
		o.ConfigFile, o.InternalHostname = config, internalHost
		o.Controllers = []string{"none"}
	})
	name := allowed.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	foreign := other.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	ns := weir.Namespace(t, "allowed")
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "imports"}, Rules: []rbacv1.PolicyRule{rule("create", "imagestreamimports")}}
	pusher := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "pushes"}, Rules: []rbacv1.PolicyRule{rule("create", "imagestreammapping")}}
	for _, r := range []*rbacv1.ClusterRole{role, pusher} {
		if _, err := weir.Kube.RbacV1().ClusterRoles().Create(t.Context(), r, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for user, roles := range map[string][]*rbacv1.ClusterRole{"plain": {role}, "creator": {role, pusher}} {
		for _, r := range roles {
			binding := &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: user + "-" + r.Name},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: r.Name},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
			}
			if _, err := weir.Kube.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for user, from := range map[string]string{"plain": allowed.Ref("x:1"), "creator": other.Ref("x:1")} {
		testenv.Eventually(t, "the roles to count", func() error {
			_, err := postAs(t.Context(), weir.As(user), ns, looking(image(from, "")))
			return err
		})
	}

	answer, err := postAs(t.Context(), weir.As("plain"), ns, importing("s", image(allowed.Ref("x:1"), "a")))
	if err != nil {
		t.Fatal(err)
	}
	wantSuccess(t, answer.Status.Images[0], name)

	both := wholeRepository(looking(image(allowed.Ref("x:1"), ""), image(other.Ref("x:1"), "")), other.Ref("x"))
	status := refused(t, weir.As("plain"), ns, both)
	wantStatus(t, status, 422, metav1.StatusReasonInvalid, "ImageStreamImport", "looked-at")
	wantForbidden(t, status, other.Host, "spec.images[1].from.name", "spec.repository.from.name")

	for _, user := range []string{"creator", "admin"} {
		config := weir.Config
		if user != "admin" {
			config = weir.As(user)
		}
		looked, err := postAs(t.Context(), config, ns, both)
		if err != nil {
			t.Fatalf("%s may look everywhere: %v", user, err)
		}
		wantSuccess(t, looked.Status.Images[1], foreign)
		status = refused(t, config, ns, importing("s", image(other.Ref("x:1"), "b"))) // O32
		if status.Code != 422 || status.Details.Kind != "ImageStream" && status.Details.Kind != "ImageStreamImport" {
			t.Errorf("%s: an import into a stream from elsewhere: %s", user, asJSON(t, status))
		}
		wantForbidden(t, status, other.Host, "spec.tags[b].from.name", "status.tags[b].items[0].dockerImageReference")
	}
	s, err := weir.Images.ImageV1().ImageStreams(ns).Get(t.Context(), "s", metav1.GetOptions{})
	if err != nil || len(s.Spec.Tags) != 1 {
		t.Errorf("the stream after refused imports: %v %s", err, asJSON(t, s))
	}
	_, err = weir.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "direct"}, Spec: imagev1.ImageStreamSpec{DockerImageRepository: other.Ref("x")},
	}, metav1.CreateOptions{})
	if err == nil || !contains(err.Error(), "not allowed by whitelist") {
		t.Errorf("a stream of a repository elsewhere: %v", err)
	}
}

// wantForbidden checks that a refusal is about fields, because of the list.
func wantForbidden(t *testing.T, status metav1.Status, host string, fields ...string) {
	t.Helper()
	found := map[string]bool{}
	for _, cause := range status.Details.Causes {
		found[cause.Field] = cause.Type == metav1.CauseTypeForbidden && contains(cause.Message, fmt.Sprintf("registry %q not allowed by whitelist: ", host))
	}
	for _, f := range fields {
		if !found[f] {
			t.Errorf("%s is not refused: %s", f, asJSON(t, status))
		}
	}
	if len(found) != len(fields) {
		t.Errorf("causes %s, want %q", asJSON(t, status.Details.Causes), fields)
	}
}
