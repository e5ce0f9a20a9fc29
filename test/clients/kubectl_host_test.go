package clients_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
)

// asToken is kubectl that knows nothing but the address, its authority and a token.
func asToken(t *testing.T, namespace, token string) testenv.Kubectl {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, env.Config.CAData, 0o600); err != nil {
		t.Fatal(err)
	}
	return env.Kubectl(t).With("--kubeconfig", os.DevNull, "--server", env.Config.Host, "--certificate-authority", ca, "--token", token, "-n", namespace)
}

// eventually waits for what informers bring: roles, quotas, deletions.
func eventually(t *testing.T, what string, k testenv.Kubectl, args ...string) {
	t.Helper()
	testenv.Eventually(t, what, func() error {
		_, _, err := k.Try("", args...)
		return err
	})
}

// TestServiceAccountLogin logs in with a token that kubectl made, and does what its
// roles allow and nothing else.
func TestServiceAccountLogin(t *testing.T) {
	home, other := env.Namespace(t, "login"), env.Namespace(t, "login")
	k := in(t, home)
	k.Feed(t, app, "create", "-f", "-")
	in(t, other).Feed(t, app, "create", "-f", "-")
	k.Run(t, "create", "serviceaccount", "robot")
	token := strings.TrimSpace(k.Run(t, "create", "token", "robot"))
	robot := asToken(t, home, token)
	user := "system:serviceaccount:" + home + ":robot"
	wantSaid(t, robot.Run(t, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"), user)
	wantPart(t, robot.Refused(t, "get", "is"), "(Forbidden)", `User "`+user+`" cannot list resource "imagestreams" in API group "image.openshift.io" in the namespace "`+home+`"`)

	k.Run(t, "create", "rolebinding", "robot-pulls", "--clusterrole=system:image-puller", "--serviceaccount="+home+":robot")
	layers := func(namespace string) []string {
		return []string{"get", "--raw", groupPath + "/namespaces/" + namespace + "/imagestreams/app/layers"}
	}
	eventually(t, "the right to pull", robot, layers(home)...)
	wantPart(t, robot.Refused(t, layers(other)...), "forbidden")
	wantPart(t, robot.Refused(t, "get", "is", "app"), "(Forbidden)")

	k.Run(t, "create", "rolebinding", "robot-edits", "--clusterrole=edit", "--serviceaccount="+home+":robot")
	eventually(t, "the right to edit", robot, "label", "is", "app", "by=robot")
	robot.Run(t, "delete", "istag", "app:one")
	wantPart(t, robot.Refused(t, "-n", other, "get", "is"), "(Forbidden)")
	wantPart(t, robot.Refused(t, "get", "images"), `cannot list resource "images" in API group "image.openshift.io" at the cluster scope`)
	wantPart(t, robot.Refused(t, "get", "is", "-A"), "(Forbidden)")

	k.Run(t, "delete", "serviceaccount", "robot")
	testenv.Eventually(t, "the token to end with its account", func() error {
		_, said, err := robot.Try("", "get", "is")
		if err == nil || !strings.Contains(said, "Unauthorized") && !strings.Contains(said, "must be logged in") {
			return fmt.Errorf("still logged in: %v", err)
		}
		return nil
	})
}

// TestViewersReadButDoNotPull holds the aggregated roles against each other.
func TestViewersReadButDoNotPull(t *testing.T) {
	namespace := env.Namespace(t, "roles")
	k := in(t, namespace)
	k.Feed(t, app, "create", "-f", "-")
	for _, role := range []string{"view", "edit", "registry-viewer", "system:image-puller", "system:image-pusher", "system:image-builder"} {
		k.Run(t, "create", "rolebinding", strings.ReplaceAll(role, ":", "-"), "--clusterrole="+role, "--user="+role+"-user")
	}
	questions := []string{"get imagestreams", "get imagestreams/layers", "update imagestreams/layers", "get imagestreams/secrets", "create imagestreams", "delete imagestreamtags", "create imagestreamimports", "patch imagestreams/status"}
	for role, want := range map[string]string{
		"view":                 "yes no no no no no no no",
		"edit":                 "yes yes yes yes yes yes yes no",
		"registry-viewer":      "yes yes no no no no no no",
		"system:image-puller":  "no yes no no no no no no",
		"system:image-pusher":  "no yes yes no no no no no",
		"system:image-builder": "no yes yes no yes no no no",
	} {
		testenv.Eventually(t, "the rights of "+role, func() error {
			var got []string
			for _, question := range questions {
				verb, resource, _ := strings.Cut(question, " ")
				resource, sub, _ := strings.Cut(resource, "/")
				said, _, _ := k.Try("", "auth", "can-i", verb, resource+".image.openshift.io", "--subresource="+sub, "--as="+role+"-user")
				got = append(got, strings.TrimSpace(said))
			}
			if answers := strings.Join(got, " "); answers != want {
				return fmt.Errorf("%v: %s, want %s", questions, answers, want)
			}
			return nil
		})
	}
}

func TestImpersonation(t *testing.T) {
	namespace := env.Namespace(t, "roles")
	k := in(t, namespace)
	alice := k.With("--as=alice", "--as-group=system:authenticated")
	wantPart(t, alice.Refused(t, "get", "is"), `User "alice" cannot list resource "imagestreams"`)
	k.Run(t, "create", "rolebinding", "alice", "--clusterrole=admin", "--user=alice")
	eventually(t, "the rights of alice", alice, "get", "is")
	alice.Feed(t, app, "create", "-f", "-")
	alice.With("--as-group=system:masters").Run(t, "get", "images")
	// Who may not impersonate does not.
	token := strings.TrimSpace(k.Run(t, "create", "token", "default"))
	wantPart(t, asToken(t, namespace, token).Refused(t, "get", "--raw", groupPath+"/namespaces/"+namespace+"/imagestreams", "--as=alice"),
		"(Forbidden)", `User "system:serviceaccount:`+namespace+`:default" cannot impersonate`)
	wantPart(t, asToken(t, namespace, "nonsense").Refused(t, "get", "is"), "must be logged in")
}

func TestPullSecret(t *testing.T) {
	namespace := env.Namespace(t, "secrets")
	k := in(t, namespace)
	k.Run(t, "create", "secret", "docker-registry", "pull", "--docker-server=registry.example.com", "--docker-username=me", "--docker-password=secret", "--docker-email=me@example.com")
	k.Run(t, "create", "secret", "generic", "plain", "--from-literal=a=b")
	var list struct {
		Kind  string
		Items []struct {
			Metadata metav1.ObjectMeta
			Type     string
		}
	}
	unmarshal(t, k.Run(t, "get", "--raw", groupPath+"/namespaces/"+namespace+"/imagestreams/any/secrets"), &list)
	if list.Kind != "SecretList" || len(list.Items) != 1 || list.Items[0].Metadata.Name != "pull" || list.Items[0].Type != "kubernetes.io/dockerconfigjson" {
		t.Errorf("secrets %+v", list)
	}
}

func TestQuotaOfStreams(t *testing.T) {
	k := in(t, env.Namespace(t, "quota"))
	k.Run(t, "create", "quota", "streams", "--hard=openshift.io/imagestreams=2,count/imagestreams.image.openshift.io=2")
	used := func(want string) {
		t.Helper()
		eventually(t, "the quota to count "+want, k, "wait", "quota/streams", "--timeout=2s", `--for=jsonpath={.status.used.openshift\.io/imagestreams}=`+want)
		eventually(t, "the quota to count "+want, k, "wait", "quota/streams", "--timeout=2s", `--for=jsonpath={.status.used.count/imagestreams\.image\.openshift\.io}=`+want)
	}
	used("0")
	named := func(name string) string { return strings.Replace(app, "name: app", "name: "+name, 1) }
	k.Feed(t, named("a"), "create", "-f", "-")
	k.Feed(t, "apiVersion: image.openshift.io/v1\nkind: ImageStreamTag\nmetadata: {name: 'b:tag'}\ntag: {reference: true, from: {kind: DockerImage, name: 'registry.example.com/b:1'}}\n", "create", "-f", "-")
	used("2")
	_, said, err := k.Try(named("c"), "create", "-f", "-")
	if err == nil {
		t.Error("a third stream was made")
	}
	wantPart(t, said, "(Forbidden)", `imagestreams.image.openshift.io "c" is forbidden: exceeded quota: streams`, "openshift.io/imagestreams=1", "used: ", "limited: ")
	k.Run(t, "delete", "is", "a")
	used("1")
	k.Feed(t, named("c"), "create", "-f", "-")
}

func TestNamespaceDeletionTakesStreamsAlong(t *testing.T) {
	k := env.Kubectl(t)
	const namespace = "going-away"
	k.Run(t, "create", "namespace", namespace)
	for i := range 3 {
		k.Feed(t, strings.Replace(app, "name: app", fmt.Sprint("name: s", i), 1), "-n", namespace, "create", "-f", "-")
	}
	k.Run(t, "-n", namespace, "create", "secret", "generic", "plain", "--from-literal=a=b")
	wantSaid(t, k.Run(t, "delete", "namespace", namespace, "--timeout=60s"), `namespace "going-away" deleted`)
	wantPart(t, k.Refused(t, "get", "namespace", namespace), "(NotFound)")
	wantSaid(t, k.Run(t, "-n", namespace, "get", "is,istag,itag", "-o", "name"))
	_, said, err := k.Try(app, "-n", namespace, "create", "-f", "-")
	if err == nil {
		t.Error("a stream was made in a namespace that is gone")
	}
	wantPart(t, said, `namespaces "going-away" not found`)
	k.Run(t, "create", "namespace", namespace)
	wantSaid(t, k.Run(t, "-n", namespace, "get", "is", "-o", "name"))
}

// TestCustomResources makes a kind of its own and an object of it.
func TestCustomResources(t *testing.T) {
	k := in(t, env.Namespace(t, "custom"))
	k.Feed(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sluices.weir.example.com}
spec:
  group: weir.example.com
  scope: Namespaced
  names: {plural: sluices, singular: sluice, kind: Sluice}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, required: [level], properties: {level: {type: integer, maximum: 10}}}}
`, "create", "-f", "-")
	k.Run(t, "wait", "crd/sluices.weir.example.com", "--for=condition=Established", "--timeout=60s")
	sluice := "apiVersion: weir.example.com/v1\nkind: Sluice\nmetadata: {name: s}\nspec: {level: %d}\n"
	testenv.Eventually(t, "the new kind", func() error {
		_, _, err := k.Try(fmt.Sprintf(sluice, 7), "apply", "-f", "-")
		return err
	})
	wantSaid(t, k.Run(t, "get", "sluices", "-o", "jsonpath={.items[*].spec.level}"), "7")
	_, said, err := k.Try(fmt.Sprintf(sluice, 11), "apply", "-f", "-")
	if err == nil {
		t.Error("an object that its schema forbids was stored")
	}
	wantPart(t, said, "spec.level", "less than or equal to 10")
	k.Run(t, "delete", "crd", "sluices.weir.example.com", "--timeout=60s")
}
