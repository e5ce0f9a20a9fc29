package api_test

import (
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func getSecrets(t *testing.T, ns, query string, header ...string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodGet, inNamespace(ns, "imagestreams/any/secrets")+query, "", header...)
}

func makeSecret(t *testing.T, ns, name string, kind corev1.SecretType, key string, annotations map[string]string) {
	t.Helper()
	_, err := env.Kube.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
		Type:       kind,
		Data:       map[string][]byte{key: []byte("{}")},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSecretsArePullSecretsOfTheNamespace(t *testing.T) {
	ns := env.Namespace(t, "secrets")
	exclude := func(value string) map[string]string {
		return map[string]string{"openshift.io/image.excludeSecret": value}
	}
	makeSecret(t, ns, "c-config", corev1.SecretTypeDockerConfigJson, ".dockerconfigjson", nil)
	makeSecret(t, ns, "b-cfg", corev1.SecretTypeDockercfg, ".dockercfg", exclude("false"))
	makeSecret(t, ns, "a-excluded", corev1.SecretTypeDockercfg, ".dockercfg", exclude("true"))
	makeSecret(t, ns, "opaque", corev1.SecretTypeOpaque, ".dockercfg", nil)
	getSecrets(t, ns, "").want(t, http.StatusOK, `
		{"kind":"SecretList","apiVersion":"image.openshift.io/v1","metadata":{"resourceVersion":"…"},"items":[
		 {"metadata":{"name":"b-cfg","namespace":"`+ns+`","uid":"…","resourceVersion":"…","creationTimestamp":"…","annotations":{"openshift.io/image.excludeSecret":"false"}},
		  "data":{".dockercfg":"e30="},"type":"kubernetes.io/dockercfg"},
		 {"metadata":{"name":"c-config","namespace":"`+ns+`","uid":"…","resourceVersion":"…","creationTimestamp":"…"},
		  "data":{".dockerconfigjson":"e30="},"type":"kubernetes.io/dockerconfigjson"}]}`)
}

func TestSecretsNeedNeitherStreamNorNamespace(t *testing.T) {
	getSecrets(t, "no-such-namespace", "").want(t, http.StatusOK, `{"kind":"SecretList","apiVersion":"image.openshift.io/v1","metadata":{"resourceVersion":"…"},"items":[]}`)
}

func TestSecretsHaveAResourceVersion(t *testing.T) {
	ns := env.Namespace(t, "secrets")
	var list metav1.PartialObjectMetadataList
	unmarshal(t, getSecrets(t, ns, "").body, &list)
	_, err := env.Kube.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil || list.ResourceVersion == "" || list.ResourceVersion == "0" {
		t.Errorf("resourceVersion %q, and listing from there: %v", list.ResourceVersion, err)
	}
}

func TestSecretsTakeNoQueryParameters(t *testing.T) {
	ns := env.Namespace(t, "secrets")
	for _, query := range []string{"?labelSelector=a%3Db", "?limit=1", "?pretty=true", "?watch=1", "?resourceVersion=0", "?nonsense=1"} {
		r := getSecrets(t, ns, query)
		r.wantStatus(t, 400, metav1.StatusReasonBadRequest, "", "")
		if !strings.Contains(r.status(t).Message, "unknown conversion") {
			t.Errorf("%s: %q", query, r.status(t).Message)
		}
	}
}

func TestSecretsAreReadOnly(t *testing.T) {
	ns := env.Namespace(t, "secrets")
	for _, accept := range []string{acceptTable, acceptPartial} {
		if r := getSecrets(t, ns, "", "Accept", accept); r.code != http.StatusNotAcceptable {
			t.Errorf("as %s: %d %s", accept, r.code, r.body)
		}
	}
	if r := getSecrets(t, ns, "", "Accept", acceptTable+",application/json"); r.code != http.StatusOK {
		t.Errorf("as a table or JSON: %d", r.code)
	}
	path := inNamespace(ns, "imagestreams/any/secrets")
	raw(t, env.Config, http.MethodPost, path, "{}").wantStatus(t, 405, metav1.StatusReasonMethodNotAllowed, "", "")
	wantRefused(t, http.MethodGet, path, "", "imagestreams", "any")
}
