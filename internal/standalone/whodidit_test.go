package standalone_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/ociregistry/accesslog"
	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

const auditPolicy = `{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
	{"level": "Metadata", "verbs": ["create", "update", "patch", "delete"], "resources": [{"group": "image.openshift.io"}]}
]}`

// builder is an account that may push to namespace, with a token of it.
func builder(t *testing.T, e *testenv.Env, namespace string) (user, token string) {
	t.Helper()
	if _, err := e.Kube.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "builder"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Kube.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "builder"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roles.RegistryEditor},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "builder"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	made, err := e.Kube.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), "builder", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return "system:serviceaccount:" + namespace + ":builder", made.Status.Token
}

// The audit log of the API says who pushed and who deleted through the registry, and so does
// the registry's own access log. No client can write the same into the audit log.
func TestWhoPushedAndWhoDeleted(t *testing.T) {
	dir := t.TempDir()
	audit, access, policy := filepath.Join(dir, "audit.log"), filepath.Join(dir, "access.log"), filepath.Join(dir, "policy.json")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	e := testenv.Start(t, testenv.WithRegistry, func(o *standalone.Options) {
		o.Host.ControlPlane.Audit.PolicyFile, o.Host.ControlPlane.Audit.LogOptions.Path = policy, audit
		o.Registry.AccessLog.Path, o.Registry.AccessLog.Format = access, accesslog.FormatJSON
	})
	ns := e.Namespace(t, "who")
	user, token := builder(t, e, ns)
	image := testimage.Image(t, "linux/amd64")
	digest := testimage.Digest(t, image)
	tag, err := name.NewTag(e.Registry() + "/" + ns + "/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	login := remote.WithAuth(authn.FromConfig(authn.AuthConfig{Username: "builder", Password: token}))
	testenv.Eventually(t, "the push", func() error { return remote.Write(tag, image, login) })
	if err := remote.Delete(tag, login); err != nil {
		t.Fatal(err)
	}

	pushed := wantAudited(t, audit, "create", "imagestreammappings", "", user)
	deleted := wantAudited(t, audit, "delete", "imagestreamtags", "app:v1", user)
	made := wantAudited(t, audit, "create", "imagestreams", "", "")
	if made.ImpersonatedUser.Username != user || made.ImpersonatedUser.Extra["weir.dev/client"][0] != "127.0.0.1" {
		t.Errorf("the stream was made by %+v", made.ImpersonatedUser)
	}
	for event, want := range map[*auditv1.Event]map[string]any{
		pushed:  {"method": "PUT", "status": 201.0, "digest": digest},
		deleted: {"method": "DELETE", "status": 202.0, "digest": ""},
	} {
		want["user"], want["client"], want["route"], want["repository"], want["reference"] = user, "127.0.0.1", "manifest", ns+"/app", "v1"
		line := accessed(t, access, event.ImpersonatedUser.Extra["weir.dev/request"][0])
		for _, varies := range []string{"time", "seconds", "received", "sent", "request"} {
			if _, ok := line[varies]; !ok {
				t.Errorf("%v has no %s", line, varies)
			}
			delete(line, varies)
		}
		if diff := cmp.Diff(want, line); diff != "" {
			t.Errorf("access log (-want +got):\n%s", diff)
		}
	}

	forged := e.As(user)
	forged.Impersonate.Extra = map[string][]string{"weir.dev/user": {"alice"}}
	editor := e.As(user)
	editor.Impersonate, editor.BearerToken = forged.Impersonate, token
	editor.CertData, editor.KeyData, editor.CertFile, editor.KeyFile = nil, nil, "", ""
	err = testenv.ImagesFor(editor).ImageV1().ImageStreamTags(ns).Delete(t.Context(), "app:v1", metav1.DeleteOptions{})
	if !testenv.IsReason(err, metav1.StatusReasonForbidden) {
		t.Errorf("a client that names another user gets %v", err)
	}
}

// wantAudited waits for an event about a request of the registry for the user.
func wantAudited(t *testing.T, file, verb, resource, object, user string) (found *auditv1.Event) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("the audit log to tell of %s %s", verb, resource), func() error {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(content)) {
			var e auditv1.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				return err
			}
			if e.Verb != verb || e.ObjectRef == nil || e.ObjectRef.Resource != resource || object != "" && e.ObjectRef.Name != object || e.ResponseStatus.Code >= http.StatusBadRequest {
				continue
			}
			found = &e
		}
		if found == nil {
			return fmt.Errorf("nothing of it in %s", content)
		}
		return nil
	})
	if found.ImpersonatedUser == nil {
		t.Fatalf("%s %s is not by an impersonated user: %+v", verb, resource, found)
	}
	extra := found.ImpersonatedUser.Extra
	if user != "" && (len(extra["weir.dev/user"]) != 1 || extra["weir.dev/user"][0] != user || extra["weir.dev/client"][0] != "127.0.0.1") {
		t.Errorf("%s %s was by %+v", verb, resource, found.ImpersonatedUser)
	}
	return found
}

// accessed is the line of a request in the access log.
func accessed(t *testing.T, file, request string) (line map[string]any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(content)) {
		line = nil
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["request"] == request {
			return line
		}
	}
	t.Fatalf("there is no request %s in %s", request, content)
	return nil
}
