package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/testenv"
)

// TestStreamsCatalog has users with all kinds of rights.
func TestStreamsCatalog(t *testing.T) {
	a, b := env.Namespace(t, "catalog-a"), env.Namespace(t, "catalog-b")
	r := newReplica(t)
	for _, in := range []struct{ namespace, path string }{{a, "one"}, {a, "nested/two"}, {b, "three"}, {b, "four"}} {
		r.pushed(t, newManifest(t, 1).to(repo(t, in.namespace, in.path), admin, "1"))
	}
	inA, inB := []string{a + "/nested/two", a + "/one"}, []string{b + "/four", b + "/three"}
	all := append(slices.Clone(inA), inB...)
	one := newUser(t, b)
	_, err := env.Kube.RbacV1().Roles(b).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "one"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"image.openshift.io"}, Resources: []string{"imagestreams/layers"}, ResourceNames: []string{"three"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	bind(t, b, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "one"}, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: one.Name})
	nobody := &user.DefaultInfo{Name: "system:anonymous", Groups: []string{"system:unauthenticated"}}
	bind(t, a, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:image-puller"}, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:unauthenticated"})

	for name, test := range map[string]struct {
		user user.Info
		want []string
	}{
		"admin":             {admin, all},
		"viewer of one":     {newUser(t, a, "view"), inA},
		"puller from one":   {newUser(t, b, "system:image-puller"), inB},
		"puller of one":     {one, []string{b + "/three"}},
		"without any right": {newUser(t, a), nil},
		"nobody":            {nobody, inA},
	} {
		t.Run(name, func(t *testing.T) {
			testenv.Eventually(t, "the rights to be known", func() error {
				names, more, err := r.Repositories(t.Context(), test.user, "", 1<<20)
				ours := slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, a+"/") && !strings.HasPrefix(n, b+"/") })
				if err != nil || more || !slices.Equal(ours, test.want) {
					return fmt.Errorf("sees %q, more %v, %w; want %q", ours, more, err, test.want)
				}
				return nil
			})
		})
	}
	r.requests()
	page, more, err := r.Repositories(t.Context(), admin, a+"/nested/two", 1)
	if err != nil || !more || !slices.Equal(page, []string{a + "/one"}) {
		t.Errorf("a page is %q, %v, %v", page, more, err)
	}
	r.wantRequests(t, "a page for one who was just asked about")
}

func TestStreamsSignatures(t *testing.T) {
	ns := env.Namespace(t, "sign")
	r := newReplica(t)
	in, m := repo(t, ns, "app"), newManifest(t, 1)
	child := newManifest(t, 1)
	r.pushed(t, child.to(in, admin))
	r.pushed(t, m.to(in, admin, "1"))
	r.pushed(t, newIndex(t, child.Push).to(in, admin, "index"))
	signer := newUser(t, ns)
	_, err := env.Kube.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "signer-"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:image-signer"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: signer.Name}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	sign := func(u user.Info, name, kind, content string) error {
		return r.AddSignature(t.Context(), u, &imagev1.ImageSignature{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: kind, Content: []byte(content)})
	}
	image := m.Digest.String()
	if got, err := r.Signatures(t.Context(), in, m.Digest); err != nil || len(got) != 0 {
		t.Errorf("signatures %v, %v", got, err)
	}
	testenv.Eventually(t, "the signer's rights", func() error { return sign(signer, image+"@one", "AtomicImageV1", "a") })
	fatal(t, sign(signer, child.Digest.String()+"@one", "AtomicImageV1", "a"))
	for what, test := range map[string]struct {
		err  error
		want string
	}{
		"the same name":    {sign(signer, image+"@one", "AtomicImageV1", "b"), "409 SIGNATURE_EXISTS"},
		"the same content": {sign(signer, image+"@two", "AtomicImageV1", "a"), "409 SIGNATURE_EXISTS"},
		"no name":          {sign(signer, "one", "AtomicImageV1", "b"), "400 SIGNATURE_INVALID"},
		"no type":          {sign(signer, image+"@two", "", "b"), "400 SIGNATURE_INVALID"},
		"no image":         {sign(signer, unique("image").String()+"@one", "AtomicImageV1", "b"), "404 MANIFEST_UNKNOWN"},
		"no right":         {sign(newUser(t, ns, "admin"), image+"@two", "AtomicImageV1", "b"), "403 DENIED"},
	} {
		if refused(test.err) != test.want {
			t.Errorf("%s: %v, want %s", what, test.err, test.want)
		}
	}
	for _, d := range []manifest{m, child} {
		got, err := r.Signatures(t.Context(), in, d.Digest)
		if err != nil || len(got) != 1 || got[0].Name != d.Digest.String()+"@one" || string(got[0].Content) != "a" {
			t.Errorf("signatures %v, %v", got, err)
		}
	}
	wantRefused(t, second(r.Signatures(t.Context(), in, unique("image"))), "404 MANIFEST_UNKNOWN")
	wantRefused(t, second(r.Signatures(t.Context(), repo(t, ns, "none"), m.Digest)), "404 NAME_UNKNOWN")
}
