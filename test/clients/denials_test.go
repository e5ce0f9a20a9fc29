package clients_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/testenv"
)

func unmarshal(t *testing.T, document string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(document), into); err != nil {
		t.Fatalf("parsing %s: %v", document, err)
	}
}

// access is a request that one right allows.
type access struct {
	verb     string
	resource string // with its subresource
	name     string // "" where the request names no object
	scope    string // namespace, "" for the whole cluster
	query    string // that makes it this verb
}

// accesses are all verbs of all resources.
func accesses(namespace string) []access {
	var all []access
	add := func(scope, resource, name string, verbs ...string) {
		for _, verb := range verbs {
			a := access{verb: verb, resource: resource, scope: scope}
			switch verb {
			case "create", "deletecollection", "list":
			case "watch":
				a.query = "?watch=true&timeoutSeconds=1"
			default:
				a.name = name
			}
			all = append(all, a)
		}
	}
	stored := []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
	virtual := []string{"create", "delete", "get", "list", "patch", "update"}
	add("", "images", "i", stored...)
	add("", "imagesignatures", "i@s", "create", "delete")
	add(namespace, "imagestreams", "s", stored...)
	add(namespace, "imagestreams/status", "s", "get", "patch", "update")
	add(namespace, "imagestreams/layers", "s", "get")
	add(namespace, "imagestreams/secrets", "s", "get")
	add(namespace, "imagestreamtags", "s:t", virtual...)
	add(namespace, "imagetags", "s:t", virtual...)
	add(namespace, "imagestreamimages", "s@sha256:0", "get")
	add(namespace, "imagestreamimports", "", "create")
	add(namespace, "imagestreammappings", "", "create")
	add("", "imagestreams", "", "list", "watch")
	add("", "imagestreamtags", "", "list")
	add("", "imagetags", "", "list")
	return all
}

func (a access) method() string {
	return map[string]string{
		"create": http.MethodPost, "delete": http.MethodDelete, "deletecollection": http.MethodDelete,
		"get": http.MethodGet, "list": http.MethodGet, "watch": http.MethodGet,
		"patch": http.MethodPatch, "update": http.MethodPut,
	}[a.verb]
}

func (a access) path() string {
	resource, sub, _ := strings.Cut(a.resource, "/")
	path := groupPath
	if a.scope != "" {
		path += "/namespaces/" + a.scope
	}
	for _, part := range []string{resource, a.name, sub} {
		if part != "" {
			path += "/" + part
		}
	}
	return path + a.query
}

func (a access) String() string { return a.method() + " " + a.path() }

// forbidden is the whole answer to a user without the right.
func (a access) forbidden(user string) map[string]any {
	resource, _, _ := strings.Cut(a.resource, "/")
	object, where := "", "at the cluster scope"
	details := map[string]any{"group": "image.openshift.io", "kind": resource}
	if a.name != "" {
		object, details["name"] = fmt.Sprintf(" %q", a.name), a.name
	}
	if a.scope != "" {
		where = fmt.Sprintf("in the namespace %q", a.scope)
	}
	return map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure", "reason": "Forbidden", "code": float64(http.StatusForbidden),
		"message": fmt.Sprintf("%s.image.openshift.io%s is forbidden: User %q cannot %s resource %q in API group %q %s",
			resource, object, user, a.verb, a.resource, "image.openshift.io", where),
		"details": details,
	}
}

// ask makes the request with a body that says little; deletions are dry runs.
func (a access) ask(t *testing.T, config *rest.Config) (int, map[string]any) {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	body := "{}"
	if a.method() == http.MethodDelete {
		body = `{"dryRun":["All"]}`
	}
	request, err := http.NewRequestWithContext(t.Context(), a.method(), config.Host+a.path(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if a.verb == "patch" {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var parsed map[string]any
	_ = json.Unmarshal(content, &parsed) // a watch answers nothing or several objects
	return answer.StatusCode, parsed
}

// TestEveryRequestNeedsItsRight asks for everything without any right, without a name,
// and with a token that is none.
func TestEveryRequestNeedsItsRight(t *testing.T) {
	forged := env.Anonymous()
	forged.BearerToken = "forged"
	unauthorized := map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure",
		"message": "Unauthorized", "reason": "Unauthorized", "code": float64(http.StatusUnauthorized),
	}
	for _, a := range accesses(env.Namespace(t, "denied")) {
		for _, who := range []struct {
			name   string
			config *rest.Config
			want   map[string]any
		}{
			{"nobody", env.As("nobody"), a.forbidden("nobody")},
			{"anonymous", env.Anonymous(), a.forbidden("system:anonymous")},
			{"forged", forged, unauthorized},
		} {
			code, body := a.ask(t, who.config)
			if diff := cmp.Diff(who.want, body); diff != "" || float64(code) != who.want["code"] {
				t.Errorf("%s, %s: %d (-want +got):\n%s", a, who.name, code, diff)
			}
		}
	}
}

// TestOneRightAllowsItsRequestAlone gives every verb of every resource to a user of its
// own, who gets through with it and not with the next. What is asked for is there: an
// update that would make it needs the right to create as well.
func TestOneRightAllowsItsRequestAlone(t *testing.T) {
	namespace := env.Namespace(t, "allowed")
	in(t, namespace).Feed(t, strings.NewReplacer("name: app", "name: s", "name: one", "name: t").Replace(app), "create", "-f", "-")
	all := accesses(namespace)
	for i, a := range all {
		grant(t, a, fmt.Sprint("one-right-", i))
	}
	for i, a := range all {
		user := env.As(fmt.Sprint("one-right-", i))
		testenv.Eventually(t, a.String(), func() error {
			code, body := a.ask(t, user)
			if code == http.StatusForbidden || code == http.StatusUnauthorized || code == http.StatusNotFound && body["details"] == nil {
				return fmt.Errorf("answered %d: %v", code, body)
			}
			return nil
		})
		next := all[(i+1)%len(all)]
		if next.verb == a.verb && next.resource == a.resource {
			continue // the same right elsewhere
		}
		if code, body := next.ask(t, user); code != http.StatusForbidden {
			t.Errorf("who may %s was answered %d to %s: %v", a, code, next, body)
		}
	}
}

// grant gives a user the right to one verb of one resource, where the request is made.
func grant(t *testing.T, a access, user string) {
	t.Helper()
	rules := []rbacv1.PolicyRule{{APIGroups: []string{"image.openshift.io"}, Resources: []string{a.resource}, Verbs: []string{a.verb}}}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	meta := metav1.ObjectMeta{Name: user, Namespace: a.scope}
	var err, bindErr error
	if a.scope == "" {
		_, err = env.Kube.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
		_, bindErr = env.Kube.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		}, metav1.CreateOptions{})
	} else {
		_, err = env.Kube.RbacV1().Roles(a.scope).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
		_, bindErr = env.Kube.RbacV1().RoleBindings(a.scope).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		}, metav1.CreateOptions{})
	}
	if err != nil || bindErr != nil {
		t.Fatal(err, bindErr)
	}
}

// TestDiscoveryIsForUsers: who is logged in may see what there is, others not.
func TestDiscoveryIsForUsers(t *testing.T) {
	discovery := access{verb: "get"}
	if code, body := discovery.ask(t, env.As("nobody")); code != http.StatusOK || body["kind"] != "APIResourceList" {
		t.Errorf("a user was answered %d: %v", code, body)
	}
	code, body := discovery.ask(t, env.Anonymous())
	want := map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure", "reason": "Forbidden", "code": float64(http.StatusForbidden),
		"message": fmt.Sprintf(`forbidden: User "system:anonymous" cannot get path %q`, groupPath), "details": map[string]any{},
	}
	if diff := cmp.Diff(want, body); diff != "" || code != http.StatusForbidden {
		t.Errorf("anonymous was answered %d (-want +got):\n%s", code, diff)
	}
}
